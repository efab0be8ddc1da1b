// Commands that speak to a database without being a node of it.

import Journal
import Platform
import Postgres

enum DatabaseCommands {
    private static let patience: UInt64 = 30_000_000_000
    /// A step may rewrite a large table.
    private static let migrationPatience: UInt64 = 3_600_000_000_000

    /// Brings the schema up to this program's; returns the version before.
    static func migrate(_ database: PostgresConfiguration) async throws -> Int {
        try await withPool(database) { pool in
            // Whether the server answers at all is found out sooner than how long a step takes.
            try await reach(pool)
            return try await PostgresMigration.run(pool, deadline: deadline(migrationPatience))
        }
    }

    /// Reaches the server and judges its settings, its schema and its room for connections.
    static func check(_ database: PostgresConfiguration, connections: Int) async throws {
        _ = try await withPool(database) { pool in
            try await PostgresMigration.check(pool, connections: connections, deadline: deadline(patience))
            return 0
        }
    }

    private static func reach(_ pool: PostgresPool) async throws {
        _ = try await pool.execute(
            .read, PostgresStatement("reach", [], "SELECT 1"), deadline: deadline(10_000_000_000))
    }

    private static func deadline(_ nanoseconds: UInt64) -> MonotonicTime {
        MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + nanoseconds)
    }

    private static func withPool(
        _ database: PostgresConfiguration, _ body: (PostgresPool) async throws -> Int
    ) async throws -> Int {
        let group = LoopGroup(count: 1, name: "database")
        var options = PostgresPoolOptions()
        options.budget = 1
        options.readTimeoutMilliseconds = 10_000
        let pool = PostgresPool(database, options: options, on: group.loops[0])
        await pool.start()
        let result: Result<Int, any Error>
        do { result = .success(try await body(pool)) } catch { result = .failure(error) }
        await pool.close()
        group.shutdown()
        return try result.get()
    }
}
