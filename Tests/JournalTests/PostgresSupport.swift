// Databases for the journal's tests, on the server that `TUMULTE_TEST_POSTGRES` names.

import Foundation
import Platform
import Postgres
import Protocol
import Synchronization
import TestSupport
import Testing

@testable import Journal

/// The URL of a server that the tests may use; without it the tests that need one are skipped.
let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_POSTGRES"]

extension Trait where Self == ConditionTrait {
    static var needsServer: Self { .enabled(if: serverURL != nil, "TUMULTE_TEST_POSTGRES names no server") }
}

/// A database of the test's own, with the schema in it.
struct TestDatabase: Sendable {
    let url: String

    /// Makes one; it is left behind with its server.
    static func make(migrated: Bool = true) async throws -> TestDatabase {
        let server = try #require(serverURL)
        let name = "test_" + UUID().uuidString.lowercased().replacingOccurrences(of: "-", with: "")
        try await withPool(server) { pool in
            try await pool.withConnection(.read, deadline: within(60)) { connection async throws(PostgresError) in
                try await connection.run(script: "CREATE DATABASE \(name)", deadline: within(60))
            }
        }
        let slash = try #require(server.lastIndex(of: "/"))
        let database = TestDatabase(url: server[...slash] + name)
        if migrated { try await database.migrate() }
        return database
    }

    func migrate() async throws {
        try await Self.withPool(url) { pool in _ = try await PostgresMigration.run(pool, deadline: within(60)) }
    }

    /// Runs SQL and returns the values of the first column as text.
    @discardableResult
    func sql(_ text: String) async throws -> [String] {
        let found = Locked<[String]>([])
        try await Self.withPool(url) { pool in
            let result = try await pool.execute(.read, PostgresStatement("test", [], text), [], deadline: within(60))
            var values: [String] = []
            for row in 0..<result.rowCount where result.columnCount > 0 {
                values.append(try result.optional(row, 0, as: String.self) ?? "NULL")
            }
            let all = values
            found.withLock { $0 = all }
        }
        return found.withLock { $0 }
    }

    static func withPool(_ url: String, _ body: @escaping @Sendable (PostgresPool) async throws -> Void) async throws {
        let group = LoopGroup(count: 1, name: "test")
        var options = PostgresPoolOptions()
        options.budget = 1
        let pool = PostgresPool(try PostgresConfiguration(url), options: options, on: group.loops[0])
        await pool.start()
        let result: Result<Void, any Error>
        do { result = .success(try await body(pool)) } catch { result = .failure(error) }
        await pool.close()
        await onThread { group.shutdown() }
        try result.get()
    }

    /// A journal on this database, opened, with a node of its own.
    func journal(
        budget: Int = 4, seconds: Int64? = nil, fence: PostgresStatements.Fence = .strict, name: String = "test",
        lease: UInt64? = nil, statements: PostgresStatements? = nil, clock: any Clock = SystemClock(),
        onLeaseLost: @escaping @Sendable () -> Void = {}
    ) async throws -> PostgresJournal {
        var options = PostgresJournalOptions()
        options.budget = budget
        options.onLeaseLost = onLeaseLost
        // Only tests about time may depend on the machine's pace.
        options.leaseNanoseconds = lease ?? 120_000_000_000
        options.flushNanoseconds = 60_000_000_000
        options.statements =
            statements
            ?? PostgresStatements(clock: seconds.map { "to_timestamp(\($0))" } ?? "clock_timestamp()", fence: fence)
        let identity = NodeIdentity(incarnation: SystemRandom().next128(), name: name)
        let journal = PostgresJournal(
            try PostgresConfiguration(url), identity: identity, options: options, clock: clock)
        do {
            try await journal.open()
        } catch {
            await journal.close()
            throw error
        }
        return journal
    }
}
