/// What went wrong between the node and Redis, and what may have become of the command.
public struct RedisError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What became of the command; decides whether it may be sent again.
    public enum Outcome: Hashable, Sendable {
        /// It never left. Safe to send again.
        case notSent
        /// The server answered with an error. A script may have written before it failed; a plain command has not.
        case refusedByServer
        /// It may or may not have taken effect: find out on a new connection.
        case unknown
        /// It took effect, but its reply is not what the caller asked to read.
        case unreadable
    }

    /// What kind of failure it was.
    public enum Reason: Hashable, Sendable {
        /// The URL or a command cannot be used; trying again does not help.
        case configuration
        /// No connection could be made.
        case connecting
        /// The server was reached, but refused the login or the database, or is not the one that takes writes.
        case setup
        /// The connection broke.
        case connectionLost
        /// The deadline passed.
        case deadline
        /// A queue is full.
        case overloaded
        /// This side closed the connection.
        case closed
        /// The server refused the command; see `code`.
        case server
        /// What came back is not what the protocol or the command allows.
        case decoding
    }

    /// What became of the command.
    public let outcome: Outcome
    /// What kind of failure it was.
    public let reason: Reason
    /// The first word of the server's error (`WRONGTYPE`, `NOSCRIPT`), where the server gave one.
    public let code: String?
    /// One line for the log; never a password, never a value.
    public let message: String

    /// Takes the parts; line breaks in the message become spaces.
    public init(_ outcome: Outcome, _ reason: Reason, code: String? = nil, _ message: String) {
        self.outcome = outcome
        self.reason = reason
        self.code = code
        self.message = Self.oneLine(message)
    }

    /// The message and the outcome in one line.
    public var description: String {
        switch outcome {
        case .notSent: "redis: \(message); nothing was changed"
        case .refusedByServer: "redis: \(message)"
        case .unknown: "redis: \(message); whether it took effect is unknown"
        case .unreadable: "redis: \(message); the reply could not be read"
        }
    }

    /// The same failure, seen from a place that knows more about its outcome.
    public func with(_ outcome: Outcome) -> RedisError { RedisError(outcome, reason, code: code, message) }

    /// Characters of a message that are kept.
    static let messageLimit = 500

    private static func oneLine(_ text: String) -> String {
        let words = text.split { $0.isWhitespace || $0.isNewline }
        return String(words.joined(separator: " ").prefix(messageLimit))
    }
}
