import Platform
import Postgres
import Protocol
import Testing

@testable import Node

struct NodeConfigurationTests {
    private func load(
        _ environment: [String: String], files: [String: String] = [:]
    ) throws(ConfigurationError) -> NodeConfiguration {
        try NodeConfiguration.load(
            environment: environment, cores: 3, hostName: "host", isTerminal: false,
            readFile: { files[$0].map { Array($0.utf8) } })
    }

    private func fault(_ environment: [String: String], files: [String: String] = [:]) -> ConfigurationError? {
        do throws(ConfigurationError) {
            _ = try load(environment, files: files)
            return nil
        } catch {
            return error
        }
    }

    private static let secret = String(repeating: "s", count: 32)
    private var secret: String { Self.secret }

    @Test func `nothing set is a standalone node in open mode on this machine`() throws {
        let configuration = try load([:])
        #expect(configuration.http.description == "127.0.0.1:8080")
        #expect(configuration.nodeName == "host" && configuration.loopCount == 3)
        #expect(configuration.tokenSecret == nil && configuration.adminToken == nil)
        #expect(configuration.logFormat == .json && configuration.voterRetentionDays == 7)
    }

    @Test func `every value is read`() throws {
        let configuration = try load([
            "TUMULTE_HTTP": "[::1]:9000", "TUMULTE_NODE_NAME": "n-1", "TUMULTE_DATA": "/srv/t", "TUMULTE_LOOPS": "7",
            "TUMULTE_MAX_CONNECTIONS": "50", "TUMULTE_VOTER_RETENTION_DAYS": "1", "TUMULTE_LOG": "warn",
            "TUMULTE_LOG_FORMAT": "text", "TUMULTE_TOKEN_SECRET": secret, "TUMULTE_ADMIN_TOKEN": "0123456789abcdef",
            "TUMULTE_ORIGINS": "https://a.example, http://b.example:81",
        ])
        #expect(configuration.http.description == "[::1]:9000" && configuration.nodeName == "n-1")
        #expect(configuration.dataFolder == "/srv/t" && configuration.loopCount == 7)
        #expect(configuration.connectionLimit == 50 && configuration.voterRetentionDays == 1)
        #expect(configuration.logLevel == .warn && configuration.logFormat == .text)
        #expect(configuration.tokenSecret == Array(secret.utf8))
        #expect(configuration.origins == ["https://a.example", "http://b.example:81"])
    }

    @Test func `a database takes the place of the folder, and its password is never shown`() throws {
        let configuration = try load([
            "DATABASE_URL": "postgres://game:hidden@db.example:5433/votes", "DB_POOL_MAX": "7",
        ])
        #expect(configuration.database?.description == "postgres://game@db.example:5433/votes")
        #expect(configuration.databaseConnections == 7)
        #expect(!configuration.summary.contains { $0.1.contains("hidden") })
        let fromFile = try load(["DATABASE_URL_FILE": "/url"], files: ["/url": "postgres://db/votes\n"])
        #expect(fromFile.database != nil && fromFile.databaseConnections == 4)
    }

