import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(5)))
struct TimerTests {
    /// A timer that its own handler can reach.
    private final class Box: Sendable {
        let timer = Locked<LoopTimer?>(nil)
        func callAsFunction(_ body: (LoopTimer) -> Void) { timer.withLock { if let timer = $0 { body(timer) } } }
    }

    @Test func `a timer fires once, not before its time`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let fired = Recorder<MonotonicTime>()
            let later = Signal()
            let start = MonotonicTime.now
            let timer = await on(loop) {
                let timer = LoopTimer(on: loop) { fired.append(.now) }
                timer.schedule(afterNanoseconds: 3_000_000)
                OneShot.after(15_000_000, on: loop) { later.set() }
                return timer
            }
            await later.wait()
            #expect(fired.count == 1)
            // The loop's clock counts whole milliseconds.
            #expect(fired.all[0].nanoseconds - start.nanoseconds >= 2_000_000)
            await on(loop) { timer.close() }
        }
    }

    @Test func `a repeating timer fires until it is cancelled in its handler`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let fired = Atomic<Int>(0)
            let later = Signal()
            let box = Box()
            await on(loop) {
                let timer = LoopTimer(on: loop) {
                    guard fired.add(1, ordering: .relaxed).newValue == 5 else { return }
                    box { $0.cancel() }
                    OneShot.after(10_000_000, on: loop) { later.set() }
                }
                box.timer.withLock { $0 = timer }
                timer.schedule(afterNanoseconds: 1, repeatingNanoseconds: 1_000_000)
            }
            await later.wait()
            #expect(fired.load(ordering: .relaxed) == 5)
            await on(loop) { box { $0.close() } }
        }
    }

    @Test func `a timer may close itself in its handler, and is freed`() async throws {
        weak var freed: LoopTimer?
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let done = Signal()
            let box = Box()
            await on(loop) {
                let timer = LoopTimer(on: loop) {
                    box {
                        $0.close()
                        $0.close()
                        $0.schedule(afterNanoseconds: 1)
                        $0.cancel()
                    }
                    box.timer.withLock { $0 = nil }
                    done.set()
                }
                box.timer.withLock { $0 = timer }
                timer.schedule(afterNanoseconds: 1, repeatingNanoseconds: 1)
            }
            box.timer.withLock { freed = $0 }
            await done.wait()
        }
        #expect(freed == nil)
    }

    @Test func `scheduling again replaces what was armed, and any delay is taken`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let done = Signal()
            let timer = await on(loop) {
                let timer = LoopTimer(on: loop) { done.set() }
                timer.schedule(afterNanoseconds: .max)
                timer.schedule(afterNanoseconds: 1_000_000)
                return timer
            }
            await done.wait()
            await on(loop) { timer.close() }
        }
    }

    @Test func `one-shots fire in the order of their delays`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let seen = Recorder<Int>()
            let done = Signal()
            await on(loop) {
                for delay in [9, 1, 5] {
                    OneShot.after(UInt64(delay) * 1_000_000, on: loop) {
                        seen.append(delay)
                        if seen.count == 3 { done.set() }
                    }
                }
            }
            await done.wait()
            #expect(seen.all == [1, 5, 9])
        }
    }

    @Test func `a signal arrives on the loop as often as it is raised, and not after the close`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let seen = Recorder<Bool>()
            let signals = [Signal(), Signal()]
            let source = await on(loop) {
                SignalSource(SIGUSR1, on: loop) {
                    seen.append(loop.isCurrent)
                    signals[seen.count - 1].set()
                }
            }
            for signal in signals {
                #expect(kill(getpid(), SIGUSR1) == 0)
                await signal.wait()
            }
            await on(loop) {
                source.close()
                source.close()
            }
            #expect(seen.all == [true, true])
        }
    }
}
