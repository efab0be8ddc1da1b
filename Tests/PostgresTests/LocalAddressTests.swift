// Which end of a connection is this machine's: over IPv4, IPv6 and a Unix socket.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Postgres

@Suite(.needsServer, .timeLimit(.minutes(2)))
struct LocalAddressTests {
    private static let hasIPv6 =
        (try? String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8))?
        .contains("00000000000000000000000000000001") == true

    /// This end as this machine sees it and, where nothing lies between, as the server does.
    private func ends(_ url: String) async throws -> (local: TCPAddress?, seen: String) {
        let found = Locked<(TCPAddress?, String)>((nil, ""))
        try await withConnection(url) { connection in
            let statement = PostgresStatement(
                "ends", [], "SELECT coalesce(host(inet_client_addr()) || ' ' || inet_client_port(), 'no address')")
            let answer = try await connection.execute(statement, deadline: within(20))
            let seen = try answer.value(0, 0, as: String.self)
            let local = await connection.localAddress
            found.withLock { $0 = (local, seen) }
            await connection.close()
            #expect(await connection.localAddress == nil)
        }
        let (local, seen) = found.withLock { $0 }
        return (local, seen)
    }

    @Test func `this end of a connection is known over TCP, and there is none over a Unix socket`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        let url = try await server.start(settings: "-c listen_addresses=127.0.0.1\(Self.hasIPv6 ? ",::1" : "")")
        for host in Self.hasIPv6 ? ["127.0.0.1", "[::1]"] : ["127.0.0.1"] {
            let (local, seen) = try await ends(url.replacingOccurrences(of: "127.0.0.1", with: host))
            let address = try #require(local)
            #expect("\(address.host) \(address.port)" == seen)
            #expect(address.description.hasPrefix("\(host):"))
        }
        let port = try #require(url.split(separator: ":").last?.split(separator: "/").first)
        let (local, seen) = try await ends("postgres://tumulte@/postgres?host=\(server.folder)&port=\(port)")
        #expect(local == nil && seen == "no address")
        try await server.stop()
    }
}
