/// The stable codes that a client may see. An error other than `timeout` and `internalError` means: not applied, now
/// or later; those two leave the command's outcome unknown.
public enum ErrorCode: UInt8, Sendable, CaseIterable {
    /// The request itself is at fault.
    case badRequest = 1
    /// The poll has no such option.
    case invalidOption = 2
    /// The poll does not run any more.
    case pollClosed = 3
    /// The token is missing, wrong or expired.
    case unauthorized = 4
    /// The token does not allow it.
    case forbidden = 5
    /// No such thing.
    case notFound = 6
    /// The campaign has a running poll.
    case pollRunning = 7
    /// The same key came with another request.
    case conflict = 8
    /// More bytes than allowed.
    case tooLarge = 9
    /// More requests than allowed; carries a retry hint.
    case rateLimited = 10
    /// A queue is full; carries a retry hint.
    case overloaded = 11
    /// A store or the owner is away; carries a retry hint.
    case unavailable = 12
    /// No outcome by the deadline: it may still be applied.
    case timeout = 13
    /// A fault of the server: it may have been applied.
    case internalError = 14

    /// The code as clients read it, in JSON and in logs.
    public var name: StaticString {
        switch self {
        case .badRequest: "bad_request"
        case .invalidOption: "invalid_option"
        case .pollClosed: "poll_closed"
        case .unauthorized: "unauthorized"
        case .forbidden: "forbidden"
        case .notFound: "not_found"
        case .pollRunning: "poll_running"
        case .conflict: "conflict"
        case .tooLarge: "too_large"
        case .rateLimited: "rate_limited"
        case .overloaded: "overloaded"
        case .unavailable: "unavailable"
        case .timeout: "timeout"
        case .internalError: "internal"
        }
    }

    /// The HTTP status that carries this code.
    public var httpStatus: Int {
        switch self {
        case .badRequest, .invalidOption, .pollClosed: 400
        case .unauthorized: 401
        case .forbidden: 403
        case .notFound: 404
        case .pollRunning, .conflict: 409
        case .tooLarge: 413
        case .rateLimited: 429
        case .overloaded, .unavailable: 503
        case .timeout: 504
        case .internalError: 500
        }
    }

    /// Whether the very same command may be sent again after a pause with hope of another answer.
    public var isRetryable: Bool {
        switch self {
        case .rateLimited, .overloaded, .unavailable, .timeout, .internalError: true
        case .badRequest, .invalidOption, .pollClosed, .unauthorized, .forbidden, .notFound, .pollRunning, .conflict,
            .tooLarge:
            false
        }
    }
}

/// A refusal as a client gets it: a stable code, a sentence for people, and where it helps the fields at fault.
public struct ClientError: Error, Sendable, Equatable {
    /// One fault of one field of the request.
    public struct Detail: Sendable, Equatable {
        /// The field's name in the request, or of the thing in the way (`poll` for a running poll).
        public var field: String
        /// What is wrong with it, or that thing's id.
        public var message: String

        /// Takes the parts as they are.
        public init(field: String, message: String) {
            self.field = field
            self.message = message
        }
    }

    /// The stable code.
    public var code: ErrorCode
    /// A sentence for people; never holds secrets.
    public var message: String
    /// The fields at fault, where there are any.
    public var details: [Detail]
    /// When to try again, in milliseconds, for the codes that carry a hint.
    public var retryAfterMilliseconds: Int?

    /// Takes the parts as they are.
    public init(_ code: ErrorCode, _ message: String, details: [Detail] = [], retryAfterMilliseconds: Int? = nil) {
        self.code = code
        self.message = message
        self.details = details
        self.retryAfterMilliseconds = retryAfterMilliseconds
    }
}
