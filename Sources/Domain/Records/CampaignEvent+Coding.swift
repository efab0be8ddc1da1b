// The bytes of the events, version 1. A record is a kind, the campaign's id and the fields of the kind in order;
// votes are packed in runs (`RecordWriter`) and have no encoding of their own here.

import Protocol

/// The first byte of a record.
enum RecordKind: UInt8 {
    case voteRun = 1
    case created = 2
    case updated = 3
    case deleted = 4
    case pollStarted = 5
    case channelAdded = 6
    case countdown = 7
    case countdownSkipped = 8
    case pollEnded = 9
    case replyRemembered = 10

    /// The format version that begins a payload.
    static let version: UInt8 = 1
    /// Bytes of a remembered reply; a reader refuses more, so a writer must not write it.
    static let replyBytesLimit = 16 * 1024 * 1024
}

extension CampaignCreated {
    func encode(into output: inout [UInt8]) {
        output.appendUUID(id.uuid)
        output.appendOptionalText(ownerId)
        output.appendText(name)
        output.appendOptionalText(description)
        output.appendOptionalHash(creationKey)
        output.appendOptionalHash(creationBody)
        output.appendTimestamp(at)
    }

    init(_ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        self.init(
            id: CampaignID(try cursor.uuid(bytes)), ownerId: try cursor.optionalText(bytes),
            name: try cursor.text(bytes), description: try cursor.optionalText(bytes),
            creationKey: try cursor.optionalHash(bytes), creationBody: try cursor.optionalHash(bytes),
            at: try cursor.timestamp(bytes))
    }
}

extension CampaignEvent {
    /// Appends the record of an event that is not a vote.
    func encode(campaign: CampaignID, into output: inout [UInt8]) {
        func begin(_ kind: RecordKind) {
            output.append(kind.rawValue)
            output.appendUUID(campaign.uuid)
        }
        switch self {
        case .created(let created):
            begin(.created)
            created.encode(into: &output)
        case .updated(let name, let description, let at):
            begin(.updated)
            output.appendText(name)
            output.appendOptionalText(description)
            output.appendTimestamp(at)
        case .deleted(let at):
            begin(.deleted)
            output.appendTimestamp(at)
        case .pollStarted(let definition, let voterKey):
            begin(.pollStarted)
            definition.encode(into: &output)
            output.appendHash(voterKey)
        case .channelAdded(let poll, let channel):
            begin(.channelAdded)
            output.appendUUID(poll.uuid)
            output.appendText(channel)
        case .voted:
            preconditionFailure("votes are recorded in runs")
        case .countdown(let poll, let secondsLeft, let at):
            begin(.countdown)
            output.appendUUID(poll.uuid)
            output.appendInteger(UInt32(secondsLeft))
            output.appendTimestamp(at)
        case .countdownSkipped(let poll, let secondsLeft):
            begin(.countdownSkipped)
            output.appendUUID(poll.uuid)
            output.appendInteger(UInt32(secondsLeft))
        case .pollEnded(let poll, let status, let endedAt):
            begin(.pollEnded)
            output.appendUUID(poll.uuid)
            output.append(status.rawValue)
            output.appendTimestamp(endedAt)
        case .replyRemembered(let key, let body, let at, let status, let bytes):
            precondition(bytes.count <= RecordKind.replyBytesLimit, "a reply is too long for a record")
            begin(.replyRemembered)
            output.appendHash(key)
            output.appendHash(body)
            output.appendTimestamp(at)
            output.appendInteger(status)
            output.appendInteger(UInt32(bytes.count))
            output.append(contentsOf: bytes)
        }
    }

    /// Reads the fields of a record that is not a run of votes.
    init(_ kind: RecordKind, _ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        switch kind {
        case .voteRun:
            throw .invalidValue
        case .created:
            self = .created(try CampaignCreated(&cursor, bytes))
        case .updated:
            let name = try cursor.text(bytes)
            let description = try cursor.optionalText(bytes)
            self = .updated(name: name, description: description, at: try cursor.timestamp(bytes))
        case .deleted:
            self = .deleted(at: try cursor.timestamp(bytes))
        case .pollStarted:
            let definition = try PollDefinition(&cursor, bytes)
            self = .pollStarted(definition, voterKey: try cursor.hash(bytes))
        case .channelAdded:
            let poll = PollID(try cursor.uuid(bytes))
            self = .channelAdded(poll: poll, channel: try cursor.text(bytes))
        case .countdown:
            let poll = PollID(try cursor.uuid(bytes))
            let secondsLeft = Int(try cursor.integer(UInt32.self, bytes))
            self = .countdown(poll: poll, secondsLeft: secondsLeft, at: try cursor.timestamp(bytes))
        case .countdownSkipped:
            let poll = PollID(try cursor.uuid(bytes))
            self = .countdownSkipped(poll: poll, secondsLeft: Int(try cursor.integer(UInt32.self, bytes)))
        case .pollEnded:
            let poll = PollID(try cursor.uuid(bytes))
            guard let status = PollStatus(rawValue: try cursor.integer(UInt8.self, bytes)) else { throw .invalidValue }
            self = .pollEnded(poll: poll, status: status, endedAt: try cursor.timestamp(bytes))
        case .replyRemembered:
            let key = try cursor.hash(bytes)
            let body = try cursor.hash(bytes)
            let at = try cursor.timestamp(bytes)
            let status = try cursor.integer(UInt16.self, bytes)
            let count = try cursor.count(upTo: RecordKind.replyBytesLimit, minimumBytes: 1, bytes)
            self = .replyRemembered(
                key: key, body: body, at: at, status: status, bytes: try cursor.bytes(count, bytes))
        }
    }
}
