// Figures to read, not limits to keep: machines differ. What is asserted is that the work was done.

import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.serialized, .timeLimit(.minutes(5)))
struct SpeedTests {
    private static let rounds = 20_000

    private func nanoseconds(since start: MonotonicTime, each count: Int) -> Int {
        Int(MonotonicTime.now.nanoseconds - start.nanoseconds) / count
    }

    @Test(arguments: [1, 2], [false, true])
    func `an await between two actors`(_ loops: Int, _ isPreferred: Bool) async throws {
        try await withLoops(loops) { group in
            let caller = Resident(group.loops[0])
            let callee = Resident(group.loops[loops - 1])
            let start = MonotonicTime.now
            await Task(executorPreference: isPreferred ? group.loops[0] : nil) {
                await caller.run { caller in
                    for _ in 0..<Self.rounds {
                        await callee.increment()
                        // The caller's own state calls for the way back.
                        caller.increment()
                    }
                }
            }.value
            let each = nanoseconds(since: start, each: Self.rounds)
            #expect(await callee.count == Self.rounds)
            #expect(await caller.count == Self.rounds)
            let task = isPreferred ? "a task that prefers the loop" : "a plain task"
            print("figure: an await between actors of \(loops == 1 ? "one loop" : "two loops"), \(task): \(each) ns")
        }
    }

    @Test(arguments: [1, 2])
    func `a batch through an inbox, and an answer back`(_ loops: Int) async throws {
        try await withLoops(loops) { group in
            let there = Inbox<Int>(limit: 1000)
            let back = Inbox<Int>(limit: 1000)
            let asker = Resident(group.loops[0])
            let answerer = Resident(group.loops[loops - 1])
            let start = MonotonicTime.now
            let answering = Task(executorPreference: answerer.loop) {
                await answerer.run { answerer in
                    var spare: [Int] = []
                    while let batch = await there.next(recycling: spare) {
                        spare = batch
                        answerer.increment()
                        back.post(contentsOf: &spare)
                    }
                }
            }
            await Task(executorPreference: asker.loop) {
                await asker.run { asker in
                    var spare: [Int] = []
                    var batch: [Int] = []
                    for round in 0..<Self.rounds {
                        batch.append(round)
                        there.post(contentsOf: &batch)
                        guard let answer = await back.next(recycling: spare) else { return }
                        spare = answer
                        asker.increment()
                    }
                }
            }.value
            there.finish()
            await answering.value
            #expect(await answerer.count == Self.rounds)
            #expect(await asker.count == Self.rounds)
            #expect(await answerer.strays + asker.strays == 0)
            let each = nanoseconds(since: start, each: 2 * Self.rounds)
            print("figure: a batch through an inbox on \(loops == 1 ? "one loop" : "two loops"): \(each) ns")
        }
    }
}
