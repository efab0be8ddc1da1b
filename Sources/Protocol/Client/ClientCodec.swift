// What both encodings of the client protocol have in common: the operations, the names of fields, and the sentences
// in which a message is refused. Both encodings carry the same messages with the same meaning and the same codes.

/// An encoding of the client protocol. A codec has no state: the bytes of a message do not depend on the connection,
/// so an event is encoded once and shared by every subscriber.
public protocol ClientCodec: Sendable {
    /// The WebSocket subprotocol that stands for the encoding.
    static var subprotocol: String { get }

    /// Reads one message of a client, which must fill all of `bytes`.
    static func decode(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> ClientMessage

    /// Appends one message of the server.
    static func encode(_ message: ServerMessage, into output: inout [UInt8])

    /// Appends the `ack` of a vote (or of a signal, without status) without making a `ServerMessage`.
    static func encodeAck(id: RequestID?, status: VoteStatus?, position: Position, into output: inout [UInt8])

    /// Appends one message of a client; for clients and tools.
    static func encode(_ message: ClientMessage, into output: inout [UInt8])

    /// Reads one message of the server; for clients and tools.
    static func decodeServer(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> ServerMessage
}

/// The names of fields that the JSON encoding uses.
enum FieldName {
    static let after: JSONName = "after"
    static let at: JSONName = "at"
    static let campaign: JSONName = "campaign"
    static let campaignId: JSONName = "campaignId"
    static let channel: JSONName = "channel"
    static let channels: JSONName = "channels"
    static let code: JSONName = "code"
    static let createdAt: JSONName = "createdAt"
    static let data: JSONName = "data"
    static let description: JSONName = "description"
    static let details: JSONName = "details"
    static let durationSeconds: JSONName = "durationSeconds"
    static let endedAt: JSONName = "endedAt"
    static let endsAt: JSONName = "endsAt"
    static let epoch: JSONName = "epoch"
    static let event: JSONName = "event"
    static let field: JSONName = "field"
    static let id: JSONName = "id"
    static let jitterMs: JSONName = "jitterMs"
    static let key: JSONName = "key"
    static let maxMessageBytes: JSONName = "maxMessageBytes"
    static let message: JSONName = "message"
    static let name: JSONName = "name"
    static let node: JSONName = "node"
    static let op: JSONName = "op"
    static let option: JSONName = "option"
    static let options: JSONName = "options"
    static let ownerId: JSONName = "ownerId"
    static let pingMs: JSONName = "pingMs"
    static let poll: JSONName = "poll"
    static let question: JSONName = "question"
    static let recovered: JSONName = "recovered"
    static let retryAfterMs: JSONName = "retryAfterMs"
    static let role: JSONName = "role"
    static let runningPoll: JSONName = "runningPoll"
    static let secondsLeft: JSONName = "secondsLeft"
    static let seq: JSONName = "seq"
    static let startedAt: JSONName = "startedAt"
    static let status: JSONName = "status"
    static let subscriptions: JSONName = "subscriptions"
    static let time: JSONName = "time"
    static let token: JSONName = "token"
    static let type: JSONName = "type"
    static let voter: JSONName = "voter"
    static let votes: JSONName = "votes"
}

extension ClientDecodeError {
    /// A field that cannot be used: `bad_request` that names it.
    static func field(_ name: String, _ fault: String, id: RequestID?) -> ClientDecodeError {
        .invalid(
            id: id,
            ClientError(
                .badRequest, "\(name) \(fault)", details: [ClientError.Detail(field: name, message: fault)]))
    }

    /// A signal whose `data` is over `Limits.signalDataBytesLimit`.
    static var signalTooLarge: ClientDecodeError {
        .invalid(
            id: nil,
            ClientError(
                .tooLarge, "data \(FieldFault.signalData)",
                details: [ClientError.Detail(field: "data", message: FieldFault.signalData)]))
    }

    /// The same refusal for a message whose id became known.
    func identified(by id: RequestID?) -> ClientDecodeError {
        switch self {
        case .malformed: self
        case .invalid(_, let error): .invalid(id: id, error)
        }
    }
}

/// What is said of a field at fault; shared, so that both encodings and HTTP say the same.
enum FieldFault {
    static let missing = "is required"
    static let uuid = "must be a lowercase UUID of version 7"
    static let integer = "must be an integer"
    static let position = "must be an object of two integers, epoch and seq, from 0 to 2^53 - 1"
    static let requestID = "must be an integer of 64 bits or a string of at most \(Limits.requestIDBytesLimit) bytes"
    static let subscriptions = "must be a list of at most \(Limits.subscriptionsPerConnectionLimit) objects"
    static let signalData = "must be JSON of at most \(Limits.signalDataBytesLimit) bytes"

    static func bytes(_ limit: Int) -> String { "must be a string of 1 to \(limit) bytes" }
}

// The words of the enumerations on the wire, and back.

extension Role {
    /// The role as clients read it.
    public var name: StaticString {
        switch self {
        case .voter: "voter"
        case .host: "host"
        case .service: "service"
        }
    }
}

extension VoteStatus {
    /// The status as clients read it.
    public var name: StaticString {
        switch self {
        case .counted: "counted"
        case .moved: "moved"
        case .same: "same"
        case .duplicate: "duplicate"
        }
    }
}

extension PollType {
    /// The type as clients read and write it.
    public var name: StaticString {
        switch self {
        case .standard: "STANDARD"
        case .unique: "UNIQUE"
        }
    }

    /// The type of that name.
    public init?(name: String) {
        guard let type = Self.allCases.first(where: { $0.name.description == name }) else { return nil }
        self = type
    }
}

extension PollStatus {
    /// The status as clients read it.
    public var name: StaticString {
        switch self {
        case .running: "RUNNING"
        case .ended: "ENDED"
        case .cancelled: "CANCELLED"
        }
    }
}
