// The blocking client of the commands against a server that says what the test wants.

import Foundation
import Glibc
import Platform
import TestSupport
import Testing

@testable import Node

/// A listening socket of its own, for one connection after the other.
final class ScriptedServer: Sendable {
    let address: TCPAddress
    private let socket: Int32

    init() throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let socket = socket
        let status = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, size) + listen(socket, 8) + getsockname(socket, $0, &size)
            }
        }
        try expect(status == 0, "listen: \(errno)")
        address = TCPAddress(bytes: [127, 0, 0, 1], port: UInt16(bigEndian: name.sin_port))
    }

    deinit { close(socket) }

    /// Takes one connection, reads a request's head, sends `answer` and closes; returns the head.
    func serve(_ answer: [UInt8]) -> String {
        let connection = accept(socket, nil, nil)
        defer { close(connection) }
        var head: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            head += chunk[..<count]
        }
        var rest = answer[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        return String(decoding: head, as: UTF8.self)
    }
}

/// Runs something while a socket listens on an address.
func withTakenPort(_ body: (TCPAddress) async throws -> Void) async throws {
    let server = try ScriptedServer()
    try await body(server.address)
    withExtendedLifetime(server) {}
}

struct SimpleHTTPClientTests {
    /// What the client makes of an answer, and the request that the server saw.
    private func exchange(
        _ answer: [UInt8], bearer: String? = nil
    ) async throws -> (outcome: Result<SimpleHTTPClient.Answer, SimpleHTTPClient.Failure>, head: String) {
        let server = try ScriptedServer()
        let url = "http://\(server.address)"
        async let head = onThread { server.serve(answer) }
        let outcome = await onThread {
            Result { () throws(SimpleHTTPClient.Failure) in
                try SimpleHTTPClient.send("POST", url, "/admin/x", bearer: bearer)
            }
        }
        return (outcome, await head)
    }

    @Test func `a request names its host, carries its token and asks for the end`() async throws {
        let (outcome, head) = try await exchange(Array("HTTP/1.1 200 OK\r\n\r\n".utf8), bearer: "a-token")
        #expect(try outcome.get().status == 200 && outcome.get().body.isEmpty)
        #expect(head.hasPrefix("POST /admin/x HTTP/1.1\r\nHost: 127.0.0.1:"))
        #expect(head.contains("\r\nAuthorization: Bearer a-token\r\n") && head.contains("\r\nConnection: close\r\n"))
        #expect(try await !exchange(Array("HTTP/1.1 200 OK\r\n\r\n".utf8)).head.contains("Authorization"))
    }

    @Test(arguments: [0, 1, 4, 5000, 100_000])
    func `status and body are read whole`(size: Int) async throws {
        let body = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        let outcome = try await exchange(Array("HTTP/1.1 503 Later\r\nX: y\r\n\r\n".utf8) + body).outcome
        let answer = try outcome.get()
        #expect(answer.status == 503 && answer.body == body)
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 two\r\n\r\n", "\r\n\r\n",
    ])
    func `what is not HTTP is told`(answer: String) async throws {
        switch try await exchange(Array(answer.utf8)).outcome {
        case .success(let answer): Issue.record("\(answer)")
        case .failure(let failure): #expect(failure.description.contains("did not answer with HTTP"))
        }
    }

    @Test(arguments: [
        "", "127.0.0.1:80", "https://127.0.0.1", "http://", "http:///", "http://:80", "http://127.0.0.1:80/path",
    ])
    func `what is no address of a node is told`(url: String) {
        #expect(throws: SimpleHTTPClient.Failure.self) { try SimpleHTTPClient.send("GET", url, "/", bearer: nil) }
    }

    @Test func `where nobody listens the failure says what was tried`() throws {
        let address = try ScriptedServer().address  // closed at once
        do throws(SimpleHTTPClient.Failure) {
            let answer = try SimpleHTTPClient.send("GET", "http://\(address)/", "/", bearer: nil)
            Issue.record("\(answer)")
        } catch {
            #expect(error.description.hasPrefix("connecting to \(address)"))
        }
    }
}
