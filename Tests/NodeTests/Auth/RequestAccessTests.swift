import Platform
import Protocol
import Testing
import Web

@testable import Node

struct RequestAccessTests {
    private func request(_ method: String, _ headers: [String], path: String = "/v1/campaigns") throws -> HTTPRequest {
        let text = "\(method) \(path) HTTP/1.1\r\n" + headers.map { $0 + "\r\n" }.joined() + "\r\n"
        var parser = HTTPRequestParser()
        let outcome = Array(text.utf8).withUnsafeBytes { parser.feed($0).outcome }
        guard case .request(let request) = outcome else {
            Issue.record("no request: \(text)")
            throw CancellationError()
        }
        return request
    }

    private func access(
        open: Bool = false, everywhere: Bool = false, origins: [String] = [], admin: String? = nil
    ) -> RequestAccess {
        RequestAccess(
            origins: origins, isOpenMode: open, isOpenEverywhere: everywhere, adminToken: admin.map { Array($0.utf8) })
    }

    let loopback = TCPAddress(bytes: [127, 0, 0, 1], port: 1)
    let stranger = TCPAddress(bytes: [192, 0, 2, 7], port: 1)

    @Test(arguments: [
        ["Host: 127.0.0.1:8080"], ["Host: localhost"], ["Host: LOCALHOST:1"], ["Host: [::1]:8080"], ["Host: [::1]"],
        ["Host: 127.9.9.9:1"], ["Host: localhost:1", "Origin: http://localhost:1"],
    ])
    func `open mode takes what comes from this machine`(headers: [String]) throws {
        let verdict = access(open: true).check(try request("GET", headers), peer: loopback)
        #expect(verdict.refusal == nil)
    }

    @Test(arguments: [
        ["Host: example.org"], ["Host: 127.0.0.1.example.org"], ["Host: 10.0.0.1"],
        ["Host: localhost", "X-Forwarded-For: 1.2.3.4"], ["Host: localhost", "X-Forwarded-Proto: https"],
        ["Host: localhost", "Forwarded: for=1.2.3.4"], ["Host: localhost", "Via: 1.1 proxy"],
        ["Host: localhost:1", "Origin: http://example.org"], ["Host: localhost:1", "Origin: http://localhost:2"],
        ["Host: localhost:1", "Origin: null"],
    ])
    func `open mode refuses whatever may come from elsewhere`(headers: [String]) throws {
        let verdict = access(open: true).check(try request("GET", headers), peer: loopback)
        #expect(verdict.refusal?.code == .forbidden)
    }

    @Test(arguments: [
        "localhost", "LocalHost", "localhost:1", "localhost:65535", "127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]",
        "[::1]:80", "[0:0:0:0:0:0:0:1]:80",
    ])
    func `a host is loopback`(host: String) { #expect(RequestAccess.isLoopbackHost(host)) }

    @Test(arguments: [
        "", ":", ":80", "localhost:evil", "localhost:", "localhost:65536", "localhost:-1", "localhost:+1",
        "localhost:80:80", "localhost:80.evil.com", "localhost.", "localhost.evil.com", "localhost@evil.com",
        "localhost ",
        "xlocalhost", "127.0.0.1.evil.com", "127.0.0.1.evil.com:80", "127.0.0.1:evil", "127.0.0.1:65536", "127.0.0.1:",
        "127.1", "0.0.0.0", "10.0.0.1:80", "[::1", "[::1]x", "[::1]x:80", "[::1]:x", "[::1]:65536", "[::2]", "::1",
        "[127.0.0.1]", "[::1]evil", "evil.com", "localhost\0", "127.0.0.1\0.evil.com",
    ])
    func `a host is loopback as a whole or not at all`(host: String) { #expect(!RequestAccess.isLoopbackHost(host)) }

    @Test func `open mode that was chosen for everybody asks for nothing of this`() throws {
        let verdict = access(open: true, everywhere: true).check(
            try request("GET", ["Host: example.org", "X-Forwarded-For: 1.2.3.4"]), peer: stranger)
        #expect(verdict.refusal == nil)
    }

    @Test func `with tokens a foreign page may read, but change nothing and open no socket`() throws {
        let foreign = ["Host: polls.example.org", "Origin: https://evil.example"]
        let rules = access()
        #expect(rules.check(try request("GET", foreign), peer: stranger).refusal == nil)
        #expect(rules.check(try request("POST", foreign), peer: stranger).refusal?.code == .forbidden)
        #expect(rules.check(try request("DELETE", foreign), peer: stranger).refusal?.code == .forbidden)
        let upgrade =
            foreign + [
                "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]
        #expect(rules.check(try request("GET", upgrade, path: "/v1/ws"), peer: stranger).refusal?.code == .forbidden)
    }

    @Test func `own and listed origins may change things, and only listed ones are named to browsers`() throws {
        let rules = access(origins: ["https://studio.example"])
        let own = rules.check(
            try request("POST", ["Host: polls.example.org", "Origin: https://polls.example.org"]), peer: stranger)
        #expect(own.refusal == nil && own.allowedOrigin == nil)
        let listed = rules.check(
            try request("POST", ["Host: polls.example.org", "Origin: https://studio.example"]), peer: stranger)
        #expect(listed.refusal == nil && listed.allowedOrigin == "https://studio.example")
    }

    @Test func `the admin token is asked for where there is one`() throws {
        let rules = access(admin: "a-long-admin-token")
        func admin(_ headers: [String], _ peer: TCPAddress) throws -> ErrorCode? {
            do throws(ClientError) {
                try rules.requireAdmin(try! request("GET", ["Host: localhost"] + headers), peer: peer)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(try admin(["Authorization: Bearer a-long-admin-token"], stranger) == nil)
        #expect(try admin(["Authorization: bearer a"], stranger) == .forbidden)
        #expect(try admin(["Authorization: Basic a-long-admin-token"], stranger) == .unauthorized)
        #expect(try admin([], loopback) == .unauthorized)
    }

    @Test func `without an admin token only this machine is answered`() throws {
        let rules = access()
        #expect(throws: Never.self) { try rules.requireAdmin(request("GET", ["Host: localhost"]), peer: loopback) }
        #expect(throws: ClientError.self) {
            try rules.requireAdmin(request("GET", ["Host: localhost"]), peer: stranger)
        }
        #expect(throws: ClientError.self) {
            try rules.requireAdmin(request("GET", ["Host: example.org"]), peer: loopback)
        }
        #expect(throws: ClientError.self) {
            try rules.requireAdmin(request("GET", ["Host: localhost", "X-Real-IP: 1.2.3.4"]), peer: loopback)
        }
    }
}
