// Figures to read, not limits to keep: machines differ. What is asserted is that the work was done.

import Synchronization
import Testing

@testable import Platform

@Suite(.serialized, .timeLimit(.minutes(1)))
struct SpeedTests {
    private static let rounds = 20_000

    private func nanoseconds(since start: MonotonicTime, each count: Int) -> Int {
        Int(MonotonicTime.now.nanoseconds - start.nanoseconds) / count
    }

    @Test(arguments: [1, 2])
    func `an await between two actors`(_ loops: Int) async throws {
        try await withLoops(loops) { group in
            let caller = Resident(group.loops[0])
            let callee = Resident(group.loops[loops - 1])
            let start = MonotonicTime.now
            await caller.run { _ in for _ in 0..<Self.rounds { await callee.increment() } }
            let each = nanoseconds(since: start, each: Self.rounds)
            #expect(await callee.count == Self.rounds)
            print("figure: an await between actors of \(loops == 1 ? "one loop" : "two loops"): \(each) ns")
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
            async let answered = answerer.run { _ in
                var count = 0
                var spare: [Int] = []
                while let batch = await there.next(recycling: spare) {
                    spare = batch
                    count += batch.count
                    back.post(contentsOf: &spare)
                }
                return count
            }
            await asker.run { _ in
                var spare: [Int] = []
                var batch: [Int] = []
                for round in 0..<Self.rounds {
                    batch.append(round)
                    there.post(contentsOf: &batch)
                    guard let answer = await back.next(recycling: spare) else { return }
                    spare = answer
                }
            }
            there.finish()
            #expect(await answered == Self.rounds)
            let each = nanoseconds(since: start, each: 2 * Self.rounds)
            print("figure: a batch through an inbox on \(loops == 1 ? "one loop" : "two loops"): \(each) ns")
        }
    }
}
