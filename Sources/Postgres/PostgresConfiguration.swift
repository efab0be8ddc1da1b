// The connection string, taken apart by libpq itself, so that every option means what it means everywhere else.
// libpq's own words about a bad string quote pieces of it, which may be the password: they are never repeated.

internal import CPostgres

/// Where the database is and how to log in.
public struct PostgresConfiguration: Sendable, CustomStringConvertible {
    /// A server that may be the one.
    struct Host: Hashable, Sendable {
        /// A name, a numeric address or the folder of a Unix socket; empty where only `address` is known.
        var name: String
        /// The numeric address, where the string gave one or the name has been resolved.
        var address: String
        var port: String

        /// Whether libpq would have to ask a resolver.
        var needsResolving: Bool { address.isEmpty && !name.isEmpty && !name.hasPrefix("/") && !name.hasPrefix("@") }

        var description: String {
            let shown = name.isEmpty ? address : name
            return (shown.contains(":") ? "[\(shown)]" : shown) + ":" + port
        }
    }

    /// Servers of one string.
    static let hostsLimit = 8

    let hosts: [Host]
    /// Every other option, in libpq's order.
    let options: [(keyword: String, value: String)]
    private let user: String
    private let database: String
    /// A server inside the process, in place of all of these.
    let server: (any PostgresServer)?

    /// Names a server inside the process.
    public init(server: any PostgresServer) {
        self.server = server
        (hosts, options, user, database) = ([], [], "", "")
    }

    /// Parses a URI (`postgres://user:password@host:port/database?sslmode=require`) or a list of `keyword=value`.
    ///
    /// What is missing comes from libpq's defaults (`PGHOST` and the like). With several hosts and no
    /// `target_session_attrs` the one that takes writes is looked for.
    public init(_ text: String) throws(PostgresError) {
        var options = try Self.parse(text)
        let defaults = unsafe Self.read(PQconndefaults())
        for keyword in ["host", "hostaddr", "port", "user", "dbname"] where options[keyword] == nil {
            // An address from the environment belongs to the environment's host.
            if keyword == "hostaddr", options["host"] != nil { continue }
            options[keyword] = defaults[keyword]
        }
        if options["service"] != nil { throw Self.refusal("`service` is not supported, name the host instead") }
        try Self.check(options, "sslmode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
        try Self.check(options, "target_session_attrs", ["any", "read-write", "primary"])
        hosts = try Self.hosts(options)
        server = nil
        user = options["user"] ?? ""
        database = options["dbname"] ?? user
        if hosts.count > 1, options["target_session_attrs"] == nil { options["target_session_attrs"] = "read-write" }
        if options["application_name"] == nil { options["application_name"] = "tumulte" }
        // Kerberos may ask the network, blocking, before the first byte is sent: only where it is wanted.
        if options["gssencmode"] == nil { options["gssencmode"] = "disable" }
        options["client_encoding"] = "UTF8"
        for keyword in ["host", "hostaddr", "port"] { options[keyword] = nil }
        self.options = options.sorted { $0.key < $1.key }.map { (keyword: $0.key, value: $0.value) }
    }

    /// User, servers and database; never the password.
    public var description: String {
        "postgres://\(user)@" + hosts.map(\.description).joined(separator: ",") + "/\(database)"
    }

    /// Keywords and values for one attempt at one server.
    func parameters(for host: Host) -> [(keyword: String, value: String)] {
        var all = options
        if !host.name.isEmpty { all.append(("host", host.name)) }
        if !host.address.isEmpty { all.append(("hostaddr", host.address)) }
        all.append(("port", host.port))
        return all
    }

    // MARK: - Parsing

    private static func refusal(_ reason: String) -> PostgresError {
        PostgresError(.notSent, .configuration, "the connection string cannot be used: \(reason)")
    }

    private static func parse(_ text: String) throws(PostgresError) -> [String: String] {
        guard !text.utf8.contains(0) else { throw refusal("it holds a zero byte") }
        guard text.contains(where: { !$0.isWhitespace }) else { throw refusal("it is empty") }
        var message: UnsafeMutablePointer<CChar>?
        let parsed = unsafe PQconninfoParse(text, &message)
        defer { unsafe PQfreemem(message) }
        guard unsafe parsed != nil else {
            throw refusal(unsafe explain(message.map { unsafe String(cString: $0) } ?? ""))
        }
        return unsafe read(parsed)
    }

    /// Takes over a list of options of libpq; those without a value are left out.
    private static func read(_ list: UnsafeMutablePointer<PQconninfoOption>?) -> [String: String] {
        var options: [String: String] = [:]
        defer { unsafe PQconninfoFree(list) }
        var next = unsafe list
        while let entry = unsafe next, let keyword = unsafe entry.pointee.keyword {
            if let value = unsafe entry.pointee.val {
                unsafe options[String(cString: keyword)] = String(cString: value)
            }
            unsafe next = entry + 1
        }
        return options
    }

    /// Our words for libpq's: its message ends in a piece of the string.
    private static func explain(_ message: String) -> String {
        let known = [
            ("missing \"=\"", "a word without `=`, and no postgres:// before it"),
            ("unterminated quoted string", "a quote is not closed"),
            ("invalid connection option", "an option that libpq does not know"),
            ("invalid URI query parameter", "an option that libpq does not know"),
            ("invalid percent-encoded token", "a `%` that no two hexadecimal digits follow; write `%25` for `%`"),
            ("forbidden value %00", "`%00` stands for a zero byte"),
            ("end of string reached", "a `[` without `]`"),
            ("IPv6 host address", "`[]` without an address"),
            ("unexpected character", "an unexpected character after the address"),
            ("extra key/value", "an option with two `=`"),
            ("missing key/value", "an option without `=`; write `%3F` for a `?` in a password"),
        ]
        return known.first { message.contains($0.0) }?.1 ?? "neither a URI nor a list of keyword=value"
    }

    private static func check(_ options: [String: String], _ keyword: String, _ known: [String]) throws(PostgresError) {
        guard let value = options[keyword], !known.contains(value) else { return }
        throw refusal("\(keyword) is none of " + known.joined(separator: ", "))
    }

    private static func hosts(_ options: [String: String]) throws(PostgresError) -> [Host] {
        func list(_ keyword: String) -> [String] {
            guard let value = options[keyword], !value.isEmpty else { return [] }
            return value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let names = list("host")
        let addresses = list("hostaddr")
        let ports = list("port")
        let count = max(names.count, addresses.count, 1)
        guard count <= hostsLimit else { throw refusal("more than \(hostsLimit) hosts") }
        guard names.isEmpty || addresses.isEmpty || names.count == addresses.count else {
            throw refusal("`host` and `hostaddr` differ in length")
        }
        guard ports.count <= 1 || ports.count == count else { throw refusal("not as many ports as hosts") }
        var hosts: [Host] = []
        for index in 0..<count {
            var port = ports.count > 1 ? ports[index] : ports.first ?? ""
            if port.isEmpty { port = "5432" }
            guard let number = UInt16(port), number > 0 else { throw refusal("a port that is none of 1 to 65535") }
            let name = index < names.count ? names[index] : ""
            let address = index < addresses.count ? addresses[index] : ""
            hosts.append(Host(name: name, address: address, port: String(number)))
        }
        return hosts
    }
}
