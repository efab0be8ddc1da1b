// What the database remembers of changes of hands: every one of them, with its cause, and for how long nobody served.

import Platform
import Protocol
import Testing

@testable import Journal

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct OwnershipTests {
    private let slots = [Slot(7), Slot(8)]

    /// A node that had slot 7 and is dead; so long ago, in seconds, its lease would have ended.
    private func bereave(_ database: TestDatabase, lapsed seconds: Int) async throws {
        try await database.sql(
            """
            WITH gone AS (
                INSERT INTO node_lease(incarnation, name, address, weight, started, expires, dead)
                VALUES(gen_random_uuid(), 'gone', '', 1, clock_timestamp(),
                    clock_timestamp() - interval '\(seconds) seconds', true)
                RETURNING incarnation
            ) UPDATE slot_lease SET owner = incarnation, epoch = 1 FROM gone WHERE slot = 7 RETURNING 'owned'
            """)
    }

    @Test func `the first claim of a slot is remembered, and none that changes nothing`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal(name: "first")
        let claims = try await journal.claim(slots)
        #expect(claims.count == 2 && claims.allSatisfy { $0.unservedSince == nil })
        let again = try await journal.claim([slots[0]])
        #expect(again.count == 1 && again[0].epoch > claims[0].epoch && again[0].unservedSince == nil)
        for (slot, claim) in zip(slots, claims) {
            let changes = try await journal.changes(of: slot, limit: 9)
            #expect(changes.count == 1 && changes[0].cause == "claim" && changes[0].from == nil)
            #expect(changes[0].to?.name == "first" && changes[0].epoch == claim.epoch)
            #expect(changes[0].pauseMilliseconds == nil && changes[0].tail == 0)
        }
        await journal.close()
    }

    @Test func `a crash is told with the last sign of life, and with the pause once that is noted`() async throws {
        let database = try await TestDatabase.make()
        try await bereave(database, lapsed: 7)
        let clock = ManualClock(at: Timestamp(milliseconds: 0))
        let journal = try await database.journal(lease: 20_000_000_000, clock: clock)
        let claims = try await journal.claim(slots)
        // Seven seconds ago its lease would have ended, and that lasts for twenty.
        let since = try #require(claims[0].unservedSince)
        #expect(since <= 1_000_000_000 - 27_000_000_000 && since > -120_000_000_000)
        #expect(claims[1].unservedSince == nil)
        #expect(try await journal.changes(of: slots[0], limit: 9).map(\.pauseMilliseconds) == [nil])
        try await journal.note([
            HandOffReport(slot: slots[0], epoch: claims[0].epoch, pauseMilliseconds: 27_001.5, tail: 0),
            // Another has it by now.
            HandOffReport(slot: slots[1], epoch: claims[1].epoch + 1, pauseMilliseconds: 3, tail: 0),
        ])
        let changes = try await journal.changes(of: slots[0], limit: 9)
        #expect(changes.map(\.cause) == ["crash"] && changes.map(\.from?.name) == ["gone"])
        #expect(changes.map(\.pauseMilliseconds) == [27_001.5])
        #expect(try await journal.changes(of: slots[1], limit: 9).map(\.pauseMilliseconds) == [nil])
        await journal.close()
    }

    @Test func `the end of a node that kept its slots is its last sign of life`() async throws {
        let database = try await TestDatabase.make()
        let first = try await database.journal(name: "first", lease: 20_000_000_000)
        let epoch = try await first.claim(slots)[0].epoch
        await first.close()
        let clock = ManualClock(at: Timestamp(milliseconds: 0))
        let second = try await database.journal(name: "second", lease: 20_000_000_000, clock: clock)
        let claims = try await second.claim(slots)
        #expect(claims.count == 2)
        for claim in claims {
            let since = try #require(claim.unservedSince)
            #expect(since <= 1_000_000_000 && claim.epoch > epoch)
        }
        #expect(try await second.changes(of: slots[0], limit: 9).map(\.cause) == ["crash", "claim"])
        await second.close()
    }
}
