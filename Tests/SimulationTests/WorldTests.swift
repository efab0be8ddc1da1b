// Whole runs, few of them: `scripts/simulate.sh` makes two hundred. They are slow here, without the optimizer.

import Foundation
import Platform
import Testing

@testable import Simulation

@Suite(.timeLimit(.minutes(10)), .serialized)
struct WorldTests {
    @Test func `three nodes with faults do nothing wrong`() {
        let report = Simulation.run(seed: 2)
        #expect(report.violations == [])
        #expect(report.ackedVotes > 500)
        #expect(report.servedAfter.map { $0 <= 4_000_000_000 } == true)
    }

    @Test func `a planted bug is found`() {
        #expect(Simulation.run(seed: 1, plant: .ackBeforeCommit).violations != [])
    }

    @Test(
        .enabled(
            if: ProcessInfo.processInfo.environment["SWIFT_DETERMINISTIC_HASHING"] != nil,
            "SWIFT_DETERMINISTIC_HASHING is not set: hash tables have another order in each run"))
    func `the same seed gives the same run`() {
        var options = ScenarioOptions()
        (options.campaigns, options.voters, options.followers) = (2, 3, 2)
        #expect(Scenario(seed: 3, options).run().trace == Scenario(seed: 3, options).run().trace)
    }

    @Test func `events come in the order of their moments, and of their ties at one moment`() {
        var heap = MinHeap<World.Event>()
        let dice = Dice(seed: 1, use: 1)
        for _ in 0..<500 {
            heap.push(World.Event(at: dice.within(0...50), tie: dice.next(), host: nil, loop: nil) {})
        }
        var last: (UInt64, UInt64) = (0, 0)
        var count = 0
        while let event = heap.pop() {
            #expect((event.at, event.tie) >= last)
            last = (event.at, event.tie)
            count += 1
        }
        #expect(count == 500)
    }
}
