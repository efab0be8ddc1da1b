// What is remembered of the newest rows, to say how many votes are gone with them.

import Testing

@testable import Journal

struct LossTests {
    @Test func `the votes of the newest rows are known as far as they are remembered`() {
        var recent = RecentVotes()
        #expect(recent.votes(inNewest: 1) == (0, true))
        for count in UInt32(1)...5 { recent.append(count) }
        #expect(recent.votes(inNewest: 0) == (0, false))
        #expect(recent.votes(inNewest: 2) == (9, false))
        #expect(recent.votes(inNewest: 5) == (15, false))
        #expect(recent.votes(inNewest: 6) == (15, true))
    }

    @Test func `memory of them is bounded, and keeps the newest`() {
        var recent = RecentVotes()
        for _ in 0..<10_000 { recent.append(7) }
        recent.append(1)
        let rows = UInt64(RecentVotes.rowsLimit)
        #expect(recent.votes(inNewest: rows) == (7 * (rows - 1) + 1, false))
        #expect(recent.votes(inNewest: 10_001).isAtLeast)
    }
}
