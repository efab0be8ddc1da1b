// The head of an answer, built as bytes. A value that could end its line is never written, so a client's text in a
// header cannot become a header or a body of its own.

/// How the body of an answer is delimited.
public enum HTTPResponseFraming: Sendable, Equatable {
    /// `Content-Length`; also for the answer to HEAD, whose body is then not sent.
    case length(Int)
    /// `Transfer-Encoding: chunked`; write the body with `HTTPChunk`. Only to HTTP/1.1 clients.
    case chunked
    /// The end of the connection ends the body: for an HTTP/1.0 client of a stream.
    case untilClose
    /// No body and no length: 1xx and 204.
    case none
}

/// The status line and fields of one answer.
public struct HTTPResponseHead: Sendable {
    /// What a client that expects `100-continue` waits for.
    public static let continueResponse: [UInt8] = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

    /// The status, 100–599.
    public let status: Int
    private var fields: [UInt8] = []

    /// A head without fields.
    ///
    /// - Precondition: 100–599.
    public init(status: Int) {
        precondition((100...599).contains(status), "no HTTP status: \(status)")
        self.status = status
    }

    /// Adds a field.
    ///
    /// - Parameters:
    ///   - name: from the program's text only; a name that is no token is a programming error and stops the process.
    ///   - value: anything; surrounding blanks are the caller's business.
    /// - Returns: false where the value holds a control byte: nothing was added.
    @discardableResult
    public mutating func add(_ name: StaticString, _ value: some StringProtocol) -> Bool {
        let start = fields.count

        fields.append(contentsOf: name.description.utf8)
        precondition(fields.count > start && fields[start...].allSatisfy(HTTPByte.isToken), "no header name: \(name)")
        fields.append(HTTPByte.colon)
        fields.append(HTTPByte.space)
        for byte in value.utf8 {
            guard HTTPByte.isValue(byte) else {
                fields.removeSubrange(start...)
                return false
            }
            fields.append(byte)
        }
        fields.append(HTTPByte.cr)
        fields.append(HTTPByte.lf)
        return true
    }

    /// Appends the head, with its framing, to what is to be sent.
    ///
    /// - Parameters:
    ///   - date: the value of `Date` (see `HTTPDate`), made once a second by the caller; nil leaves the field out.
    ///   - keepAlive: false adds `Connection: close`; true adds nothing, as that is the rule in HTTP/1.1, except for
    ///     `minorVersion` 0.
    ///   - minorVersion: the client's minor version.
    public func append(
        framing: HTTPResponseFraming, date: [UInt8]?, keepAlive: Bool, minorVersion: Int = 1, into out: inout [UInt8]
    ) {
        out.reserveCapacity(out.count + fields.count + 160)
        out.append(contentsOf: "HTTP/1.1 ".utf8)
        out.append(contentsOf: String(status).utf8)
        out.append(HTTPByte.space)
        out.append(contentsOf: Self.reason(status).utf8)
        out.append(contentsOf: "\r\n".utf8)
        out.append(contentsOf: fields)
        if let date, date.allSatisfy(HTTPByte.isValue) {
            out.append(contentsOf: "Date: ".utf8)
            out.append(contentsOf: date)
            out.append(contentsOf: "\r\n".utf8)
        }
        switch framing {
        case .length(let length):
            out.append(contentsOf: "Content-Length: ".utf8)
            out.append(contentsOf: String(max(0, length)).utf8)
            out.append(contentsOf: "\r\n".utf8)
        case .chunked: out.append(contentsOf: "Transfer-Encoding: chunked\r\n".utf8)
        case .untilClose, .none: break
        }
        if !keepAlive || framing == .untilClose {
            out.append(contentsOf: "Connection: close\r\n".utf8)
        } else if minorVersion == 0 {
            out.append(contentsOf: "Connection: keep-alive\r\n".utf8)
        }
        out.append(contentsOf: "\r\n".utf8)
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}

/// Writes the chunks of a body whose length is not known beforehand.
public enum HTTPChunk {
    /// Appends one chunk; nothing for empty bytes, because an empty chunk would end the body.
    public static func append(_ bytes: [UInt8], into out: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        out.append(contentsOf: String(bytes.count, radix: 16).utf8)
        out.append(contentsOf: "\r\n".utf8)
        out.append(contentsOf: bytes)
        out.append(contentsOf: "\r\n".utf8)
    }

    /// Appends the end of the body.
    public static func appendEnd(into out: inout [UInt8]) {
        out.append(contentsOf: "0\r\n\r\n".utf8)
    }
}
