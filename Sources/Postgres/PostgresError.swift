/// What went wrong between the node and Postgres, and what may have become of the statement.
public struct PostgresError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What became of the statement; decides whether it may be sent again.
    public enum Outcome: Hashable, Sendable {
        /// Nothing took effect: it never left, or its transaction was never committed. Safe to send again.
        case notSent
        /// The server answered with an error; nothing took effect.
        case refusedByServer
        /// It may or may not have taken effect: find out on a new connection.
        case unknown
        /// It took effect, but its result is not what the caller asked to read.
        case unreadable
    }

    /// What kind of failure it was.
    public enum Reason: Hashable, Sendable {
        /// The connection string, a statement or a value cannot be used; trying again does not help.
        case configuration
        /// No connection could be made.
        case connecting
        /// The server answers, but its settings put committed data at risk, or it is a standby.
        case unsuitableServer
        /// The connection broke.
        case connectionLost
        /// The deadline passed.
        case deadline
        /// A queue is full.
        case overloaded
        /// This side closed the connection or the pool.
        case closed
        /// The server refused the statement; see `sqlState`.
        case server
        /// A value of a result has another type or shape.
        case decoding
    }

    /// What became of the statement.
    public let outcome: Outcome
    /// What kind of failure it was.
    public let reason: Reason
    /// The five characters of Postgres' error code, where the server gave one.
    public let sqlState: String?
    /// One line for the log; never a password, never a value.
    public let message: String

    /// Takes the parts; line breaks in the message become spaces.
    public init(_ outcome: Outcome, _ reason: Reason, sqlState: String? = nil, _ message: String) {
        self.outcome = outcome
        self.reason = reason
        self.sqlState = sqlState
        self.message = Self.oneLine(message)
    }

    /// The message, the code and the outcome in one line.
    public var description: String {
        let code = sqlState.map { " (\($0))" } ?? ""
        switch outcome {
        case .notSent: return "postgres: \(message)\(code); nothing was changed"
        case .refusedByServer: return "postgres: \(message)\(code)"
        case .unknown: return "postgres: \(message)\(code); whether it took effect is unknown"
        case .unreadable: return "postgres: \(message)\(code); the result could not be read"
        }
    }

    /// The same failure, seen from a place that knows more about its outcome.
    public func with(_ outcome: Outcome) -> PostgresError {
        PostgresError(outcome, reason, sqlState: sqlState, message)
    }

    /// Characters of a message that are kept.
    static let messageLimit = 500

    private static func oneLine(_ text: String) -> String {
        let words = text.split { $0.isWhitespace || $0.isNewline }
        return String(words.joined(separator: " ").prefix(messageLimit))
    }
}

/// Something the server said unasked.
public struct PostgresNotice: Hashable, Sendable {
    /// `WARNING`, `FATAL` and so on, in English whatever the server's language.
    public let severity: String
    /// The five characters of Postgres' code.
    public let sqlState: String
    /// The server's words.
    public let message: String
}
