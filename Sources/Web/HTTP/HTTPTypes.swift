// The vocabulary of the HTTP side: methods, limits, header fields, and what a refusal looks like.
// Nothing here does input or output; the connection that owns a parser decides when to write and close.

/// A request method. Methods that the node has no route for arrive as `.other` and are answered 405.
public enum HTTPMethod: Sendable, Equatable {
    case get, head, post, put, patch, delete, options
    /// A method known to HTTP, but to no route of the node.
    case other

    init(_ token: ArraySlice<UInt8>) {
        self =
            switch String(decoding: token, as: UTF8.self) {
            case "GET": .get
            case "HEAD": .head
            case "POST": .post
            case "PUT": .put
            case "PATCH": .patch
            case "DELETE": .delete
            case "OPTIONS": .options
            default: .other
            }
    }
}

/// Upper bounds of one request. All are inclusive: a request at the limit passes.
public struct HTTPLimits: Sendable, Equatable {
    /// Bytes of the head, from the method to the empty line; also the bound of trailers. At most 64 KiB.
    public let headBytes: Int
    /// Bytes of the body after transfer decoding.
    public let bodyBytes: Int
    /// Header fields.
    public let headerFields: Int
    /// Bytes of the request target.
    public let targetBytes: Int

    /// Makes limits; the defaults are those of the public contract.
    ///
    /// - Precondition: all are positive and `headBytes` is at most 65,536, the most that field offsets can address.
    public init(
        headBytes: Int = 16 * 1024, bodyBytes: Int = 1024 * 1024, headerFields: Int = 100, targetBytes: Int = 8 * 1024
    ) {
        precondition(headBytes > 0 && headBytes <= 65_536 && bodyBytes > 0 && headerFields > 0 && targetBytes > 0)
        self.headBytes = headBytes
        self.bodyBytes = bodyBytes
        self.headerFields = headerFields
        self.targetBytes = targetBytes
    }
}

/// One header field of a response.
public struct HTTPHeader: Sendable, Equatable {
    /// The field's name.
    public let name: String
    /// The field's value.
    public let value: String
}

/// A refusal: answer with `status` and close the connection, because the rest of the stream cannot be trusted.
public struct HTTPFailure: Error, Sendable, Equatable {
    /// The HTTP status to answer, 400–505.
    public let status: Int
    /// The stable code of the public contract.
    public let code: String
    /// One sentence for people; never echoes what the client sent.
    public let message: String
    /// Fields that the answer must carry.
    public let headers: [HTTPHeader]

    init(_ status: Int, _ code: String, _ message: String, headers: [HTTPHeader] = []) {
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
    }

    static func bad(_ message: String) -> HTTPFailure { HTTPFailure(400, "bad_request", message) }
}

/// Classes of bytes that the grammars of HTTP name.
enum HTTPByte {
    static let cr: UInt8 = 13
    static let lf: UInt8 = 10
    static let space: UInt8 = 32
    static let tab: UInt8 = 9
    static let colon: UInt8 = 58

    /// `tchar` of RFC 9110: what a method or a field name may hold.
    @inline(__always)
    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: true
        default: false
        }
    }

    /// A byte of a field value: visible, space, tab, or 0x80 and above; never a control byte.
    @inline(__always)
    static func isValue(_ byte: UInt8) -> Bool {
        (byte >= 0x20 && byte != 0x7F) || byte == tab
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    /// The value of a hexadecimal digit, or nil.
    @inline(__always)
    static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    @inline(__always)
    static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }

    /// Compares ASCII without case; `lowercase` must be lower case already.
    static func equal(_ bytes: ArraySlice<UInt8>, _ lowercase: String) -> Bool {
        let other = lowercase.utf8
        guard bytes.count == other.count else { return false }
        return zip(bytes, other).allSatisfy { lower($0) == $1 }
    }
}
