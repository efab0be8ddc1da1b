// Creating and upgrading the schema: forward only, one transaction a step, one process at a time.

public import Platform
public import Postgres

/// Brings a database to the schema of this program, and refuses others.
public enum PostgresMigration {
    /// Held while a step runs; any number that nobody else uses.
    private static let advisoryLock: Int64 = 0x7475_6D75_6C74_65

    /// The version that this program reads and writes.
    public static var version: Int { PostgresSchema.version }

    /// Takes every step that is missing; concurrent runs wait for each other, and the later ones find nothing to do.
    ///
    /// - Returns: the version before.
    /// - Throws: `newerSchema` where the database is ahead of this program.
    public static func run(_ pool: PostgresPool, deadline: MonotonicTime) async throws(JournalError) -> Int {
        do throws(PostgresError) {
            let before = try await pool.withConnection(.read, deadline: deadline) {
                connection async throws(PostgresError) in
                try await step(connection, deadline: deadline)
            }
            guard before <= version else { throw PostgresError(.notSent, .configuration, newer(before)) }
            return before
        } catch {
            throw JournalError(error)
        }
    }

    private static func step(
        _ connection: PostgresConnection, deadline: MonotonicTime
    ) async throws(PostgresError) -> Int {
        // Another process may take its time with a step.
        try await connection.run(script: "SET lock_timeout = 0", deadline: deadline)
        // A session's lock: held over the transactions of all steps, and gone with the connection.
        _ = try await connection.execute(lock, [.int64(advisoryLock)], deadline: deadline)
        let before: Int
        do throws(PostgresError) {
            try await connection.run(
                script: "CREATE TABLE IF NOT EXISTS schema_version(version integer NOT NULL)", deadline: deadline)
            before = try await found(connection, deadline: deadline)
            if before < version {
                for next in before..<version {
                    try await connection.run(
                        script: """
                            BEGIN;
                            \(PostgresSchema.steps[next])
                            DELETE FROM schema_version;
                            INSERT INTO schema_version VALUES(\(next + 1));
                            COMMIT
                            """, deadline: deadline)
                }
            }
        } catch {
            await connection.close()
            throw error
        }
        _ = try await connection.execute(unlock, [.int64(advisoryLock)], deadline: deadline)
        return before
    }

    private static func found(
        _ connection: PostgresConnection, deadline: MonotonicTime
    ) async throws(PostgresError) -> Int {
        let result = try await connection.execute(readVersion, [], deadline: deadline)
        guard result.rowCount > 0 else { return 0 }
        let version: Int32 = try result.value(0, 0)
        return Int(version)
    }

    /// Refuses a database that a node could not work with: its settings, its schema, its room for connections.
    public static func check(
        _ pool: PostgresPool, connections: Int, deadline: MonotonicTime
    ) async throws(JournalError) {
        do throws(PostgresError) {
            try await check(pool, deadline: deadline)
            try await checkBudget(pool, connections: connections, deadline: deadline)
        } catch {
            throw JournalError(error)
        }
    }

    /// A node alone: its connections must leave room for the people who look after the server.
    static func checkBudget(
        _ pool: PostgresPool, connections: Int, deadline: MonotonicTime
    ) async throws(PostgresError) {
        let budget = try await pool.withConnection(.read, deadline: deadline) {
            connection async throws(PostgresError) -> ConnectionBudget in
            try await ConnectionBudget.ask(connection, perNode: connections, nodes: 1, deadline: deadline)
        }
        if let complaint = budget.complaint {
            throw PostgresError(.notSent, .configuration, "DB_POOL_MAX: \(complaint)")
        }
    }

    /// Refuses a database whose schema is not this program's, with the command to run.
    static func check(_ pool: PostgresPool, deadline: MonotonicTime) async throws(PostgresError) {
        let result: PostgresResult
        do throws(PostgresError) {
            result = try await pool.execute(.read, readVersion, [], deadline: deadline)
        } catch {
            // 42P01: there is no such table.
            guard error.sqlState == "42P01" else { throw error }
            throw PostgresError(
                .notSent, .configuration, "the database has no schema: run `tumulte migrate` with the same DATABASE_URL"
            )
        }
        let found: Int32 = result.rowCount > 0 ? try result.value(0, 0) : 0
        if found < version {
            throw PostgresError(
                .notSent, .configuration,
                "the database has schema \(found), this program needs \(version): run `tumulte migrate`")
        }
        if found > version { throw PostgresError(.notSent, .configuration, newer(Int(found))) }
    }

    private static func newer(_ found: Int) -> String {
        "the database has schema \(found), this program knows up to \(version): run the newer program "
            + "(compare `tumulte version`)"
    }

    private static let lock = PostgresStatement("migrate.lock", [.int64], "SELECT pg_advisory_lock($1)")
    private static let unlock = PostgresStatement("migrate.unlock", [.int64], "SELECT pg_advisory_unlock($1)")
    private static let readVersion = PostgresStatement(
        "migrate.version", [], "SELECT max(version) FROM schema_version HAVING max(version) IS NOT NULL")
}
