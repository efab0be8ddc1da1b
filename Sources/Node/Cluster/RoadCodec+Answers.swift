// Answers and events on their way back from the owner.

import Protocol

/// What became of one command.
enum RoadAnswer: Sendable {
    case vote(VoteStatus, Position)
    case reply(Reply)
}

extension RoadCodec {
    private enum AnswerKind: UInt8 {
        case vote = 1
        /// A vote that was settled at the position of the one before.
        case voteAtSamePosition = 2
        case signal = 3
        case document = 4
        case failure = 5
    }

    /// Bytes of a document: a history of polls is the largest.
    static let documentBytesLimit = 960 * 1024
    /// Clients that one node can say to have.
    static let clientsLimit: UInt64 = 1 << 32

    // MARK: - Answers to commands

    static func append(_ answers: [RoadAnswer], to output: inout [UInt8]) {
        var position: Position?
        for answer in answers {
            switch answer {
            case .vote(let status, let at):
                let isSame = at == position
                output.append((isSame ? AnswerKind.voteAtSamePosition : .vote).rawValue)
                output.append(status.rawValue)
                if !isSame { BinaryWriter.position(at, to: &output) }
                position = at
            case .reply(.signal(let at)):
                output.append(AnswerKind.signal.rawValue)
                BinaryWriter.position(at, to: &output)
            case .reply(.document(let status, let json)):
                output.append(AnswerKind.document.rawValue)
                BinaryWriter.unsigned(UInt64(status), to: &output)
                BinaryWriter.bytes(json, to: &output)
            case .reply(.failure(let error)):
                output.append(AnswerKind.failure.rawValue)
                append(error, to: &output)
            }
        }
    }

    /// Reads the answers to so many commands.
    static func answers(_ count: Int, _ bytes: Span<UInt8>) throws(BinaryError) -> [RoadAnswer] {
        var position: Position?
        var answers: [RoadAnswer] = []
        answers.reserveCapacity(count)
        var cursor = BinaryCursor()
        for _ in 0..<count { answers.append(try answer(&position, &cursor, bytes)) }
        try cursor.finish(bytes)
        return answers
    }

