// Configuration comes from environment variables; each secret may also come from a file named by `NAME_FILE`. The
// first fault stops the start with one line that names the variable, what is wrong, and a value that would be right.

public import Platform
public import Postgres
import Redis

/// A configuration that cannot be used; its description is the one line for the operator.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The variable at fault.
    public let variable: String
    /// What is wrong with it.
    public let fault: String
    /// A value that would be right.
    public let example: String

    /// One line.
    public var description: String { "\(variable): \(fault); for example \(variable)=\(example)" }
}

/// Everything that a node is told from outside.
public struct NodeConfiguration: Sendable {
    /// Address for HTTP, WebSocket and event streams.
    public var http = TCPAddress(bytes: [127, 0, 0, 1], port: 8080)
    /// Stable name of the node.
    public var nodeName = "tumulte"
    /// Folder of the embedded store.
    public var dataFolder = "./data"
    /// HS256 key of client tokens; `nil` is open mode.
    public var tokenSecret: [UInt8]?
    /// `TUMULTE_OPEN=1`.
    public var isOpenEverywhere = false
    /// Bearer token of admin routes.
    public var adminToken: [UInt8]?
    /// Browser origins allowed beside the node's own.
    public var origins: [String] = []
    /// Where the shared journal is; `nil` keeps it in `dataFolder`.
    public var database: PostgresConfiguration?
    /// Connections to the database, all uses together.
    public var databaseConnections = 4
    /// The node's place among others; `nil` for a node that is alone.
    public var cluster: ClusterConfiguration?
    /// Event loops.
    public var loopCount = 1
    /// Connections that the node holds at most.
    public var connectionLimit = 100_000
    /// Days after a poll's end for which hashes of its voters may stay in the journal.
    public var voterRetentionDays = 7
    /// Seconds after which a campaign that nobody uses leaves memory.
    public var idleSeconds = 600
    /// Lowest level that is logged.
    public var logLevel = LogLevel.info
    /// How lines are written.
    public var logFormat = LogFormat.json

    /// The defaults.
    public init() {}

    /// Reads the environment.
    ///
    /// - Parameters:
    ///   - readFile: the content of a file, or `nil` where it cannot be read.
    ///   - hostName: the name of a node that is given none.
    public static func load(
        environment: [String: String], cores: Int, hostName: String, isTerminal: Bool,
        readFile: @escaping (String) -> [UInt8]?
    ) throws(ConfigurationError) -> NodeConfiguration {
        let reader = EnvironmentReader(environment: environment, readFile: readFile)
        var configuration = NodeConfiguration()
        configuration.http =
            try reader.parsed("TUMULTE_HTTP", "must be a numeric address and a port", example: "127.0.0.1:8080") {
                TCPAddress($0)
            } ?? configuration.http
        configuration.nodeName =
            try reader.parsed("TUMULTE_NODE_NAME", "must be 1 to 128 visible ASCII characters", example: "node-1") {
                isNodeName($0) ? $0 : nil
            } ?? (isNodeName(hostName) ? hostName : configuration.nodeName)
        configuration.dataFolder =
            try reader.parsed("TUMULTE_DATA", "must name a folder", example: "./data") { $0.isEmpty ? nil : $0 }
            ?? configuration.dataFolder
        configuration.loopCount =
            try reader.integer("TUMULTE_LOOPS", in: 1...256, example: "2") ?? min(256, max(1, cores))
        configuration.connectionLimit =
            try reader.integer("TUMULTE_MAX_CONNECTIONS", in: 1...1_000_000, example: "100000")
            ?? configuration.connectionLimit
        configuration.voterRetentionDays =
            try reader.integer("TUMULTE_VOTER_RETENTION_DAYS", in: 0...3650, example: "7")
            ?? configuration.voterRetentionDays
        configuration.idleSeconds =
            try reader.integer("TUMULTE_IDLE_SECONDS", in: 1...86_400, example: "600") ?? configuration.idleSeconds
        try configuration.readLog(reader, isTerminal: isTerminal)
        try configuration.readSecrets(reader)
        try configuration.readStores(reader)
        try configuration.readCluster(reader)
        return configuration
    }

