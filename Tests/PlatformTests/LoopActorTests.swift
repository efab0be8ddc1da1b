// Entering an actor on its own loop without asking the runtime.

import Testing

@testable import Platform

private actor Counting: LoopActor {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private(set) var calls = 0

    init(_ loop: EventLoop) { self.loop = loop }

    func called() throws -> Int {
        guard calls < 3 else { throw CancellationError() }
        calls += 1
        return calls
    }

    /// From inside, as a callback that comes back.
    func calledAgain() -> Int? { onLoop { try? $0.called() } }
}

@Suite struct LoopActorTests {
    @Test func `a call from the actor's loop runs in its isolation, and passes results and errors on`() async throws {
        let group = LoopGroup(count: 2, name: "actor")
        let counting = Counting(group.loops[0])
        let results = await withCheckedContinuation { continuation in
            counting.loop.execute {
                continuation.resume(returning: (1...4).map { _ in Result { try counting.onLoop { try $0.called() } } })
            }
        }
        #expect(results.map { try? $0.get() } == [1, 2, 3, nil])
        #expect(await counting.calls == 3)
        #expect(await counting.calledAgain() == nil)
        group.shutdown()
    }

    @Test func `a call from anywhere else ends the process`() async {
        await #expect(processExitsWith: .failure) {
            let group = LoopGroup(count: 1, name: "actor")
            let counting = Counting(group.loops[0])
            _ = try? counting.onLoop { try $0.called() }
        }
    }
}
