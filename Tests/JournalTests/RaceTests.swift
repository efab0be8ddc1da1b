// Nodes that compete for slots on one database, and a checker that counts in the tables what must never be there. Three
// weaker forms of the fence run under the same checker, which must find each of them out.

import Protocol
import Testing

@testable import Journal

@Suite(.needsServer, .serialized, .timeLimit(.minutes(4)))
struct RaceTests {
    private func count(_ database: TestDatabase, _ sql: String) async throws -> Int {
        Int(try await database.sql("SELECT (\(sql))::text").first ?? "") ?? -1
    }

    @Test func `no stale row is let in and no deadlock appears over hundreds of take-overs`() async throws {
        let database = try await TestDatabase.make()
        let race = Race(database: database, nodes: 4, slots: 12, burials: 120, seed: 20)
        try await race.run()
        let violations = try await RaceChecker.violations(in: database, told: race.arena)
        #expect(violations.isEmpty)
        let takeOvers = try await count(database, "SELECT count(*) FROM ownership_log WHERE from_node IS NOT NULL")
        let handOffs = try await count(database, "SELECT count(*) FROM ownership_log WHERE cause = 'hand-off'")
        let deadlocks = try await count(
            database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        #expect(takeOvers >= 200)
        #expect(deadlocks == 0)
        #expect(race.arena.acked.count > 200)
        #expect(race.arena.fenced.count > 50)
        print(
            "race: \(takeOvers) take-overs (\(handOffs) by hand-off), \(race.arena.acked.count) rows acknowledged,",
            "\(race.arena.fenced.count) refused, \(race.arena.retries) sent again, \(deadlocks) deadlocks")
    }

    /// Rounds of the same race until the checker finds something.
    private func caught(_ what: String, _ make: (TestDatabase, UInt64) -> Race) async throws {
        for round in UInt64(1)...25 {
            let database = try await TestDatabase.make()
            let race = make(database, round)
            try await race.run()
            let violations = try await RaceChecker.violations(in: database, told: race.arena)
            guard !violations.isEmpty else { continue }
            print("race: \(what) was caught in round \(round): \(violations.sorted { $0.key < $1.key })")
            return
        }
        Issue.record("\(what) was not caught")
    }

    @Test func `a flush that takes only a key share lock is caught`() async throws {
        // A claim's FOR UPDATE does wait for a key share lock; a hand-off's UPDATE, which touches no key, does not.
        try await caught("FOR KEY SHARE") {
            Race(database: $0, fence: .keyShare, take: .handOff, burials: 40, seed: $1)
        }
    }

    @Test func `a flush that only compares the epoch is caught`() async throws {
        try await caught("a flush without a lock") {
            Race(database: $0, fence: .none, take: .claim, burials: 20, seed: $1)
        }
    }

    @Test func `a claim that reads the tails in the statement that waits is caught`() async throws {
        try await caught("a claim in one statement") {
            Race(database: $0, take: .oneStatement, burials: 20, seed: $1)
        }
    }

    @Test(arguments: [
        ("a row of an older epoch is above the tail that a later claim read", "UPDATE ownership_log SET tail_lsn = 1"),
        ("epochs fall while lsns rise", "UPDATE journal SET epoch = 9 WHERE lsn = 1"),
        ("an lsn is missing", "DELETE FROM journal WHERE lsn = 2"),
        ("an acknowledged row is missing or another", "UPDATE journal SET checksum = 5 WHERE lsn = 1"),
        ("an acknowledged row is missing or another", "DELETE FROM journal WHERE lsn = 3"),
        (
            "a row is there that was refused",
            "UPDATE journal SET flush = '00000000-0000-0002-0000-000000000004' WHERE lsn = 3"
        ),
        (
            "a row is there of which nobody was told",
            "INSERT INTO journal SELECT slot, 4, epoch, gen_random_uuid(), 1, '', '', 1, now() FROM journal WHERE lsn = 3"
        ),
        (
            "two committed in one epoch",
            "UPDATE journal SET flush = '00000000-0000-0009-0000-000000000001' WHERE lsn = 1"
        ),
        (
            "an epoch was claimed twice",
            "INSERT INTO ownership_log(slot, epoch, cause, tail_lsn) SELECT slot, epoch, 'again', 2 FROM ownership_log"
        ),
    ])
    func `the checker finds what is planted`(rule: String, damage: String) async throws {
        let database = try await TestDatabase.make()
        let arena = Arena()
        // Two rows of one owner, one of the next, which refused a fourth.
        let rows = [(1, 5, 1), (2, 5, 1), (3, 6, 2), (3, 5, 2)].enumerated().map { index, row in
            SealedRow(
                slot: Slot(0), lsn: UInt64(row.0), epoch: UInt64(row.1),
                flush: UInt128(row.2) << 64 | UInt128(index + 1),
                count: 1, campaigns: [], payload: [])
        }
        for row in rows[..<3] {
            let bits = String(row.flush, radix: 16)
            let flush = String(repeating: "0", count: 32 - bits.count) + bits
            try await database.sql(
                """
                INSERT INTO journal VALUES(0, \(row.lsn), \(row.epoch), '\(flush)', 1, '', '',
                    \(Int64(bitPattern: row.checksum)), now()) RETURNING 'stored'
                """)
        }
        try await database.sql(
            "INSERT INTO ownership_log(slot, epoch, cause, tail_lsn) VALUES(0, 6, 'claim', 2) RETURNING 'logged'")
        arena.update { state in
            state.acked = Array(rows[..<3])
            state.fenced = [rows[3]]
        }
        #expect(try await RaceChecker.violations(in: database, told: arena).isEmpty)
        try await database.sql("\(damage) RETURNING 'damaged'")
        #expect(try await RaceChecker.violations(in: database, told: Arena()).keys.contains(rule))
    }
}
