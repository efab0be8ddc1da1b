// A gate inside the database, so that a test can stop a statement where it wants to, and know that it stands there.

import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

/// While it is shut, statements that touch a table wait in a trigger.
struct DatabaseGate: Sendable {
    let key: Int64
    private let pool: PostgresPool

    private static let lock = PostgresStatement("gate.lock", [.int64], "SELECT pg_advisory_lock($1)")
    private static let unlock = PostgresStatement("gate.unlock", [.int64], "SELECT pg_advisory_unlock($1)")
    private static let stopped = PostgresStatement(
        "gate.stopped", [.int64],
        """
        SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted AND classid::int8 << 32 | objid::int8 = $1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """)
    private static let waiting = PostgresStatement(
        "gate.waiting", [.text],
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = $1")

    /// - Parameter event: `AFTER INSERT` and the like. After an insert its row is there, and not committed.
    static func make(_ database: TestDatabase, _ event: String, on table: String, pool: PostgresPool) async throws
        -> Self
    {
        let key = Int64(table.utf8.reduce(7) { $0 &* 31 &+ Int($1) })
        for (index, text) in [
            """
            CREATE FUNCTION gate_\(table)() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(\(key)); RETURN NEW; END'
            """,
            "CREATE TRIGGER gate \(event) ON \(table) FOR EACH ROW EXECUTE FUNCTION gate_\(table)()",
        ].enumerated() {
            let statement = PostgresStatement("gate.\(table).\(index)", [], text)
            _ = try await pool.execute(.lease, statement, deadline: within(20))
        }
        return Self(key: key, pool: pool)
    }

    func shut() async throws { _ = try await pool.execute(.lease, Self.lock, [.int64(key)], deadline: within(20)) }

    func open() async throws { _ = try await pool.execute(.lease, Self.unlock, [.int64(key)], deadline: within(20)) }

    /// Asks until so many statements wait at this gate.
    func untilStopped(_ count: Int64) async throws {
        var found: Int64 = 0
        while found < count {
            found = try await pool.execute(.lease, Self.stopped, [.int64(key)], deadline: within(20)).value(0, 0)
            await Task.yield()
        }
    }

    /// Asks until so many statements wait: for `transactionid` or `tuple`, another's row.
    func until(_ count: Int64, waitFor event: String...) async throws {
        try await Self.until(count, waitFor: event, on: pool)
    }

    /// Asks, on a connection that is in no transaction, until so many statements of its database wait.
    static func until(_ count: Int64, waitFor events: [String], on pool: PostgresPool) async throws {
        while true {
            var found: Int64 = 0
            for event in events {
                let result = try await pool.execute(.lease, waiting, [.text(event)], deadline: within(20))
                found += try result.value(0, 0, as: Int64.self)
            }
            if found >= count { return }
            await Task.yield()
        }
    }
}

/// A row as an earlier attempt of a journal sent it, on a connection that the journal knows nothing of.
func flush(_ row: SealedRow, as journal: PostgresJournal, _ statement: PostgresStatement, on pool: PostgresPool)
    async throws -> Int
{
    let values: [PostgresValue] = [
        .int32Array([Int32(row.slot.index)]), .uint64Array([row.lsn]), .uint64Array([row.epoch]),
        .uuidArray([row.flush]), .int32Array([Int32(bitPattern: row.count)]),
        .bytesArray([PostgresJournalCore.pack(row.campaigns)]), .bytesArray([row.payload]),
        .uint64Array([row.checksum]), .uuid(journal.core.identity.incarnation),
    ]
    return try await pool.execute(.read, statement, values, deadline: within(20)).rowCount
}

extension PostgresJournalCore {
    /// Trims once more, and waits for it.
    func trimAgain(_ slot: Slot) async {
        trims.append(slot)
        startMaintenance()
        await maintaining?.value
    }

    /// Outcomes that wait for a renewal.
    var withheldCount: Int { withheld.count }
}

extension TestDatabase {
    /// What a peer does once the lease has lapsed.
    func bury(_ journal: PostgresJournal) async throws {
        let bits = String(journal.core.identity.incarnation, radix: 16)
        let id = String(repeating: "0", count: 32 - bits.count) + bits
        try await sql("UPDATE node_lease SET dead = true WHERE incarnation = '\(id)' RETURNING 'dead'")
    }
}
