// A command on its way out: its words in one buffer, so that each costs no allocation of its own.

/// One word after a command's name; any bytes.
public struct RedisArgument: Hashable, Sendable, ExpressibleByStringLiteral {
    /// The bytes that are sent.
    public let bytes: [UInt8]

    /// Takes bytes as they are.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The UTF-8 of a text.
    public init(_ text: String) { bytes = Array(text.utf8) }

    /// A number in decimal digits.
    public init(_ number: some BinaryInteger) { bytes = Array(String(number).utf8) }

    /// The UTF-8 of a literal.
    public init(stringLiteral text: String) { self.init(text) }
}

/// A command and its arguments, ready to be sent.
struct EncodedCommand: Sendable {
    /// All words, one after the other.
    private(set) var bytes: [UInt8] = []
    /// Where each word ends in `bytes`.
    private(set) var ends: [Int] = []

    init(_ name: String, _ arguments: [RedisArgument]) {
        ends.reserveCapacity(arguments.count + 1)
        bytes.reserveCapacity(arguments.reduce(name.utf8.count) { $0 + $1.bytes.count })
        bytes.append(contentsOf: name.utf8)
        ends.append(bytes.count)
        for argument in arguments {
            bytes.append(contentsOf: argument.bytes)
            ends.append(bytes.count)
        }
    }

    /// Words of one command.
    static let wordsLimit = 65_536

    /// Commands that would change the connection under everyone else who uses it, or whose replies are not one each.
    private static let refused: Set<String> = [
        "AUTH", "CLIENT", "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "PSUBSCRIBE", "PSYNC", "PUNSUBSCRIBE", "QUIT",
        "RESET", "SELECT", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "SYNC", "UNSUBSCRIBE", "UNWATCH", "WATCH",
    ]

    /// Why a caller's command cannot be sent on a shared connection; `nil` where it can.
    static func objection(_ name: String, _ arguments: [RedisArgument]) -> String? {
        guard !name.isEmpty, name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return "the name of a command is a word of ASCII"
        }
        guard arguments.count < wordsLimit else { return "\(name) has more than \(wordsLimit) words" }
        return refused.contains(name.uppercased()) ? "\(name) cannot be used on a shared connection" : nil
    }
}
