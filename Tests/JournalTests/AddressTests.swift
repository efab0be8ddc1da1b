// Where a node says that others reach it.

import Foundation
import Platform
import Postgres
import Testing

@testable import Journal

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct AddressTests {
    /// What the others read of a node that was given this address, by way of this URL.
    private func told(_ address: String, _ database: TestDatabase, by url: String) async throws -> [String] {
        var options = PostgresJournalOptions()
        options.budget = 1
        let name = UUID().uuidString
        let journal = PostgresJournal(
            try PostgresConfiguration(url),
            identity: NodeIdentity(incarnation: SystemRandom().next128(), name: name, address: address),
            options: options, clock: SystemClock())
        do {
            try await journal.open()
        } catch {
            await journal.close()
            throw error
        }
        let rows = try await database.sql("SELECT address FROM node_lease WHERE name = '\(name)'")
        await journal.close()
        return rows
    }

    @Test func `a port alone is completed by the address from which the database is spoken to`() async throws {
        let database = try await TestDatabase.make()
        #expect(try await told(":7400", database, by: database.url) == ["127.0.0.1:7400"])
        #expect(try await told("node-1.example.org:7400", database, by: database.url) == ["node-1.example.org:7400"])
        #expect(try await told("[2001:db8::7]:1", database, by: database.url) == ["[2001:db8::7]:1"])
        #expect(try await told("", database, by: database.url) == [""])
    }

    @Test func `over a Unix socket it is the loopback address, since all are on this machine`() async throws {
        let database = try await TestDatabase.make()
        let folder = try #require(try await database.sql("SELECT current_setting('unix_socket_directories')").first)
        let parts = database.url.split(separator: "/")
        let port = try #require(parts.dropFirst().first?.split(separator: ":").last)
        try #require(FileManager.default.fileExists(atPath: "\(folder)/.s.PGSQL.\(port)"))
        let url = "postgres://tumulte@/\(try #require(parts.last))?host=\(folder)&port=\(port)"
        #expect(try await told(":7400", database, by: url) == ["127.0.0.1:7400"])
    }
}
