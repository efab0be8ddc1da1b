// From a head that passed the guard and the lexer to a checked request: framing, host, expectation, target. Every
// rule that protects against two servers reading one message differently and needs whole fields stands here.

/// How a body is delimited.
enum HTTPBodyFraming: Equatable {
    case none
    case length(Int)
    case chunked
}

struct HTTPHead {
    private let bytes: [UInt8]
    private let fields: [HTTPField]
    private let limits: HTTPLimits

    /// The head's request, body still empty, and how its body will come; or the refusal.
    static func read(
        _ bytes: [UInt8], _ fields: [HTTPField], keepAlive: Bool?, limits: HTTPLimits
    ) throws(HTTPFailure) -> (request: HTTPRequest, framing: HTTPBodyFraming) {
        try HTTPHead(bytes: bytes, fields: fields, limits: limits).read(keepAlive)
    }

    /// A field's value without surrounding blanks.
    static func value(_ head: [UInt8], _ field: HTTPField) -> ArraySlice<UInt8> {
        var slice = head[Int(field.valueStart)..<Int(field.valueEnd)]
        while let first = slice.first, first == HTTPByte.space || first == HTTPByte.tab { slice.removeFirst() }
        while let last = slice.last, last == HTTPByte.space || last == HTTPByte.tab { slice.removeLast() }
        return slice
    }

    private func read(_ keepAlive: Bool?) throws(HTTPFailure) -> (request: HTTPRequest, framing: HTTPBodyFraming) {
        // The guard has checked the request line: method SP target SP HTTP/1.x CR LF, after at most one empty line.
        let lineStart = bytes.first == HTTPByte.cr ? 2 : 0
        guard let methodEnd = bytes[lineStart...].firstIndex(of: HTTPByte.space),
            let targetEnd = bytes[(methodEnd + 1)...].firstIndex(of: HTTPByte.space), targetEnd + 8 < bytes.count
        else { throw .bad("The request line is malformed.") }
        let method = bytes[lineStart..<methodEnd]
        let target = bytes[(methodEnd + 1)..<targetEnd]
        let minor = bytes[targetEnd + 8] == 0x31 ? 1 : 0
        if HTTPByte.equal(method, "connect") {
            throw HTTPFailure(405, "bad_request", "This server is no proxy.")
        }
        let framing = try bodyFraming(minor: minor)
        let host = try hostField(minor: minor)
        let parsed = try HTTPTarget.parse(target, isOptions: HTTPMethod(method) == .options)
        let upgrades = try isWebSocketUpgrade(HTTPMethod(method), minor, framing)
        let expects = try expectsContinue(minor)
        let request = HTTPRequest(
            method: HTTPMethod(method),
            target: String(decoding: target, as: UTF8.self),
            path: parsed.path,
            query: parsed.query,
            authority: parsed.authority ?? host,
            minorVersion: minor,
            keepAlive: keepAlive ?? keepsAlive(minor),
            expectsContinue: expects,
            isWebSocketUpgrade: upgrades,
            body: [], head: bytes, fields: fields)
        return (request, framing)
    }

    private func values(_ lowercase: String) -> [ArraySlice<UInt8>] {
        fields.filter { HTTPByte.equal(bytes[Int($0.nameStart)..<Int($0.nameEnd)], lowercase) }
            .map { Self.value(bytes, $0) }
    }

    /// Whether one of a comma-separated field's elements equals the token.
    private func lists(_ name: String, _ token: String) -> Bool {
        values(name).contains { line in
            line.split(separator: 0x2C).contains { element in
                HTTPByte.equal(trim(element), token)
            }
        }
    }

    private func trim(_ slice: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var slice = slice.drop { $0 == HTTPByte.space || $0 == HTTPByte.tab }
        while let last = slice.last, last == HTTPByte.space || last == HTTPByte.tab { slice.removeLast() }
        return slice
    }

    private func keepsAlive(_ minor: Int) -> Bool {
        if lists("connection", "close") { return false }
        return minor == 1 || lists("connection", "keep-alive")
    }

    private func bodyFraming(minor: Int) throws(HTTPFailure) -> HTTPBodyFraming {
        let lengths = values("content-length")
        let codings = values("transfer-encoding")
        if let coding = codings.first {
            guard lengths.isEmpty else { throw .bad("Content-Length and Transfer-Encoding exclude each other.") }
            guard minor == 1 else { throw .bad("HTTP/1.0 has no Transfer-Encoding.") }
            guard codings.count == 1, HTTPByte.equal(coding, "chunked") else {
                throw .bad("The only transfer coding is chunked.")
            }
            return .chunked
        }
        guard let text = lengths.first else { return .none }
        guard lengths.count == 1 else { throw .bad("Content-Length came more than once.") }
        guard !text.isEmpty, text.allSatisfy(HTTPByte.isDigit) else { throw .bad("Content-Length is not a number.") }
        let digits = text.drop { $0 == 0x30 }
        guard digits.count <= 15 else { throw HTTPFailure(413, "too_large", "The request body is too large.") }
        let length = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        guard length <= limits.bodyBytes else { throw HTTPFailure(413, "too_large", "The request body is too large.") }
        return length == 0 ? .none : .length(length)
    }

    private func hostField(minor: Int) throws(HTTPFailure) -> String {
        let hosts = values("host")
        guard hosts.count <= 1 else { throw .bad("Host came more than once.") }
        guard let host = hosts.first else {
            guard minor == 0 else { throw .bad("Host is missing.") }
            return ""
        }
        guard HTTPTarget.isAuthority(host) else { throw .bad("Host is malformed.") }
        return String(decoding: host, as: UTF8.self)
    }

    private func isWebSocketUpgrade(
        _ method: HTTPMethod, _ minor: Int, _ framing: HTTPBodyFraming
    ) throws(HTTPFailure) -> Bool {
        guard minor == 1, lists("connection", "upgrade"), lists("upgrade", "websocket") else { return false }
        guard method == .get, framing == .none else { throw .bad("A WebSocket upgrade is a GET without a body.") }
        return true
    }

    private func expectsContinue(_ minor: Int) throws(HTTPFailure) -> Bool {
        let expectations = values("expect")
        guard minor == 1, !expectations.isEmpty else { return false }
        guard expectations.allSatisfy({ HTTPByte.equal($0, "100-continue") }) else {
            throw HTTPFailure(417, "bad_request", "The only expectation that can be met is 100-continue.")
        }
        return true
    }
}