    /// The values in force, by variable; of secrets only whether they are set.
    var summary: [(String, String)] {
        [
            ("TUMULTE_HTTP", http.description), ("TUMULTE_NODE_NAME", nodeName), ("TUMULTE_DATA", dataFolder),
            ("DATABASE_URL", database?.description ?? "not set: SQLite in TUMULTE_DATA"),
            ("DB_POOL_MAX", String(databaseConnections)),
            ("REDIS_URL", cluster?.redis.description ?? "not set: one node"),
            ("TUMULTE_CLUSTER", cluster?.listen.description ?? "not used by one node"),
            (
                "TUMULTE_ADVERTISE",
                cluster.map { $0.advertise ?? "the one that reaches the database" } ?? "not used by one node"
            ),
            (
                "TUMULTE_CLUSTER_NAME",
                cluster.map { $0.name ?? "from TUMULTE_CLUSTER_SECRET" } ?? "not used by one node"
            ),
            ("TUMULTE_WEIGHT", cluster.map { String(Int($0.weight)) } ?? "not used by one node"),
            ("TUMULTE_TOKEN_SECRET", tokenSecret == nil ? "not set: open mode" : "set"),
            ("TUMULTE_ADMIN_TOKEN", adminToken == nil ? "not set: loopback peers only" : "set"),
            ("TUMULTE_ORIGINS", origins.isEmpty ? "none" : origins.joined(separator: ",")),
            ("TUMULTE_LOOPS", String(loopCount)), ("TUMULTE_MAX_CONNECTIONS", String(connectionLimit)),
            ("TUMULTE_VOTER_RETENTION_DAYS", String(voterRetentionDays)), ("TUMULTE_IDLE_SECONDS", String(idleSeconds)),
            ("TUMULTE_LOG", logLevel.name),
            ("TUMULTE_LOG_FORMAT", logFormat.rawValue),
        ]
    }

    private static func isNodeName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private mutating func readLog(_ reader: EnvironmentReader, isTerminal: Bool) throws(ConfigurationError) {
        logLevel =
            try reader.parsed("TUMULTE_LOG", "must be trace, debug, info, warn or error", example: "info") { text in
                LogLevel.allCases.first { $0.name == text }
            } ?? logLevel
        logFormat =
            try reader.parsed("TUMULTE_LOG_FORMAT", "must be text or json", example: "json") { LogFormat(rawValue: $0) }
            ?? (isTerminal ? .text : .json)
    }

    private mutating func readSecrets(_ reader: EnvironmentReader) throws(ConfigurationError) {
        tokenSecret = try reader.secret("TUMULTE_TOKEN_SECRET", bytes: 32)
        adminToken = try reader.bearerToken("TUMULTE_ADMIN_TOKEN", bytes: 16)
        isOpenEverywhere =
            try reader.parsed("TUMULTE_OPEN", "must be 0 or 1", example: "1") { ["0": false, "1": true][$0] } ?? false
        origins =
            try reader.parsed(
                "TUMULTE_ORIGINS", "must be origins, separated by commas, without paths or wildcards",
                example: "https://example.org,https://play.example.org", BrowserOrigin.parseList) ?? []
        if tokenSecret == nil, !isOpenEverywhere, !http.isLoopback {
            throw ConfigurationError(
                variable: "TUMULTE_TOKEN_SECRET",
                fault: "is needed because TUMULTE_HTTP=\(http) can be reached from elsewhere (or set TUMULTE_OPEN=1 "
                    + "to let everyone act as a service)",
                example: "$(head -c 32 /dev/urandom | base64)")
        }
    }

    /// On one node the variables of a cluster have no effect; a mistake in them is told all the same, and not on the
    /// day when it counts.
    private mutating func readCluster(_ reader: EnvironmentReader) throws(ConfigurationError) {
        let weight = try reader.integer("TUMULTE_WEIGHT", in: 1...1000, example: "1") ?? 1
        let secret = try reader.secret("TUMULTE_CLUSTER_SECRET", bytes: 32)
        let listen =
            try reader.parsed(
                "TUMULTE_CLUSTER", "must be a numeric address and a port", example: "0.0.0.0:7400"
            ) { TCPAddress($0) } ?? TCPAddress(bytes: [0, 0, 0, 0], port: 7400)
        let advertise = try reader.parsed(
            "TUMULTE_ADVERTISE", "must be a host and a port", example: "10.0.0.5:7400"
        ) { text in
            let port = text.contains(":") ? text.split(separator: ":").last.flatMap { UInt16($0) } : nil
            return port != nil && text.utf8.count <= 255 ? text : nil
        }
        let name = try reader.parsed(
            "TUMULTE_CLUSTER_NAME", "must be 1 to 64 letters, digits, dots, dashes or underscores", example: "shop-live"
        ) { text in
            (1...64).contains(text.utf8.count) && text.utf8.allSatisfy(Self.isNamePart) ? text : nil
        }
        let example = "redis://:secret@redis.example.org:6379/0"
        guard let url = try reader.secret("REDIS_URL", bytes: 1, example: example) else { return }
        guard database != nil else {
            throw ConfigurationError(
                variable: "REDIS_URL", fault: "needs DATABASE_URL beside it; unset it to run standalone",
                example: "(unset)")
        }
        guard let secret else {
            throw ConfigurationError(
                variable: "TUMULTE_CLUSTER_SECRET",
                fault: "is needed where REDIS_URL is set: the nodes of a cluster know each other by it",
                example: "$(head -c 32 /dev/urandom | base64)")
        }
        let redis: RedisConfiguration
        do {
            redis = try RedisConfiguration(String(decoding: url, as: UTF8.self))
        } catch {
            throw ConfigurationError(variable: "REDIS_URL", fault: error.message, example: example)
        }
        cluster = ClusterConfiguration(
            listen: listen, advertise: advertise, redis: redis, secret: secret, weight: Double(weight),
            name: name)
    }

