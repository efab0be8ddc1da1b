// The URL of Redis, taken apart. Its pieces never appear in an error: any of them may be the password, misplaced.
//
//   redis://[user][:password@]host[:port][/database]
//   redis+sentinel://[user][:password@]host[:port],host[:port]…/master[/database]
//
// `rediss://` and `rediss+sentinel://` are the same over TLS. They are refused in a clear line where hiredis has none, as on
// Debian 12 (0.14).

/// Where Redis is and how to log in.
public struct RedisConfiguration: Sendable, CustomStringConvertible {
    /// A server: a name or a numeric address, and its port.
    struct Host: Hashable, Sendable {
        let name: String
        let port: UInt16

        var description: String { (name.contains(":") ? "[\(name)]" : name) + ":\(port)" }
    }

    /// How the server that takes writes is found.
    enum Place: Hashable, Sendable {
        /// It is this one.
        case direct(Host)
        /// Any of these Sentinels knows, by the name of what it watches.
        case sentinels([Host], master: String)
    }

    /// Sentinels of one URL.
    static let hostsLimit = 8
    /// Bytes of a URL.
    static let lengthLimit = 4_096
    static let serverPort: UInt16 = 6379
    static let sentinelPort: UInt16 = 26379

    let place: Place
    let login: RedisLogin?
    let database: Int32
    /// Whose certificates are believed; `nil` without TLS.
    let tls: HiredisTLS?

    /// Parses a URL; special characters in the user or password are percent-encoded. With TLS the system's certificates
    /// are read, so that a server is known by its name.
    public init(_ text: String) throws(RedisError) { try self.init(text, authorities: nil) }

    /// - Parameter authorities: a file with the certificates that are believed instead of the system's.
    init(_ text: String, authorities: String?) throws(RedisError) {
        guard text.utf8.count <= Self.lengthLimit else { throw Self.refusal("it is too long") }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Self.refusal("it is empty or holds a blank, a control character or one outside ASCII")
        }
        guard let (scheme, rest) = Self.split(text[...], at: "://") else {
            throw Self.refusal("it does not begin with redis:// or redis+sentinel://")
        }
        let (isSentinel, isSecret) =
            switch scheme.lowercased() {
            case "redis": (false, false)
            case "redis+sentinel": (true, false)
            case "rediss": (false, true)
            case "rediss+sentinel": (true, true)
            default: throw Self.refusal("it does not begin with redis:// or redis+sentinel://")
            }
        if isSecret {
            guard HiredisTLS.isThere else { throw Self.refusal(HiredisTLS.whyNot) }
            guard let made = HiredisTLS(authorities: authorities) else {
                throw Self.refusal("it asks for TLS, and the certificates of authorities cannot be read")
            }
            tls = made
        } else {
            tls = nil
        }
        guard !rest.contains(where: { $0 == "?" || $0 == "#" }) else {
            throw Self.refusal("it holds a `?` or `#`; there are no options, and in a password they are %3F and %23")
        }
        var parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        let authority = parts.removeFirst()
        login = try Self.login(authority)
        let hosts = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        if isSentinel {
            guard let master = try parts.first.map(Self.decode), !master.isEmpty else {
                throw Self.refusal("after the Sentinels stands `/` and the name of the master that they watch")
            }
            parts.removeFirst()
            place = .sentinels(try Self.sentinels(hosts), master: master)
        } else {
            place = .direct(try Self.host(hosts, defaultPort: Self.serverPort))
        }
        guard parts.count <= 1 else { throw Self.refusal("it has too many `/`; in a password it is %2F") }
        database = try Self.database(parts.first ?? "")
    }

    /// User, servers and database; never the password.
    public var description: String {
        let user = login?.user.map { "\($0)@" } ?? ""
        let scheme = tls == nil ? "redis" : "rediss"
        return switch place {
        case .direct(let host): "\(scheme)://\(user)\(host.description)/\(database)"
        case .sentinels(let hosts, let master):
            "\(scheme)+sentinel://\(user)\(hosts.map(\.description).joined(separator: ","))/\(master)/\(database)"
        }
    }

    // MARK: - Parsing

    private static func refusal(_ reason: String) -> RedisError {
        RedisError(.notSent, .configuration, "the URL of Redis cannot be used: \(reason)")
    }

    private static func split(_ text: Substring, at separator: String) -> (Substring, Substring)? {
        text.firstRange(of: separator).map { (text[..<$0.lowerBound], text[$0.upperBound...]) }
    }

    private static func login(_ authority: Substring) throws(RedisError) -> RedisLogin? {
        guard let at = authority.lastIndex(of: "@") else { return nil }
        let words = authority[..<at]
        guard let (user, password) = split(words, at: ":") else {
            guard words.isEmpty else {
                throw refusal("a user needs a password; one without a user is written `redis://:password@host`")
            }
            return nil
        }
        let login = RedisLogin(user: user.isEmpty ? nil : try decode(user), password: try decode(password))
        guard !login.password.isEmpty else {
            guard login.user == nil else { throw refusal("a user needs a password") }
            return nil
        }
        return login
    }

    private static func sentinels(_ text: Substring) throws(RedisError) -> [Host] {
        var hosts: [Host] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard hosts.count < hostsLimit else { throw refusal("it names more than \(hostsLimit) Sentinels") }
            hosts.append(try host(part, defaultPort: sentinelPort))
        }
        return hosts
    }

    private static func host(_ text: Substring, defaultPort: UInt16) throws(RedisError) -> Host {
        var name = text
        var port: Substring = ""
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw refusal("a `[` without `]`") }
            name = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":"), name.utf8.allSatisfy(isOfAddress) else {
                throw refusal("between `[` and `]` stands an IPv6 address, after it nothing or a port")
            }
            port = rest.dropFirst()
        } else if let (before, after) = split(text, at: ":") {
            (name, port) = (before, after)
            guard !port.isEmpty else { throw refusal("a `:` without a port") }
        }
        guard !name.isEmpty, name.utf8.count <= 253 else { throw refusal("a host is missing or too long") }
        guard text.hasPrefix("[") || name.utf8.allSatisfy(isOfName) else {
            throw refusal("a host holds a character that no name has")
        }
        guard !port.isEmpty else { return Host(name: String(name), port: defaultPort) }
        guard let number = decimal(port), let number = UInt16(exactly: number), number > 0 else {
            throw refusal("a port is not a number from 1 to 65535")
        }
        return Host(name: String(name), port: number)
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
        default: false
        }
    }

    private static func isOfAddress(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: ":"), UInt8(ascii: "."): true
        default: false
        }
    }

    private static func database(_ text: Substring) throws(RedisError) -> Int32 {
        guard !text.isEmpty else { return 0 }
        guard let number = decimal(text) else { throw refusal("the database is not a number from 0 to 999999999") }
        return number
    }

    /// Up to nine digits and nothing else: neither a sign nor a blank.
    private static func decimal(_ text: Substring) -> Int32? {
        guard text.utf8.count <= 9, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int32(text)
    }

    private static func decode(_ text: Substring) throws(RedisError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit) else {
                throw refusal("a `%` that no two hexadecimal digits follow; write `%25` for `%`")
            }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw refusal("a percent-encoded piece is not text")
        }
        return decoded
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// Who logs in. Neither printing nor dumping it shows the password.
struct RedisLogin: Sendable, CustomStringConvertible, CustomReflectable {
    /// `nil` is Redis' default user.
    let user: String?
    let password: String

    var description: String { user ?? "default" }
    var customMirror: Mirror { Mirror(self, children: ["user": description]) }
}
