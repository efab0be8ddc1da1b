import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(5)))
struct EventLoopTests {
    @Test func `jobs from many threads all run, on the loop's thread`() async throws {
        try await withLoops(1) { group in
            let resident = Resident(group.loops[0])
            await withTaskGroup(of: Void.self) { tasks in
                for _ in 0..<8 {
                    tasks.addTask { for _ in 0..<2000 { await resident.increment() } }
                }
            }
            #expect(await resident.count == 16_000)
            #expect(await resident.strays == 0)
        }
    }

    @Test func `closures of one thread run in the order of the calls, and none is lost`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let seen = Recorder<(Int, Int)>()
            await withTaskGroup(of: Void.self) { tasks in
                for thread in 0..<4 {
                    tasks.addTask {
                        await onThread {
                            for number in 0..<1000 { loop.execute { seen.append((thread, number)) } }
                        }
                    }
                }
            }
            await on(loop) {}
            let all = seen.all
            #expect(all.count == 4000)
            for thread in 0..<4 {
                #expect(all.filter { $0.0 == thread }.map(\.1) == Array(0..<1000))
            }
        }
    }

    @Test func `assumeIsolated succeeds in a callback of the loop`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let resident = Resident(loop)
            let count = await on(loop) {
                resident.assumeIsolated {
                    $0.increment(); return $0.count
                }
            }
            #expect(count == 1)
            #expect(await on(loop) { loop.isCurrent })
            #expect(!loop.isCurrent)
        }
    }

    @Test func `assumeIsolated stops the process on another thread`() async {
        await #expect(processExitsWith: .failure) {
            let group = LoopGroup(count: 1, name: "test")
            let resident = Resident(group.loops[0])
            enterWithoutHop(resident)
        }
    }

    @Test func `hooks run after the jobs, in the order of registration`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let seen = Recorder<String>()
            let done = Signal()
            await on(loop) {
                loop.onTurnEnd { if seen.count == 3 { seen.append("first") } }
                loop.onTurnEnd {
                    if seen.count == 4 {
                        seen.append("second")
                        done.set()
                    }
                }
            }
            let resident = Resident(loop)
            loop.execute {
                seen.append("closure")
                Task { await resident.run { _ in seen.append("job") } }
                loop.execute { seen.append("late closure") }
            }
            await done.wait()
            #expect(seen.all.first == "closure")
            #expect(Set(seen.all[1..<3]) == ["job", "late closure"])
            #expect(seen.all[3...] == ["first", "second"])
        }
    }

    @Test func `hooks run after a timer although nothing else happens`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let fired = Atomic<Bool>(false)
            let done = Signal()
            let timer = await on(loop) {
                loop.onTurnEnd { if fired.load(ordering: .relaxed) { done.set() } }
                let timer = LoopTimer(on: loop) { fired.store(true, ordering: .relaxed) }
                timer.schedule(afterNanoseconds: 2_000_000)
                return timer
            }
            await done.wait()
            await on(loop) { timer.close() }
        }
    }

    @Test func `work that a hook hands out runs before the loop blocks`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let left = Atomic<Int>(0)
            let done = Signal()
            await on(loop) {
                loop.onTurnEnd {
                    // More rounds than one turn has: the rest must follow without any event from outside.
                    guard left.load(ordering: .relaxed) > 0 else { return }
                    loop.execute {
                        if left.subtract(1, ordering: .relaxed).newValue == 0 { done.set() }
                    }
                }
            }
            loop.execute { left.store(100, ordering: .relaxed) }
            await done.wait()
        }
    }

    @Test func `a loop with nothing to do does not turn`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let waited = Signal()
            await on(loop) { OneShot.after(20_000_000, on: loop) { waited.set() } }
            let before = await on(loop) { loop.turnCount }
            await waited.wait()
            let after = await on(loop) { loop.turnCount }
            #expect(after - before <= 5)
        }
    }

    @Test func `work that is handed in while the loops end is not lost`() async throws {
        for _ in 0..<20 {
            let group = LoopGroup(count: 2, name: "test")
            let ran = Atomic<Int>(0)
            let loop = group.loops[0]
            // The last of the closures arrive behind the one that ends the loop.
            loop.execute {
                for _ in 0..<10 {
                    loop.execute { loop.execute { loop.execute { ran.add(1, ordering: .relaxed) } } }
                }
            }
            await onThread { group.shutdown() }
            #expect(ran.load(ordering: .relaxed) == 10)
        }
    }

    @Test func `an ended group gives back its memory and descriptors`() async {
        // In a process of its own, where no other test opens anything.
        await #expect(processExitsWith: .success) {
            weak var loop: EventLoop?
            LoopGroup(count: 2, name: "test").shutdown()
            let before = ProcessFacts.openDescriptors
            for _ in 0..<10 {
                let group = LoopGroup(count: 2, name: "test")
                loop = group.loops[0]
                group.shutdown()
            }
            precondition(loop == nil)
            precondition(ProcessFacts.openDescriptors == before)
        }
    }
}

private func enterWithoutHop(_ resident: Resident) { resident.assumeIsolated { $0.increment() } }
