// Who may write: journals whose node is suspended, buried, one of two or met by another schema.

import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

@Suite(.needsServer, .serialized, .timeLimit(.minutes(2)))
struct LeaseTests {
    let slot = Slot(7)

    private func refusal(_ database: TestDatabase) async -> String {
        do {
            let journal = try await database.journal()
            await journal.close()
            return "opened"
        } catch {
            return "\(error)"
        }
    }

    @Test func `a node that was declared dead is told, and refuses rows`() async throws {
        let database = try await TestDatabase.make()
        let told = Recorder<String>()
        let journal = try await database.journal(onLeaseLost: { told.append("lost") })
        let epoch = try await journal.claim([slot])[0].epoch
        let first = row(1, epoch: epoch)
        #expect(await journal.flush([first]) == [.committed])
        try await database.bury(journal)
        await told.reached(1)
        #expect(await journal.flush([row(2, epoch: epoch)]) == [.fenced])
        #expect(await journal.flush([first]) == [.committed])
        #expect(await journal.snapshot(1, lsn: 1, epoch: epoch) == .failed(.fenced(slot)))
        await #expect(throws: JournalError.self) { _ = try await journal.claim([slot]) }
        await journal.close()
        #expect(told.all.count == 1)
        #expect(try await database.sql("SELECT count(*)::text FROM journal") == ["1"])
    }

    @Test func `a suspended node withholds what it committed until its lease is renewed`() async throws {
        let database = try await TestDatabase.make()
        let clock = ManualClock(at: Timestamp(milliseconds: 0))
        let journal = try await database.journal(lease: LeaseMachine.ttl, clock: clock)
        let epoch = try await journal.claim([slot])[0].epoch
        let outcomes = Recorder<FlushOutcome>()
        try await TestDatabase.withPool(database.url) { pool in
            let renewals = try await DatabaseGate.make(database, "BEFORE UPDATE", on: "node_lease", pool: pool)
            let flushes = try await DatabaseGate.make(database, "AFTER INSERT", on: "journal", pool: pool)
            try await renewals.shut()
            try await flushes.shut()
            for lsn in UInt64(1)...2 {
                #expect(journal.submit([row(lsn, epoch: epoch)]) { outcomes.append($0[0].outcome) })
                if lsn == 1 {
                    // The first is in the table when the lease lapses; the second is not even sent.
                    try await flushes.untilStopped(1)
                    clock.advance(milliseconds: 3000)
                }
            }
            try await flushes.open()
            while outcomes.all.count + (await journal.core.withheldCount) < 2 { await Task.yield() }
            // Whoever waits for the second learns at once that it must wait: that says nothing of what is stored.
            #expect(outcomes.all == [.failed(.suspended)])
            let stored = PostgresStatement("lease.stored", [], "SELECT count(*) FROM journal")
            let count: Int64 = try await pool.execute(.lease, stored, deadline: within(20)).value(0, 0)
            #expect(count == 1)
            await #expect(throws: JournalError.self) { _ = try await journal.claim([Slot(8)]) }
            try await renewals.open()
        }
        await outcomes.reached(2)
        #expect(outcomes.all.last == .committed)
        #expect(await journal.flush([row(2, epoch: epoch)]) == [.committed])
        await journal.close()
    }

    @Test func `a second sole node is refused while the first renews`() async throws {
        let database = try await TestDatabase.make()
        let first = try await database.journal(name: "first")
        try await first.becomeSoleNode()
        let second = try await database.journal(name: "second")
        do {
            try await second.becomeSoleNode()
            Issue.record("two nodes alone")
        } catch {
            #expect("\(error)".contains("in use by node first"))
        }
        await second.close()
        let epoch = try await first.claim([slot])[0].epoch
        #expect(await first.flush([row(1, epoch: epoch)]) == [.committed])
        await first.close()
    }

