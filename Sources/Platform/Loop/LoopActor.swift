// Entering an actor from its own loop, on roads that carry a million calls a second. `assumeIsolated` asks the runtime,
// which looks for a task, compares executors and casts, before it asks the loop; here the loop alone is asked.

/// An actor whose executor is a loop.
public protocol LoopActor: Actor {
    /// The loop that `unownedExecutor` names.
    nonisolated var loop: EventLoop { get }
}

extension LoopActor {
    /// Runs `body` in the actor's isolation, as `assumeIsolated` does.
    ///
    /// - Precondition: the caller is on the actor's loop.
    @inlinable @inline(__always)
    public nonisolated func onLoop<Value: Sendable>(_ body: (isolated Self) throws -> Value) rethrows -> Value {
        loop.checkIsolated()
        return try withoutActuallyEscaping(body) { body in
            // Safe: the two types differ in isolation alone, which says where the function may be called; the executor
            // of this actor is the loop whose thread this is, as was checked.
            let plain = unsafe unsafeBitCast(body, to: ((Self) throws -> Value).self)
            return try plain(self)
        }
    }

    /// The same with an argument, for a closure that captures nothing: then nothing is allocated for it.
    @inlinable @inline(__always)
    public nonisolated func onLoop<Argument, Value: Sendable>(
        _ argument: Argument, _ body: @escaping (isolated Self, Argument) -> Value
    ) -> Value {
        loop.checkIsolated()
        // Safe: as above.
        let plain = unsafe unsafeBitCast(body, to: ((Self, Argument) -> Value).self)
        return plain(self, argument)
    }
}
