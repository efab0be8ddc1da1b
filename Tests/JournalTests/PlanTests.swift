// How PostgreSQL runs what a node says all day: by an index, and without growing the tables of leases.

import Foundation
import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

@Suite(.needsServer, .serialized, .timeLimit(.minutes(2)))
struct PlanTests {
    /// A cluster of three nodes that has been at work: 51,200 rows in 512 slots, two snapshots each of 20,000 campaigns.
    static let filling = [
        """
        INSERT INTO node_lease(incarnation, name, address, weight, started, expires)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'node' || n, '', 1, clock_timestamp(), clock_timestamp()
        FROM generate_series(1, 3) AS n
        """,
        "UPDATE slot_lease SET owner = lpad(to_hex(1 + slot % 3), 32, '0')::uuid, epoch = 1000",
        """
        INSERT INTO journal(slot, lsn, epoch, flush, count, campaigns, payload, checksum, stored_at)
        SELECT slot, lsn, 1000, gen_random_uuid(), 1, decode(repeat('ab', 16), 'hex'),
            decode(repeat('cd', 200), 'hex'), 0, clock_timestamp()
        FROM generate_series(0, 511) AS slot, generate_series(1, 100) AS lsn
        """,
        """
        INSERT INTO snapshot(campaign, slot, lsn, epoch, format, ordinal, voters, bytes, checksum, complete,
            stored_at, state)
        SELECT lpad(to_hex(campaign), 32, '0')::uuid, campaign % 512, 10 * ordinal, 1000, 1, ordinal, false, 100, 0,
            true, clock_timestamp(), decode(repeat('ef', 100), 'hex')
        FROM generate_series(1, 20000) AS campaign, generate_series(1, 2) AS ordinal
        """,
        "ANALYZE",
    ]

    /// Statements that name `journal`, `snapshot` or `slot_lease` on the road of a vote, a snapshot or a take-over.
    private static let road: [PostgresStatement] = {
        let statements = PostgresStatements()
        return [
            statements.flush, statements.lookUp, LeaseStatements.renew, statements.storeSnapshot,
            statements.completeSnapshot, statements.pruneSnapshots, statements.trim, statements.tails,
            statements.rowsAfter, statements.snapshotState, statements.newestSnapshots, statements.slotStates,
            statements.lockSlots, statements.claimSlots,
        ]
    }()

    private static let typeNames: [PostgresType: String] = [
        .bool: "bool", .bytes: "bytea", .int64: "bigint", .int32: "integer", .text: "text",
        .float8: "double precision", .timestamp: "timestamptz", .uuid: "uuid", .bytesArray: "bytea[]",
        .int32Array: "integer[]", .int64Array: "bigint[]", .uuidArray: "uuid[]",
    ]

    /// What must be sent so that the plan of a statement, whatever its values, is answered.
    private static func preparation(_ number: Int, _ statement: PostgresStatement) throws -> String {
        let types = try statement.parameters.map { try #require(typeNames[$0]) }
        return "PREPARE plan\(number)(\(types.joined(separator: ", "))) AS \(statement.sql)"
    }

    private static func question(_ number: Int, _ statement: PostgresStatement) -> PostgresStatement {
        let values = Array(repeating: "NULL", count: statement.parameters.count).joined(separator: ", ")
        return PostgresStatement("explain\(number)", [], "EXPLAIN EXECUTE plan\(number)(\(values))")
    }

    /// The generic plan of each statement, in one session.
    private static func plans(_ statements: [PostgresStatement], on database: TestDatabase) async throws -> [String] {
        let preparations = try statements.enumerated().map { try preparation($0.offset, $0.element) }
        let questions = statements.enumerated().map { question($0.offset, $0.element) }
        let script = (["SET plan_cache_mode = force_generic_plan"] + preparations).joined(separator: ";\n")
        let found = Locked<[String]>([])
        try await TestDatabase.withPool(database.url) { pool in
            try await pool.withConnection(.read, deadline: within(60)) { connection async throws(PostgresError) in
                try await connection.run(script: script, deadline: within(60))
                for question in questions {
                    let result = try await connection.execute(question, [], deadline: within(60))
                    var lines: [String] = []
                    for row in 0..<result.rowCount { lines.append(try result.value(row, 0)) }
                    let plan = lines.joined(separator: "\n")
                    found.withLock { $0.append(plan) }
                }
            }
        }
        return found.withLock { $0 }
    }

    private static func scansWhole(_ plan: String) -> Bool {
        plan.split(separator: "\n").contains { line in
            ["journal", "snapshot", "slot_lease"].contains { table in
                line.contains("Seq Scan on \(table) ") || line.hasSuffix("Seq Scan on \(table)")
            }
        }
    }

    @Test func `no statement on the road reads a whole table`() async throws {
        let database = try await TestDatabase.make()
        for statement in Self.filling { try await database.sql(statement) }
        let plans = try await Self.plans(Self.road, on: database)
        #expect(plans.count == Self.road.count)
        for (statement, plan) in zip(Self.road, plans) {
            #expect(!Self.scansWhole(plan), "\(statement.name):\n\(plan)")
            if ProcessInfo.processInfo.environment["TUMULTE_PLANS"] != nil { print("\(statement.name):\n\(plan)\n") }
        }
    }

    @Test func `the check of plans sees a scan of a whole table`() async throws {
        let database = try await TestDatabase.make()
        for statement in Self.filling { try await database.sql(statement) }
        let slow = PostgresStatement("slow", [.int32], "SELECT lsn FROM journal WHERE count = $1")
        #expect(try await Self.plans([slow], on: database).map(Self.scansWhole) == [true])
    }

    @Test func `renewals and claims update their rows in place`() async throws {
        let database = try await TestDatabase.make()
        let before = try await updates(database, "slot_lease")
        let journal = try await database.journal()
        let slots = (0..<512).map { Slot($0) }
        for _ in 0..<20 { #expect(try await journal.claim(slots).count == slots.count) }
        let values: [PostgresValue] = [.uuid(journal.core.identity.incarnation), .float8(3)]
        for _ in 0..<200 {
            _ = try await journal.core.pool.execute(.lease, LeaseStatements.renew, values, deadline: within(60))
        }
        await journal.close()
        for (table, expected) in [("slot_lease", before.all + 20 * slots.count), ("node_lease", 200)] {
            // A session counts what it did at the latest when it ends, a moment after the connection.
            var seen = try await updates(database, table)
            for _ in 0..<1000 where seen.all < expected { seen = try await updates(database, table) }
            #expect(seen.all >= expected)
            #expect(seen.inPlace * 100 >= seen.all * 75, "\(table): \(seen.inPlace) of \(seen.all) updates in place")
        }
    }

    private func updates(_ database: TestDatabase, _ table: String) async throws -> (all: Int, inPlace: Int) {
        let counts = try await database.sql(
            "SELECT n_tup_upd || ' ' || n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '\(table)'")
        let numbers = try #require(counts.first).split(separator: " ").compactMap { Int($0) }
        try #require(numbers.count == 2)
        return (numbers[0], numbers[1])
    }
}
