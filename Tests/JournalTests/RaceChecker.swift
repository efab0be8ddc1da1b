// Counts in the tables themselves, by SQL, what must never be there after nodes raced for slots. It trusts nothing of
// the journal's own code but what the workers were told, which they hand over as rows of the table `told`.

import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

struct RaceChecker {
    /// Each rule, and a count of what breaks it.
    static let rules: [(rule: String, sql: String)] = [
        (
            "a row of an older epoch is above the tail that a later claim read",
            """
            SELECT count(*) FROM journal j WHERE EXISTS (SELECT 1 FROM ownership_log o
                WHERE o.slot = j.slot AND o.epoch > j.epoch AND j.lsn > o.tail_lsn)
            """
        ),
        (
            "epochs fall while lsns rise",
            """
            SELECT count(*) FROM (SELECT epoch < lag(epoch) OVER (PARTITION BY slot ORDER BY lsn) AS falls
                FROM journal) AS rows WHERE falls
            """
        ),
        (
            "an lsn is missing",
            """
            SELECT count(*) FROM (SELECT lsn <> row_number() OVER (PARTITION BY slot ORDER BY lsn) AS gap
                FROM journal) AS rows WHERE gap
            """
        ),
        (
            "an acknowledged row is missing or another",
            """
            SELECT count(*) FROM told t LEFT JOIN journal j ON j.slot = t.slot AND j.lsn = t.lsn
            WHERE t.what = 'acked'
                AND (j.flush, j.epoch, j.checksum) IS DISTINCT FROM (t.flush, t.epoch, t.checksum)
            """
        ),
        (
            "a row is there that was refused",
            "SELECT count(*) FROM told t JOIN journal j ON j.flush = t.flush WHERE t.what = 'fenced'"
        ),
        (
            "a row is there of which nobody was told",
            "SELECT count(*) FROM journal j WHERE NOT EXISTS (SELECT 1 FROM told t WHERE t.flush = j.flush)"
        ),
        (
            "two committed in one epoch",
            """
            SELECT count(*) FROM (SELECT 1 FROM journal GROUP BY slot, epoch
                HAVING count(DISTINCT left(flush::text, 18)) > 1) AS shared
            """
        ),
        (
            "an epoch was claimed twice",
            "SELECT count(*) FROM (SELECT 1 FROM ownership_log GROUP BY slot, epoch HAVING count(*) > 1) AS twice"
        ),
    ]

    /// What was broken, and how often; empty is good.
    static func violations(in database: TestDatabase, told arena: Arena) async throws -> [String: Int] {
        let found = Locked<[String: Int]>([:])
        try await TestDatabase.withPool(database.url) { pool in
            try await store(arena, pool)
            for (index, rule) in rules.enumerated() {
                let statement = PostgresStatement("check.\(index)", [], rule.sql)
                let result = try await pool.execute(.read, statement, deadline: within(60))
                let count: Int64 = try result.value(0, 0)
                if count > 0 { found.withLock { $0[rule.rule] = Int(count) } }
            }
        }
        return found.withLock { $0 }
    }

    private static func store(_ arena: Arena, _ pool: PostgresPool) async throws {
        let create = PostgresStatement(
            "told.create", [],
            """
            CREATE TABLE IF NOT EXISTS told(slot integer, lsn bigint, epoch bigint, flush uuid, checksum bigint,
                what text)
            """)
        _ = try await pool.execute(.read, create, deadline: within(60))
        let insert = PostgresStatement(
            "told.insert", [.int32Array, .int64Array, .int64Array, .uuidArray, .int64Array, .text],
            "INSERT INTO told SELECT *, $6 FROM unnest($1, $2, $3, $4, $5)")
        for (what, rows) in [("acked", arena.acked), ("fenced", arena.fenced)] {
            _ = try await pool.execute(
                .read, insert,
                [
                    .int32Array(rows.map { Int32($0.slot.index) }), .uint64Array(rows.map(\.lsn)),
                    .uint64Array(rows.map(\.epoch)), .uuidArray(rows.map(\.flush)),
                    .uint64Array(rows.map(\.checksum)), .text(what),
                ], deadline: within(60))
        }
    }
}
