// `tumulte` as a whole, but for the commands that serve: its exit statuses, in the test's process.

import Foundation
import Platform
import Testing

@testable import Node

struct CommandLineToolTests {
    private static let secret = "0123456789abcdef0123456789abcdef"

    private func run(_ arguments: [String], _ environment: [String: String] = [:]) async -> Int32 {
        await CommandLineTool.run(arguments, environment: environment)
    }

    /// An environment whose data folder is fresh and goes with the test.
    private func withFolder(_ body: ([String: String]) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tumulte-tool-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body(["TUMULTE_DATA": folder.appendingPathComponent("data").path, "TUMULTE_HTTP": "127.0.0.1:0"])
    }

    @Test(arguments: [
        [], ["dance"], ["--dance"], ["node", "--fast"], ["check", "twice"], ["token"], ["token", "--sub"], ["verify"],
        ["verify", "no-id"], ["repair"], ["health", "--url"], ["version", "now"],
    ])
    func `wrong usage is status 2`(arguments: [String]) async { #expect(await run(arguments) == 2) }

    @Test(arguments: [
        ["--help"], ["-h"], ["help"], ["--version"], ["version"], ["node", "--help"], ["token", "-h"],
        ["verify", "--help"], ["check", "--help"],
    ])
    func `help and version are status 0, whatever the configuration`(arguments: [String]) async {
        #expect(await run(arguments, ["TUMULTE_LOOPS": "none"]) == 0)
    }

    @Test(arguments: [["node"], ["migrate"], ["check"], ["token", "--sub", "ann"]])
    func `a fault of the configuration is status 78 for whatever needs one`(arguments: [String]) async {
        for fault in [
            ["TUMULTE_HTTP": "nowhere"], ["TUMULTE_LOOPS": "0"], ["TUMULTE_ORIGINS": "https://*.example"],
            ["TUMULTE_ADMIN_TOKEN": "two words of a token"], ["TUMULTE_TOKEN_SECRET": " " + Self.secret],
            ["DATABASE_URL": "mysql://somewhere"],
        ] {
            #expect(await run(arguments, fault) == 78, "\(fault)")
        }
    }

    @Test func `a token needs a secret`() async {
        #expect(await run(["token", "--sub", "ann"], ["TUMULTE_TOKEN_SECRET": Self.secret]) == 0)
        #expect(await run(["token", "--sub", "ann"]) == 78)
    }

    @Test func `a good configuration is checked and its store made, as often as one likes`() async throws {
        try await withFolder { environment in
            for command in ["migrate", "check", "migrate", "check"] {
                #expect(await run([command], environment) == 0, "\(command)")
            }
        }
    }

    @Test func `an address or a folder that is taken fails the check`() async throws {
        try await withFolder { environment in
            try await withLiveNode { address in
                #expect(PortProbe.fault(address)?.contains("\(address)") == true)
            }
            try await withTakenPort { address in
                #expect(await run(["check"], environment.merging(["TUMULTE_HTTP": "\(address)"]) { $1 }) == 1)
            }
            let file = environment["TUMULTE_DATA", default: ""] + "-file"
            try #require(FileManager.default.createFile(atPath: file, contents: nil))
            defer { try? FileManager.default.removeItem(atPath: file) }
            #expect(await run(["check"], environment.merging(["TUMULTE_DATA": file + "/data"]) { $1 }) == 1)
        }
    }

    @Test func `health and verify ask a node that is there, and fail where there is none`() async throws {
        let id = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"
        let gone = Locked("")
        try await withLiveNode { address in
            gone.withLock { $0 = "\(address)" }
            let client = try LiveClient(address)
            let made = try client.ask("POST", "/v1/campaigns", #"{"name":"The lost mine"}"#).id()
            let url = "http://\(address)"
            try expect(HealthQuery.run(url) == 0, "it lives")
            let answer = try SimpleHTTPClient.send("POST", url, "/admin/campaigns/\(made)/verify", bearer: nil)
            try expect(VerifyAnswer(answer.body)?.isOK == true, String(decoding: answer.body, as: UTF8.self))
            let none = try SimpleHTTPClient.send("POST", url, "/admin/campaigns/\(id)/verify", bearer: nil)
            try expect(none.status == 404 && VerifyAnswer(none.body) == nil, "\(none.status)")
        }
        let url = "http://" + gone.withLock { $0 }
        #expect(await run(["health", "--url", url]) == 1)
        #expect(await run(["verify", id, "--url", url]) == 1)
        #expect(await run(["health"], ["TUMULTE_HTTP": gone.withLock { $0 }]) == 1)
    }
}

struct PortProbeTests {
    @Test func `a port is free, or the fault names it`() async throws {
        #expect(PortProbe.fault(TCPAddress(bytes: [127, 0, 0, 1], port: 0)) == nil)
        try await withTakenPort { address in
            #expect(PortProbe.fault(address)?.contains("\(address)") == true)
        }
        // An address of no interface of this machine (RFC 5737).
        #expect(PortProbe.fault(TCPAddress(bytes: [192, 0, 2, 1], port: 0)) != nil)
    }
}