    @Test(arguments: [
        (["TUMULTE_HTTP": "8080"], "TUMULTE_HTTP"), (["TUMULTE_HTTP": "host:80"], "TUMULTE_HTTP"),
        (["TUMULTE_HTTP": "127.0.0.1:70000"], "TUMULTE_HTTP"), (["TUMULTE_LOOPS": "0"], "TUMULTE_LOOPS"),
        (["TUMULTE_LOOPS": "257"], "TUMULTE_LOOPS"), (["TUMULTE_LOOPS": "two"], "TUMULTE_LOOPS"),
        (["TUMULTE_LOG": "loud"], "TUMULTE_LOG"), (["TUMULTE_LOG_FORMAT": "xml"], "TUMULTE_LOG_FORMAT"),
        (["TUMULTE_OPEN": "yes"], "TUMULTE_OPEN"), (["TUMULTE_NODE_NAME": "a b"], "TUMULTE_NODE_NAME"),
        (["TUMULTE_MAX_CONNECTIONS": "0"], "TUMULTE_MAX_CONNECTIONS"),
        (["TUMULTE_VOTER_RETENTION_DAYS": "-1"], "TUMULTE_VOTER_RETENTION_DAYS"),
        (["TUMULTE_TOKEN_SECRET": "short"], "TUMULTE_TOKEN_SECRET"),
        (["TUMULTE_TOKEN_SECRET_FILE": "/nowhere"], "TUMULTE_TOKEN_SECRET_FILE"),
        (["TUMULTE_ADMIN_TOKEN": "x"], "TUMULTE_ADMIN_TOKEN"),
        (["TUMULTE_ORIGINS": "example.org"], "TUMULTE_ORIGINS"),
        (["TUMULTE_ORIGINS": "https://a.example/path"], "TUMULTE_ORIGINS"),
        (["TUMULTE_ORIGINS": "https://a.example,"], "TUMULTE_ORIGINS"),
        (["REDIS_URL": "redis://h"], "REDIS_URL"), (["DATABASE_URL": "mysql://h"], "DATABASE_URL"),
        (["DATABASE_URL": "postgres://h?sslmode=perhaps"], "DATABASE_URL"),
        (["DATABASE_URL": "postgres://h", "REDIS_URL": "redis://h"], "TUMULTE_CLUSTER_SECRET"),
        (["TUMULTE_HTTP": "0.0.0.0:80"], "TUMULTE_TOKEN_SECRET"), (["TUMULTE_WEIGHT": "-1"], "TUMULTE_WEIGHT"),
        (["TUMULTE_CLUSTER": "7400"], "TUMULTE_CLUSTER"), (["DB_POOL_MAX": "0"], "DB_POOL_MAX"),
        (["TUMULTE_CLUSTER_SECRET": "short"], "TUMULTE_CLUSTER_SECRET"),
        (["TUMULTE_ADVERTISE": "node"], "TUMULTE_ADVERTISE"),
        (["DATABASE_URL": "postgres://h", "TUMULTE_CLUSTER_NAME": "two words"], "TUMULTE_CLUSTER_NAME"),
    ])
    func `a fault is told in one line that names the variable and a good value`(
        environment: [String: String], variable: String
    ) {
        do throws(ConfigurationError) {
            _ = try load(environment)
            Issue.record("\(environment) was taken")
        } catch {
            #expect(error.variable == variable)
            #expect(!error.description.contains("\n"))
            #expect(error.description.hasPrefix("\(variable): "))
            #expect(error.description.contains("for example \(variable)="))
        }
    }

    @Test func `clusters on one Redis are apart by their names, or by their secrets`() throws {
        func key(_ more: [String: String]) throws -> String? {
            let shared = ["DATABASE_URL": "postgres://h", "REDIS_URL": "redis://h", "TUMULTE_CLUSTER_SECRET": secret]
            return try load(shared.merging(more) { $1 }).cluster?.placementKey
        }
        #expect(try key(["TUMULTE_CLUSTER_NAME": "shop.live_2"]) == "tumulte:placement:shop.live_2")
        let unnamed = try #require(try key([:]))
        #expect(unnamed.hasPrefix("tumulte:placement:") && unnamed.utf8.count == 34)
        #expect(try key([:]) == unnamed)
        #expect(try key(["TUMULTE_CLUSTER_SECRET": String(repeating: "t", count: 32)]) != unnamed)
    }

