// A request as the routes see it: checked, bounded, its path decoded. It owns one array with its head and a table of
// offsets, so a request with twenty fields costs two allocations and no strings until someone asks for a value.

/// One complete request.
public struct HTTPRequest: Sendable {
    /// The method.
    public let method: HTTPMethod
    /// The request target as sent: ASCII, at most `HTTPLimits.targetBytes`.
    public let target: String
    /// The path, percent-decoded, valid UTF-8 without control characters; an encoded slash stays `%2F`, so that it
    /// never matches a route. `*` for `OPTIONS *`.
    public let path: String
    /// The query after `?`, still encoded; nil where there is none. Read it with `HTTPQuery`.
    public let query: String?
    /// Host and port that the client meant: the target's where it is absolute, else the `Host` field's.
    /// Empty only in HTTP/1.0.
    public let authority: String
    /// The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0.
    public let minorVersion: Int
    /// Whether the client lets the connection stay open after the answer.
    public let keepAlive: Bool
    /// Whether the client waited for `100 Continue`.
    public let expectsContinue: Bool
    /// Whether the client asks for WebSocket; bytes behind the request are then frames.
    public let isWebSocketUpgrade: Bool
    /// The body after transfer decoding, at most `HTTPLimits.bodyBytes`.
    public internal(set) var body: [UInt8]

    let head: [UInt8]
    let fields: [HTTPField]

    /// The number of header fields.
    public var headerCount: Int { fields.count }

    /// The first value of a field, without surrounding blanks; bytes that are not UTF-8 are replaced.
    ///
    /// - Parameter name: in any case.
    /// - Complexity: O(fields).
    public func header(_ name: String) -> String? {
        let lowercase = name.lowercased()
        return fields.first { matches($0, lowercase) }.map(value)
    }

    /// Every value of a field, in the order sent.
    public func headers(_ name: String) -> [String] {
        let lowercase = name.lowercased()
        return fields.filter { matches($0, lowercase) }.map(value)
    }

    /// The elements of a comma-separated field, over all its lines, without blanks and empty elements.
    public func headerList(_ name: String) -> [String] {
        headers(name).flatMap { line in
            line.utf8.split(separator: 0x2C).map { String(Substring($0).drop { $0 == " " || $0 == "\t" }) }
        }.map { element in
            var trimmed = Substring(element)
            while let last = trimmed.last, last == " " || last == "\t" { trimmed.removeLast() }
            return String(trimmed)
        }.filter { !$0.isEmpty }
    }

    private func matches(_ field: HTTPField, _ lowercase: String) -> Bool {
        HTTPByte.equal(head[Int(field.nameStart)..<Int(field.nameEnd)], lowercase)
    }

    private func value(_ field: HTTPField) -> String {
        String(decoding: HTTPHead.value(head, field), as: UTF8.self)
    }
}
