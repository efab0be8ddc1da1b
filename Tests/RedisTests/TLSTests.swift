// TLS, where hiredis has it: a real server with certificates of this test's own.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

@Suite(.timeLimit(.minutes(2)), .enabled(if: HiredisTLS.isThere, "hiredis has no TLS here"))
struct TLSTests {
    /// A server that speaks TLS alone on a port of its own, with a certificate for 127.0.0.1 by an authority of its own.
    private struct Server {
        let server: PrivateServer
        let port: UInt16
        var authorities: String { server.folder + "/ca.crt" }

        init() async throws {
            server = try PrivateServer()
            port = try freePort()
            let folder = server.folder
            try await run([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-days", "2", "-subj", "/CN=tests",
                "-keyout", folder + "/ca.key", "-out", folder + "/ca.crt",
            ])
            try await run([
                "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                "/CN=redis",
                "-keyout", folder + "/redis.key", "-out", folder + "/redis.csr",
            ])
            try "subjectAltName=IP:127.0.0.1".write(
                toFile: folder + "/names", atomically: true, encoding: .utf8)
            try await run([
                "openssl", "x509", "-req", "-days", "2", "-in", folder + "/redis.csr", "-CA", folder + "/ca.crt",
                "-CAkey", folder + "/ca.key", "-CAcreateserial", "-extfile", folder + "/names",
                "-out", folder + "/redis.crt",
            ])
            try await start()
        }

        func start() async throws {
            let folder = server.folder
            try await server.start(
                settings: """
                    tls-port \(port)
                    tls-cert-file \(folder)/redis.crt
                    tls-key-file \(folder)/redis.key
                    tls-ca-cert-file \(folder)/ca.crt
                    tls-auth-clients no
                    """)
        }

        func end() async throws {
            try await server.stop()
            server.remove()
        }

        func configuration(_ host: String = "127.0.0.1", believing file: String? = nil) throws -> RedisConfiguration {
            try RedisConfiguration("rediss://:tumulte@\(host):\(port)/3", authorities: file ?? authorities)
        }
    }

    private static func firstFailure(_ configuration: RedisConfiguration) async throws -> RedisError {
        let failures = Recorder<RedisError>()
        try await withConnection(configuration, { $0.onLost = { failures.append($0) } }) { _ in
            await failures.reached(1)
        }
        return try #require(failures.all.first)
    }

    @Test func `commands and large values pass, and the connection comes back with its server`() async throws {
        let server = try await Server()
        let configuration = try server.configuration()
        #expect(configuration.description == "rediss://127.0.0.1:\(server.port)/3")
        let lost = Recorder<RedisError>()
        try await withConnection(configuration, { $0.onLost = { lost.append($0) } }) { redis in
            // Several records of TLS, so that a read leaves some of them to the next.
            let large = [UInt8](repeating: 7, count: 300_000)
            same(try await redis.command("SET", ["large", RedisArgument(large)], deadline: within(20)), .status("OK"))
            same(try await redis.command("GET", ["large"], deadline: within(20)), .bytes(large))
            try await server.server.kill()
            await lost.reached(1)
            try await server.start()
            same(try await redis.command("GET", ["large"], deadline: within(20)), .bytes(large))
        }
        try await server.end()
    }

    @Test func `a server of another name, or of an authority that is not believed, is not talked to`() async throws {
        let (server, other) = (try await Server(), try await Server())
        let foreign = try await Self.firstFailure(server.configuration(believing: other.authorities))
        let misnamed = try await Self.firstFailure(server.configuration("localhost"))
        for failure in [foreign, misnamed] {
            #expect(failure.reason == .connecting && failure.message.contains("certificate"), "\(failure)")
        }
        try await server.end()
        try await other.end()
    }

    @Test func `a server that speaks no TLS is given up`() async throws {
        let server = FakeServer { peer in peer.write("-ERR what is that?\r\n") }
        let url = "rediss://:tumulte@127.0.0.1:\(server.port)"
        #expect(try await Self.firstFailure(try RedisConfiguration(url)).reason == .connecting)
        server.close()
    }

    @Test func `authorities that cannot be read are told of in one line`() throws {
        let error = #expect(throws: RedisError.self) {
            try RedisConfiguration("rediss://:hunter2@h", authorities: "/nowhere/ca.crt")
        }
        #expect(error?.reason == .configuration && error?.message.contains("authorities") == true)
    }
}