    @Test func `a secret comes from a file, without the line's end, and from one place only`() throws {
        let files = ["/run/s": secret + "\n"]
        #expect(try load(["TUMULTE_TOKEN_SECRET_FILE": "/run/s"], files: files).tokenSecret == Array(secret.utf8))
        #expect(throws: ConfigurationError.self) {
            try load(["TUMULTE_TOKEN_SECRET_FILE": "/run/s", "TUMULTE_TOKEN_SECRET": secret], files: files)
        }
    }

    @Test(arguments: [
        " \(secret)", "\(secret) ", "\t\(secret)", "\(secret)\n", "\(secret)\u{7F}", "\r\n\(secret)",
    ])
    func `a secret with blanks that nobody sees at its ends is refused`(text: String) {
        for name in ["TUMULTE_TOKEN_SECRET", "TUMULTE_ADMIN_TOKEN", "TUMULTE_CLUSTER_SECRET"] {
            let fault = fault([name: text])
            #expect(fault?.variable == name && fault?.description.contains("blank or a line break") == true)
            #expect(fault?.description.contains { $0.isNewline } == false)
        }
    }

    @Test(arguments: [
        "two words of a token", "a-token-with\ta-tab", "a-token-with-a\nline-break", "a-tokén-with-an-accent",
    ])
    func `an admin token that no header carries is refused`(text: String) {
        #expect(fault(["TUMULTE_ADMIN_TOKEN": text])?.variable == "TUMULTE_ADMIN_TOKEN")
    }

    @Test func `a key that is only computed with may hold blanks inside`() throws {
        let key = "a sentence is a fine key where it is long enough"
        #expect(try load(["TUMULTE_TOKEN_SECRET": key]).tokenSecret == Array(key.utf8))
    }

    @Test(arguments: ["\n", "\r\n", "\n\n"])
    func `line breaks at the end of a file are no part of its secret`(end: String) throws {
        let files = ["/run/s": Self.secret + end]
        #expect(try load(["TUMULTE_TOKEN_SECRET_FILE": "/run/s"], files: files).tokenSecret == Array(Self.secret.utf8))
        #expect(try load(["TUMULTE_ADMIN_TOKEN_FILE": "/run/s"], files: files).adminToken == Array(Self.secret.utf8))
        #expect(fault(["TUMULTE_TOKEN_SECRET_FILE": "/run/s"], files: ["/run/s": Self.secret + " " + end]) != nil)
    }

    @Test func `an address that others reach needs a secret, or a word that it is meant`() throws {
        #expect(throws: Never.self) { try load(["TUMULTE_HTTP": "0.0.0.0:80", "TUMULTE_OPEN": "1"]) }
        #expect(throws: Never.self) { try load(["TUMULTE_HTTP": "0.0.0.0:80", "TUMULTE_TOKEN_SECRET": secret]) }
    }

    @Test func `the summary shows no secret`() throws {
        let summary = try load(["TUMULTE_TOKEN_SECRET": secret]).summary
        #expect(!summary.contains { $0.1.contains(secret) })
        #expect(summary.contains { $0.0 == "TUMULTE_TOKEN_SECRET" && $0.1 == "set" })
    }
}

struct CommandParserTests {
    @Test func `commands are understood`() throws {
        #expect(try CommandParser.parse(["node"]) == .node)
        #expect(try CommandParser.parse(["version"]) == .version)
        #expect(try CommandParser.parse(["--version"]) == .version)
        #expect(
            try CommandParser.parse(["token", "--sub", "ann", "--role", "host", "--ttl", "7d", "--channel", "c"])
                == .token(TokenRequest(subject: "ann", role: .host, channel: "c", lifetimeSeconds: 604_800)))
        #expect(
            try CommandParser.parse(["repair", "--slot", "4095", "--keep-through", "9"])
                == .repair(slot: 4095, keepThrough: 9))
        let id = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"
        #expect(
            try CommandParser.parse(["verify", id, "--json", "--url", "http://h:1"])
                == .verify(campaign: id, AdminTarget(url: "http://h:1", token: nil, isJSON: true)))
    }

    @Test(arguments: ["node", "migrate", "check", "token", "verify", "repair", "health", "version"])
    func `each command has its help`(command: String) throws {
        let parsed = try CommandParser.parse([command, "--help"])
        guard case .help(let text) = parsed else {
            Issue.record("no help for \(command)")
            return
        }
        #expect(text.contains("tumulte \(command)"))
        #expect(Usage.program.contains(command))
    }

    @Test(arguments: [
        [], ["dance"], ["node", "--fast"], ["token"], ["token", "--sub"], ["token", "--sub", "a", "--role", "king"],
        ["token", "--sub", "a", "--ttl", "0"], ["token", "--sub", "a", "--ttl", "9999999d"], ["verify"],
        ["verify", "x"], ["verify", "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff", "y"], ["repair", "--slot", "4096"],
        ["repair", "--slot", "1"], ["version", "now"],
    ])
    func `what makes no sense is refused with a word`(arguments: [String]) {
        do throws(UsageError) {
            _ = try CommandParser.parse(arguments)
            Issue.record("\(arguments) was taken")
        } catch {
            #expect(!error.message.isEmpty)
        }
    }
}
