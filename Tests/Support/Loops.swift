// Loops that end with their test, threads that may block, and times from now.

package import Platform

/// So many seconds from now.
package func within(_ seconds: Double) -> MonotonicTime {
    MonotonicTime.now.advanced(byNanoseconds: UInt64(seconds * 1e9))
}

/// Runs a closure on a thread of its own, where it may block.
package func onThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        _ = SystemThread { continuation.resume(returning: body()) }
    }
}

/// Runs a closure on a loop.
package func on<Result: Sendable>(_ loop: EventLoop, _ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        loop.execute { continuation.resume(returning: body()) }
    }
}

/// Runs a test with loops of its own, which must leave no handle open when it ends.
package func withLoops(_ count: Int, _ body: (LoopGroup) async throws -> Void) async throws {
    let group = LoopGroup(count: count, name: "test")
    // A test that throws leaves handles open, for which the loops would wait: they are then left running.
    try await body(group)
    await onThread { group.shutdown() }
}

/// Runs a test on a loop of its own, which must be left without open handles.
package func withLoop(_ body: @escaping @Sendable (EventLoop) async throws -> Void) async throws {
    let group = LoopGroup(count: 1, name: "test")
    let loop = group.loops[0]
    let result = await Task(executorPreference: loop) { try await body(loop) }.result
    await onThread { group.shutdown() }
    try result.get()
}
