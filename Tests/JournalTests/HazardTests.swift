// Each rule that keeps the journal whole, in the schedule that breaks it. Where the rule is a statement, its broken form
// runs through the same schedule and must do the damage: else the schedule proves nothing.

import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

@Suite(.needsServer, .serialized, .timeLimit(.minutes(2)))
struct HazardTests {
    let slot = Slot(7)

    @Test func `a row that was changed after it was sealed is fenced and never merged`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal()
        let epoch = try await journal.claim([slot])[0].epoch
        let sealed = row(1, epoch: epoch, flush: 9)
        let changed = row(1, epoch: epoch, bytes: 41, flush: 9)
        #expect(await journal.flush([sealed, changed]) == [.committed, .fenced])
        #expect(await journal.flush([changed]) == [.fenced])
        #expect(await journal.flush([sealed]) == [.committed])
        #expect(try await journal.recover(slot).rows == [sealed])
        // The earlier attempt's reply was lost: the journal does not know that the place is taken.
        let second = row(2, epoch: epoch, flush: 10)
        try await TestDatabase.withPool(database.url) { pool in
            let count = try await flush(second, as: journal, PostgresStatements().flush, on: pool)
            #expect(count == 1)
        }
        #expect(await journal.flush([row(2, epoch: epoch, bytes: 41, flush: 10)]) == [.fenced])
        #expect(await journal.flush([second]) == [.committed])
        #expect(try await journal.recover(slot).rows == [sealed, second])
        await journal.close()
    }

    @Test func `a row that nobody sent yet is not let in after its slot was lost`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal()
        let epoch = try await journal.claim([slot])[0].epoch
        try await TestDatabase.withPool(database.url) { pool in
            let other = row(1, epoch: epoch, flush: 5)
            let count = try await flush(other, as: journal, PostgresStatements().flush, on: pool)
            #expect(count == 1)
        }
        #expect(await journal.flush([row(1, epoch: epoch)]) == [.fenced])
        // `slot_lease` still names this node: only its own memory keeps it from leaving a gap.
        #expect(await journal.flush([row(4, epoch: epoch)]) == [.fenced])
        #expect(try await database.sql("SELECT count(*)::text FROM journal") == ["1"])
        await journal.close()
    }

    @Test func `a claim that is heard of late does not displace a newer one`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal()
        let (old, new) = (try await journal.claim([slot])[0], try await journal.claim([slot])[0])
        await journal.core.take([old])
        #expect(await journal.flush([row(1, epoch: new.epoch)]) == [.committed])
        await journal.close()
    }

    /// An earlier attempt has inserted its row and not committed when the row is sent again.
    private func sendTwice(
        _ database: TestDatabase, _ journal: PostgresJournal, _ row: SealedRow,
        again: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await TestDatabase.withPool(database.url) { holder in
            let gate = try await DatabaseGate.make(database, "AFTER INSERT", on: "journal", pool: holder)
            try await gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await TestDatabase.withPool(database.url) { pool in
                        let count = try await flush(row, as: journal, PostgresStatements().flush, on: pool)
                        #expect(count == 1)
                    }
                }
                try await gate.untilStopped(1)
                group.addTask { try await again() }
                try await gate.until(1, waitFor: "transactionid")
                try await gate.open()
                try await group.waitForAll()
            }
        }
    }

    @Test func `an attempt that commits while it is sent again is found by a later statement`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal()
        let row = row(1, epoch: try await journal.claim([slot])[0].epoch)
        try await sendTwice(database, journal, row) { #expect(await journal.flush([row]) == [.committed]) }
        await journal.close()
    }

    @Test func `a look-up in the statement that waits would miss it`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal()
        let row = row(1, epoch: try await journal.claim([slot])[0].epoch)
        let strict = PostgresStatements().flush
        let insert = strict.sql.replacing("INSERT INTO journal", with: ", sent AS (INSERT INTO journal")
        let merged = PostgresStatement(
            "hazard.merged", strict.parameters,
            insert + """
                ) SELECT slot, lsn FROM sent
                UNION SELECT j.slot, j.lsn FROM journal j JOIN batch b ON b.slot = j.slot AND b.lsn = j.lsn
                """)
        try await sendTwice(database, journal, row) {
            try await TestDatabase.withPool(database.url) { pool in
                let count = try await flush(row, as: journal, merged, on: pool)
                #expect(count == 0)
            }
        }
        await journal.close()
    }

    /// A claim waits for a flush that has locked its slot. Returns the tail that it read.
    private func claimDuringFlush(
        _ take: @escaping @Sendable ([Slot], PostgresJournal) async throws -> [SlotClaim]
    ) async throws -> UInt64? {
        let database = try await TestDatabase.make()
        let (old, new) = (try await database.journal(), try await database.journal())
        let row = row(1, epoch: try await old.claim([slot])[0].epoch)
        let tails = Recorder<UInt64>()
        try await TestDatabase.withPool(database.url) { holder in
            let gate = try await DatabaseGate.make(database, "AFTER INSERT", on: "journal", pool: holder)
            try await gate.shut()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { #expect(await old.flush([row]) == [.committed]) }
                try await gate.untilStopped(1)
                try await database.bury(old)
                group.addTask {
                    let claims = try await take([slot], new)
                    for claim in claims { tails.append(claim.tail) }
                }
                try await gate.until(1, waitFor: "transactionid", "tuple")
                try await gate.open()
                try await group.waitForAll()
            }
        }
        await old.close()
        await new.close()
        return tails.all.first
    }

    @Test func `a claim waits for the flush at work and reads its row as the tail`() async throws {
        #expect(try await claimDuringFlush { try await $1.claim($0) } == 1)
        #expect(try await claimDuringFlush { try await Race.claimAtOnce($0, for: $1) } == 0)
    }

    /// A zombie trims once more after another node took over. Returns how many rows are left of 9.
    private func rowsAfterZombie(trim: PostgresStatement) async throws -> [String] {
        let database = try await TestDatabase.make()
        let zombie = try await database.journal(statements: PostgresStatements(trim: trim))
        var epoch = try await zombie.claim([slot])[0].epoch
        for lsn in UInt64(1)...9 { #expect(await zombie.flush([row(lsn, epoch: epoch)]) == [.committed]) }
        // Not buried: its next renewal would tell it.
        try await database.sql("UPDATE slot_lease SET owner = NULL WHERE slot = 7 RETURNING 'ceded'")
        // The new owner does not trim, so that whatever goes is the zombie's doing.
        let strict = PostgresStatements().trim
        let none = PostgresStatement(
            strict.name, strict.parameters, strict.sql.replacing("<= $4", with: "< 0 * $4"))
        let owner = try await database.journal(statements: PostgresStatements(trim: none))
        epoch = try await owner.claim([slot])[0].epoch
        for lsn in [UInt64(5), 8] { #expect(await owner.snapshot(1, lsn: lsn, epoch: epoch) == .stored) }
        await zombie.core.trimAgain(slot)
        let left = try await database.sql("SELECT count(*)::text FROM journal")
        await zombie.close()
        await owner.close()
        return left
    }

    @Test func `a zombie trims nothing`() async throws {
        let strict = PostgresStatements().trim
        #expect(try await rowsAfterZombie(trim: strict) == ["9"])
        let unfenced = PostgresStatement(
            strict.name, strict.parameters,
            strict.sql.replacing("l.epoch = $2 AND l.owner = $3", with: "$2 > 0 AND $3 IS NOT NULL"))
        #expect(try await rowsAfterZombie(trim: unfenced) == ["4"])
    }

    /// Only a snapshot knows where the slot stands. Returns the tail that a claim reads.
    private func tailOfSnapshot(_ statements: PostgresStatements) async throws -> UInt64? {
        let database = try await TestDatabase.make()
        let first = try await database.journal()
        let epoch = try await first.claim([slot])[0].epoch
        for lsn in UInt64(1)...5 { #expect(await first.flush([row(lsn, epoch: epoch)]) == [.committed]) }
        #expect(await first.snapshot(1, lsn: 5, epoch: epoch) == .stored)
        await first.close()
        try await database.sql("DELETE FROM journal RETURNING '1'")
        let second = try await database.journal(statements: statements)
        let claim = try await second.claim([slot]).first
        if let claim, claim.tail == 5 {
            #expect(await second.flush([row(6, epoch: claim.epoch)]) == [.committed])
            #expect(try await second.recover(slot).rows.map(\.lsn) == [6])
        }
        await second.close()
        return claim?.tail
    }

    @Test func `the tail is the newest snapshot's where its row is gone`() async throws {
        #expect(try await tailOfSnapshot(PostgresStatements()) == 5)
        let rowsOnly = PostgresStatement(
            "hazard.tails", [.int32Array],
            "SELECT w.slot, coalesce((SELECT max(lsn) FROM journal j WHERE j.slot = w.slot), 0) FROM unnest($1) AS w(slot)"
        )
        #expect(try await tailOfSnapshot(PostgresStatements(tails: rowsOnly)) == 0)
    }
}
