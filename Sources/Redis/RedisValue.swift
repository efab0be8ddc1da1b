// What comes back from Redis, in the five shapes of RESP2, copied out of the library's memory once.

/// An error that the server wrote.
public struct RedisReplyError: Hashable, Sendable {
    /// The whole line.
    public let message: String

    /// Takes the line.
    public init(_ message: String) { self.message = message }

    /// Its first word, by which errors are told apart (`WRONGTYPE`, `NOSCRIPT`, `ERR`).
    public var code: String { String(message.prefix { $0 != " " }) }

    /// Whether the server is a replica, or was made one: another server takes the writes now. Before Redis 7 the word
    /// stands inside the error of the script that wanted to write.
    var isFromReplica: Bool { code == "READONLY" || (code == "ERR" && message.contains("-READONLY ")) }
}

/// A reply.
public enum RedisValue: Hashable, Sendable {
    /// There is nothing.
    case null
    /// A number.
    case integer(Int64)
    /// A string of any bytes.
    case bytes([UInt8])
    /// A short word such as `OK`.
    case status(String)
    /// Several replies.
    case array([RedisValue])
    /// An error within an array; as a whole reply it is thrown instead.
    case error(RedisReplyError)

    /// The number, or the decimal number that a string holds.
    public var integer: Int64? {
        switch self {
        case .integer(let number): number
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self).flatMap { Int64($0) }
        case .null, .status, .array, .error: nil
        }
    }

    /// The bytes of a string.
    public var bytes: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }

    /// The text of a string or a status; `nil` where it is not UTF-8.
    public var string: String? {
        switch self {
        case .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        case .status(let text): text
        case .null, .integer, .array, .error: nil
        }
    }

    /// The replies of an array.
    public var array: [RedisValue]? { if case .array(let values) = self { values } else { nil } }
}