    private static func answer(
        _ position: inout Position?, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> RoadAnswer {
        switch AnswerKind(rawValue: try cursor.byte(bytes)) {
        case .vote:
            let status = try voteStatus(&cursor, bytes)
            let at = try cursor.position(bytes, "seq")
            position = at
            return .vote(status, at)
        case .voteAtSamePosition:
            let status = try voteStatus(&cursor, bytes)
            guard let position else { throw .badFlags }
            return .vote(status, position)
        case .signal: return .reply(.signal(try cursor.position(bytes, "seq")))
        case .document:
            let status = try cursor.unsigned(bytes)
            guard (200...599).contains(status) else { throw .field("status", "must be an HTTP status") }
            let json = bytes.extracting(try cursor.blob(bytes))
            return .reply(.document(status: Int(status), json: Array(copying: json)))
        case .failure: return .reply(.failure(try error(&cursor, bytes)))
        case nil: throw .unknownKind
        }
    }

    private static func voteStatus(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> VoteStatus {
        guard let status = VoteStatus(rawValue: try cursor.byte(bytes)) else {
            throw .field("status", "has an unknown value")
        }
        return status
    }

    // MARK: - Errors

    static func append(_ error: ClientError, to output: inout [UInt8]) {
        output.append(error.code.rawValue)
        BinaryWriter.string(error.message, to: &output)
        output.append(error.retryAfterMilliseconds == nil ? 0 : 1)
        if let pause = error.retryAfterMilliseconds { BinaryWriter.unsigned(UInt64(max(0, pause)), to: &output) }
        BinaryWriter.count(error.details.count, to: &output)
        for detail in error.details {
            BinaryWriter.string(detail.field, to: &output)
            BinaryWriter.string(detail.message, to: &output)
        }
    }

    static func error(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> ClientError {
        guard let code = ErrorCode(rawValue: try cursor.byte(bytes)) else {
            throw .field("code", "has an unknown value")
        }
        let message = try cursor.string(bytes)
        var pause: Int?
        if try flag(&cursor, bytes) { pause = Int(truncatingIfNeeded: try cursor.unsigned(bytes) & 0xFFFF_FFFF) }
        var details: [ClientError.Detail] = []
        for _ in 0..<(try cursor.count(bytes, limit: Limits.errorDetailsLimit, "details")) {
            details.append(.init(field: try cursor.string(bytes), message: try cursor.string(bytes)))
        }
        return ClientError(code, message, details: details, retryAfterMilliseconds: pause)
    }

    // MARK: - Subscriptions and events

    static func append(subscriptionTo campaign: CampaignID, after: Position?, to output: inout [UInt8]) {
        BinaryWriter.uuid(campaign.uuid, to: &output)
        output.append(after == nil ? 0 : 1)
        if let after { BinaryWriter.position(after, to: &output) }
    }

    static func subscription(_ bytes: Span<UInt8>) throws(BinaryError) -> SubscriptionRequest {
        var cursor = BinaryCursor()
        let campaign = CampaignID(try cursor.uuid(bytes, "campaign"))
        let after = try flag(&cursor, bytes) ? try cursor.position(bytes, "after") : nil
        try cursor.finish(bytes)
        return SubscriptionRequest(campaign: campaign, after: after)
    }

    static func append(presence clients: Int, of campaign: CampaignID, to output: inout [UInt8]) {
        BinaryWriter.uuid(campaign.uuid, to: &output)
        BinaryWriter.unsigned(UInt64(clients), to: &output)
    }

    static func presence(_ bytes: Span<UInt8>) throws(BinaryError) -> (campaign: CampaignID, clients: Int) {
        var cursor = BinaryCursor()
        let campaign = CampaignID(try cursor.uuid(bytes, "campaign"))
        let clients = try cursor.unsigned(bytes)
        guard clients <= clientsLimit else { throw .field("clients", "must be at most \(clientsLimit)") }
        try cursor.finish(bytes)
        return (campaign, Int(clients))
    }

    /// Writes what became of a subscription; of the missed events as many as fit, from the oldest on.
    ///
    /// - Returns: `false` where the events do not fit into a frame: the subscriber has to start over.
    static func append(_ joined: Joined, to output: inout [UInt8]) -> Bool {
        output.append(1)
        append(.subscribed(id: nil, joined.subscribed), to: &output)
        BinaryWriter.count(joined.missed.count, to: &output)
        for event in joined.missed {
            BinaryWriter.bytes(event.encoded, to: &output)
            guard output.count <= documentBytesLimit else { return false }
        }
        return true
    }

    static func append(joinFailure error: ClientError, to output: inout [UInt8]) {
        output.append(0)
        append(error, to: &output)
    }

    /// - Parameter epoch: of the owner, as the frame tells it.
    static func joined(_ bytes: Span<UInt8>, epoch: UInt64) throws(BinaryError) -> Result<Joined, ClientError> {
        var cursor = BinaryCursor()
        guard try flag(&cursor, bytes) else {
            let error = try error(&cursor, bytes)
            try cursor.finish(bytes)
            return .failure(error)
        }
        guard case .subscribed(_, let subscribed) = try message(&cursor, bytes) else { throw .unknownKind }
        var missed: [SharedEvent] = []
        for _ in 0..<(try cursor.count(bytes, limit: bytes.count, "missed")) {
            guard case .event(let event) = try message(&cursor, bytes) else { throw .unknownKind }
            missed.append(SharedEvent(event))
        }
        try cursor.finish(bytes)
        return .success(Joined(subscribed: subscribed, missed: missed, epoch: epoch))
    }

    static func event(_ bytes: Span<UInt8>) throws(BinaryError) -> SharedEvent {
        guard case .event(let event) = try decoded(bytes) else { throw .unknownKind }
        return SharedEvent(event)
    }

    static func append(_ message: ServerMessage, to output: inout [UInt8]) {
        var encoded: [UInt8] = []
        BinaryClientCodec.encode(message, into: &encoded)
        BinaryWriter.bytes(encoded, to: &output)
    }

    static func message(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ServerMessage {
        try decoded(bytes.extracting(try cursor.blob(bytes)))
    }

    private static func decoded(_ bytes: Span<UInt8>) throws(BinaryError) -> ServerMessage {
        do { return try BinaryClientCodec.decodeServer(bytes) } catch { throw .field("message", "cannot be read") }
    }
}