    private mutating func readStores(_ reader: EnvironmentReader) throws(ConfigurationError) {
        databaseConnections = try reader.integer("DB_POOL_MAX", in: 1...100, example: "4") ?? databaseConnections
        let example = "postgres://tumulte:secret@db.example.org:5432/tumulte"
        if let url = try reader.secret("DATABASE_URL", bytes: 1, example: example) {
            do {
                database = try PostgresConfiguration(String(decoding: url, as: UTF8.self))
            } catch {
                throw ConfigurationError(variable: "DATABASE_URL", fault: error.message, example: example)
            }
        }
    }
}

/// Reads single variables, with their faults.
struct EnvironmentReader {
    let environment: [String: String]
    let readFile: (String) -> [UInt8]?

    func isSet(_ name: String) -> Bool {
        !(environment[name] ?? "").isEmpty || !(environment[name + "_FILE"] ?? "").isEmpty
    }

    func parsed<Value>(
        _ name: String, _ fault: String, example: String, _ parse: (String) -> Value?
    ) throws(ConfigurationError) -> Value? {
        guard let text = environment[name], !text.isEmpty else { return nil }
        guard let value = parse(text) else { throw ConfigurationError(variable: name, fault: fault, example: example) }
        return value
    }

    func integer(_ name: String, in bounds: ClosedRange<Int>, example: String) throws(ConfigurationError) -> Int? {
        try parsed(name, "must be a number from \(bounds.lowerBound) to \(bounds.upperBound)", example: example) {
            Int($0).flatMap { bounds.contains($0) ? $0 : nil }
        }
    }

    /// A secret from the variable or from the file that `NAME_FILE` names; a line break at its end is not part of it.
    func secret(
        _ name: String, bytes minimum: Int, example: String? = nil
    ) throws(ConfigurationError) -> [UInt8]? {
        let example = example ?? "$(head -c \(minimum) /dev/urandom | base64)"
        var value: [UInt8]?
        if let text = environment[name], !text.isEmpty { value = Array(text.utf8) }
        if let path = environment[name + "_FILE"], !path.isEmpty {
            guard value == nil else {
                throw ConfigurationError(
                    variable: name, fault: "is set beside \(name)_FILE: keep one", example: example)
            }
            guard var content = readFile(path) else {
                throw ConfigurationError(
                    variable: name + "_FILE", fault: "names a file that cannot be read", example: "/run/secrets/tumulte"
                )
            }
            while let last = content.last, last == 0x0A || last == 0x0D { content.removeLast() }
            value = content
        }
        guard let value else { return nil }
        guard value.count >= minimum else {
            throw ConfigurationError(variable: name, fault: "must have \(minimum) bytes or more", example: example)
        }
        // Whoever copies such a secret loses what nobody sees, and the two sides never match.
        guard let first = value.first, let last = value.last, !Self.isBlank(first), !Self.isBlank(last) else {
            throw ConfigurationError(
                variable: name, fault: "must not begin or end with a blank or a line break", example: example)
        }
        return value
    }

    /// A secret that travels in a header, which carries visible ASCII in one word: anything else would never match.
    func bearerToken(_ name: String, bytes minimum: Int) throws(ConfigurationError) -> [UInt8]? {
        guard let token = try secret(name, bytes: minimum) else { return nil }
        guard token.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ConfigurationError(
                variable: name, fault: "must be one word of visible ASCII characters, to fit into a header",
                example: "$(head -c \(minimum) /dev/urandom | base64)")
        }
        return token
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == 0x7F }
}