    @Test func `a sole node waits for the lease of one that crashed, then takes its slots over`() async throws {
        let database = try await TestDatabase.make()
        try await database.sql(
            """
            WITH gone AS (
                INSERT INTO node_lease(incarnation, name, address, weight, started, expires)
                VALUES(gen_random_uuid(), 'gone', '', 1, clock_timestamp(), clock_timestamp() + interval '1 second')
                RETURNING incarnation
            ) UPDATE slot_lease SET owner = incarnation, epoch = 1 FROM gone WHERE slot = 7 RETURNING 'owned'
            """)
        let journal = try await database.journal()
        #expect(try await journal.claim([slot]).isEmpty)
        try await journal.becomeSoleNode()
        #expect(try await database.sql("SELECT dead::text FROM node_lease WHERE name = 'gone'") == ["true"])
        #expect(try await journal.claim([slot]).map(\.tail) == [0])
        #expect(try await database.sql("SELECT count(*)::text FROM ownership_log WHERE slot = 7") == ["1"])
        await journal.close()
    }

    @Test func `who waits for the row of a slot keeps nobody from renewing a lease`() async throws {
        let database = try await TestDatabase.make()
        let (giver, taker) = (try await database.journal(name: "giver"), try await database.journal(name: "taker"))
        let epoch = try await giver.claim([slot])[0].epoch
        let target = taker.core.identity.incarnation
        let ceded = try await waiting(database, locked: [slot]) { try await giver.cede([slot: epoch], to: target) }
        #expect(ceded[slot].map { $0 > epoch } == true)
        let claimed = try await waiting(database, locked: [slot]) { try await taker.claim([slot, Slot(8)]) }
        #expect(claimed.map(\.slot) == [slot, Slot(8)])
        for journal in [giver, taker] { await journal.close() }
    }

    /// Does something while the rows of these slots are held; releases them once it waits for one, and once all leases
    /// were found free.
    private func waiting<Value: Sendable>(
        _ database: TestDatabase, locked: [Slot], _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let done = Locked<Value?>(nil)
        let slots = locked.map { "\($0.index)" }.joined(separator: ", ")
        try await TestDatabase.withPool(database.url) { holder in
            let script: @Sendable (String) async throws -> Void = { text in
                let limit = within(20)
                try await holder.withConnection(.lease, deadline: limit) {
                    connection async throws(PostgresError) in try await connection.run(script: text, deadline: limit)
                }
            }
            try await script("BEGIN; SELECT slot FROM slot_lease WHERE slot IN (\(slots)) FOR UPDATE")
            async let value = body()
            try await TestDatabase.withPool(database.url) { observer in
                try await DatabaseGate.until(1, waitFor: ["transactionid"], on: observer)
            }
            try await script("SELECT name FROM node_lease FOR UPDATE NOWAIT; COMMIT")
            let result = try await value
            done.withLock { $0 = result }
        }
        return try #require(done.withLock { $0 })
    }

    @Test func `another schema is refused with the command that helps`() async throws {
        let empty = try await TestDatabase.make(migrated: false)
        #expect(await refusal(empty).contains("run `tumulte migrate`"))
        let database = try await TestDatabase.make()
        try await database.sql("UPDATE schema_version SET version = version + 1 RETURNING 'newer'")
        #expect(await refusal(database).contains("run the newer program"))
        await #expect(throws: JournalError.self) { try await database.migrate() }
        try await database.sql("UPDATE schema_version SET version = 0 RETURNING 'older'")
        #expect(await refusal(database).contains("run `tumulte migrate`"))
    }

    @Test func `migrations that run at once take each step once`() async throws {
        let database = try await TestDatabase.make(migrated: false)
        let before = Recorder<Int>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<5 {
                group.addTask {
                    try await TestDatabase.withPool(database.url) { pool in
                        before.append(try await PostgresMigration.run(pool, deadline: within(60)))
                    }
                }
            }
            try await group.waitForAll()
        }
        let version = PostgresMigration.version
        #expect(before.all.sorted() == [0] + Array(repeating: version, count: 4))
        #expect(try await database.sql("SELECT version::text FROM schema_version") == ["\(version)"])
        #expect(try await database.sql("SELECT count(*)::text FROM slot_lease") == ["4096"])
    }
}

/// Beside the others, since it takes its ten seconds.
@Suite(.timeLimit(.minutes(1)))
struct UnreachableServerTests {
    @Test func `a server that cannot be reached is given up in time`() async throws {
        let database = TestDatabase(url: "postgres://tumulte:tumulte@127.0.0.1:1/none")
        await #expect(throws: JournalError.self) { _ = try await database.journal() }
    }
}
