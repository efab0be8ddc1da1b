// Databases of the tests' own, on the server that TUMULTE_TEST_POSTGRES names.

import Foundation
import Platform
import Postgres
import Testing

@testable import Journal

private let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_POSTGRES"]

extension Trait where Self == ConditionTrait {
    static var needsServer: Self { .enabled(if: serverURL != nil, "TUMULTE_TEST_POSTGRES names no server") }
}

/// A new database with the schema in it; its URL. It is left behind with its server.
func makeDatabase() async throws -> String {
    let server = try #require(serverURL)
    let name = "node_" + UUID().uuidString.lowercased().replacingOccurrences(of: "-", with: "")
    try await withPool(server) { pool, deadline in
        try await pool.withConnection(.read, deadline: deadline) { connection async throws(PostgresError) in
            try await connection.run(script: "CREATE DATABASE \(name)", deadline: deadline)
        }
    }
    let url = String(server[...(try #require(server.lastIndex(of: "/")))] + name)
    try await withPool(url) { pool, deadline in _ = try await PostgresMigration.run(pool, deadline: deadline) }
    return url
}

/// Runs SQL.
func runSQL(_ url: String, _ script: String) async throws {
    try await withPool(url) { pool, deadline in
        try await pool.withConnection(.read, deadline: deadline) { connection async throws(PostgresError) in
            try await connection.run(script: script, deadline: deadline)
        }
    }
}

private func withPool(
    _ url: String, _ body: @escaping @Sendable (PostgresPool, MonotonicTime) async throws -> Void
) async throws {
    let group = LoopGroup(count: 1, name: "database")
    var options = PostgresPoolOptions()
    options.budget = 1
    let pool = PostgresPool(try PostgresConfiguration(url), options: options, on: group.loops[0])
    await pool.start()
    let deadline = MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + 60_000_000_000)
    let result: Result<Void, any Error>
    do { result = .success(try await body(pool, deadline)) } catch { result = .failure(error) }
    await pool.close()
    group.shutdown()
    try result.get()
}

/// A table that nobody else can read or write until it is unlocked.
final class LockedTable: Sendable {
    private let group: LoopGroup
    private let pool: PostgresPool
    private let statement: PostgresStatement
    private let deadline: MonotonicTime

    /// Locks a table, for half a minute at most.
    init(_ table: String, of url: String) async throws {
        group = LoopGroup(count: 1, name: "lock")
        var options = PostgresPoolOptions()
        options.budget = 1
        pool = PostgresPool(try PostgresConfiguration(url), options: options, on: group.loops[0])
        statement = PostgresStatement(
            "test.waiting", [],
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '\(table)'::regclass")
        deadline = MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + 30_000_000_000)
        await pool.start()
        do {
            try await pool.withConnection(.read, deadline: deadline) {
                [deadline] connection async throws(PostgresError) in
                try await connection.run(
                    script: "BEGIN; LOCK TABLE \(table) IN ACCESS EXCLUSIVE MODE", deadline: deadline)
            }
        } catch {
            await unlock()
            throw error
        }
    }

    /// How many wait for it.
    func waiting() async throws -> Int64 { try await pool.execute(.read, statement, deadline: deadline).value(0, 0) }

    /// Ends the connection, and the lock with it.
    func unlock() async {
        await pool.close()
        group.shutdown()
    }
}
