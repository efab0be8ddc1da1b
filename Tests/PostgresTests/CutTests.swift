// The server's side of a connection cut after each so many bytes: whatever the moment, every call ends, with the right
// word about its outcome.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Postgres

@Suite(.needsServer, .timeLimit(.minutes(2)))
struct CutTests {
    @Test func `wherever the answer is cut, every call ends and nothing lies about its outcome`() async throws {
        let url = try #require(serverURL)
        let port = try #require(url.split(separator: ":").last?.split(separator: "/").first.flatMap { UInt16($0) })
        let outcomes = Recorder<String>()
        for cut in Array(stride(from: 0, to: 1400, by: 35)) + [100_000] {
            let proxy = CuttingProxy(to: port, after: cut)
            let through = url.replacingOccurrences(of: ":\(port)", with: ":\(proxy.port)") + "?sslmode=disable"
            let configuration = try PostgresConfiguration(through)
            try await withLoop { loop in
                let resolver = AddressResolver(on: loop)
                let meter = PostgresMeter()
                let connection = PostgresConnection(configuration, on: loop, resolver: resolver, meter: meter)
                let statement = PostgresStatement("length", [.bytes], "SELECT length($1), repeat('x', 400)")
                let error = await failure { () async throws(PostgresError) in
                    try await connection.open(deadline: within(20))
                    let isSent = await connection.sentCount
                    #expect(isSent == 1)
                    return try await connection.execute(statement, [.bytes([1, 2, 3])], deadline: within(20))
                }
                let sent = await connection.sentCount
                switch error?.outcome {
                case nil: outcomes.append("done")
                case .notSent: outcomes.append("not sent")
                case .unknown: outcomes.append("unknown")
                case .refusedByServer, .unreadable: outcomes.append("wrong")
                }
                // The session's own statement is the first; only the caller's, once it has left, may be unknown.
                #expect(
                    (error?.outcome == .unknown) == (error != nil && sent == 2),
                    "cut after \(cut): \(error?.description ?? "done")")
                #expect(error == nil || error?.reason == .connecting || error?.reason == .connectionLost)
                await connection.close()
                await resolver.close()
                #expect(meter.statistics.inFlight == 0 && meter.statistics.connected == 0)
            }
            proxy.close()
        }
        #expect(Set(outcomes.all) == ["not sent", "unknown", "done"])
    }
}

/// Passes one connection on to a server and hangs up on both sides after so many bytes of the server's.
private final class CuttingProxy: Sendable {
    let port: UInt16
    private let listener: Int32

    init(to server: UInt16, after limit: Int) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        port = Self.withAddress(0) { address, length in
            precondition(bind(listener, address, length) == 0 && listen(listener, 1) == 0)
            var length = length
            precondition(getsockname(listener, address, &length) == 0)
        }
        Thread {
            let client = accept(listener, nil, nil)
            guard client >= 0 else { return }
            let upstream = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            _ = Self.withAddress(server) { address, length in precondition(connect(upstream, address, length) == 0) }
            Self.pass(client, upstream, limit)
            Foundation.close(client)
            Foundation.close(upstream)
        }.start()
    }

    func close() {
        shutdown(listener, Int32(SHUT_RDWR))
        Foundation.close(listener)
    }

    private static func pass(_ client: Int32, _ server: Int32, _ limit: Int) {
        var left = limit
        var buffer = [UInt8](repeating: 0, count: 4096)
        var ends = [
            pollfd(fd: client, events: Int16(POLLIN), revents: 0),
            pollfd(fd: server, events: Int16(POLLIN), revents: 0),
        ]
        while left > 0, poll(&ends, 2, -1) > 0 {
            if ends[0].revents != 0 {
                let count = recv(client, &buffer, buffer.count, 0)
                guard count > 0, send(server, buffer, count, Int32(MSG_NOSIGNAL)) == count else { return }
            }
            if ends[1].revents != 0 {
                let count = recv(server, &buffer, min(left, buffer.count), 0)
                guard count > 0, send(client, buffer, count, Int32(MSG_NOSIGNAL)) == count else { return }
                left -= count
            }
        }
    }

    /// Lends a local address with this port and returns the port that it holds afterwards.
    private static func withAddress(_ port: UInt16, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Void)
        -> UInt16
    {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
    }
}
