// What needs a server of its own: one that is restarted, and ones that must be refused.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Postgres

@Suite(.needsServer, .serialized, .timeLimit(.minutes(2)))
struct ServerTests {
    @Test func `a pool comes back after the server's restart, a hang-up in flight is unknown`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        let url = try await server.start()
        let lost = Recorder<Int>()
        let connected = Recorder<Int>()
        let change: (inout PostgresPoolOptions) -> Void = {
            $0.onLost = { member, _ in lost.append(member) }
            $0.onConnected = { member, _ async throws(PostgresError) in connected.append(member) }
        }
        try await withPool(url, budget: 3, change) { pool in
            await connected.reached(3)
            let pause = PostgresStatement("pause", [.float8], "SELECT pg_sleep($1)")
            async let flying = failure { () async throws(PostgresError) in
                try await pool.execute(.flush(0), pause, [.float8(60)], deadline: within(60))
            }
            let connection = try await pool.withConnection(.flush(0), deadline: within(10)) {
                connection async throws(PostgresError) in connection
            }
            while await connection.sentCount < 2 { await Task.yield() }
            try await server.kill()
            #expect(await flying?.outcome == .unknown)
            await lost.reached(3)
            _ = try await server.start()
            let one = PostgresStatement("one", [], "SELECT 1::int")
            let answer = try await pool.execute(.flush(0), one, deadline: within(30))
            #expect(try answer.value(0, 0, as: Int32.self) == 1)
            await connected.reached(6)
            #expect(pool.statistics.connects == 6 && pool.statistics.losses == 3)
        }
        try await server.stop()
    }

    @Test func `servers that put committed votes at risk are refused, and so are standbys`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        for setting in ["fsync", "full_page_writes", "standard_conforming_strings"] {
            let url = try await server.start(settings: "-c \(setting)=off")
            let error = try await failureToOpen(url)
            #expect(error?.reason == .unsuitableServer && error?.outcome == .notSent)
            #expect(error?.message.contains("\(setting) = off") == true)
            try await server.stop()
        }
        try Data().write(to: URL(fileURLWithPath: server.folder + "/data/standby.signal"))
        let url = try await server.start()
        let error = try await failureToOpen(url)
        #expect(error?.reason == .unsuitableServer)
        #expect(error?.message.contains("standby") == true)
        try await server.stop()
    }
}
