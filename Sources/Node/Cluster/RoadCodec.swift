// What travels between an edge and the owner of a campaign on another node: the bodies of `request`, `reply`,
// `subscribe`, `presence` and `event` frames. Tickets stay at home: answers come back in the order of their commands, and the node
// that asked knows whose each is.
//
//   request    form (1 byte): 1 commands, 2 creation; further ones are for the node itself
//   commands   campaign, count, then for each: kind (1), age, HTTP request's id?, fields
//   creation   slot, age, principal, name, description?, mark?, HTTP request's id?
//   reply      one answer for each command: kind (1), fields
//   subscribe  campaign, position?            answered by: 1 subscribed, missed events; or 0 and an error
//   presence   campaign, clients
//   event      the event as clients of `tumulte.v1.binary` get it
//
// Ages are milliseconds since the edge read the command from its socket: the clocks of two nodes differ.

import Domain
import Protocol

extension [UInt8] {
    /// The bytes of a span, which lives no longer than the call that brought it.
    init(copying span: Span<UInt8>) {
        // Sound: the buffer is read during the closure alone, in which the span lives.
        self = unsafe span.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

enum RoadCodec {
    /// Commands of one request.
    static let commandsLimit = 4096
    /// Bytes of a request after which no further command is put into it; the largest command is far shorter than what
    /// is left of a frame.
    static let requestBytesTarget = 256 * 1024
    /// Milliseconds that an age can say.
    static let ageMillisecondsLimit: UInt64 = 60_000

    enum Form: UInt8 {
        case commands = 1
        case creation = 2
        /// Slots that the sender would give to the receiver: a question to the node, see `HandOffCodec`.
        case offer = 3
        /// Slots that the sender has given to the receiver, with what the database does not hold.
        case handOver = 4
        /// What a node is asked about itself: see `PeerQuestion`.
        case status = 5
        case campaignStatus = 6
    }

    enum Kind: UInt8 {
        case vote = 1
        /// A vote in the poll of the vote before.
        case voteInSamePoll = 2
        case verify = 3
        case update = 16
        case delete = 17
        case launch = 18
        case cancel = 19
        case signal = 20
        case readCampaign = 21
        case readPolls = 22
        case readPoll = 23
    }

    /// One command as it was read.
    struct Received: Sendable {
        let receivedAt: Timestamp
        let body: CommandBody
    }

    /// Reads a body that must be used up.
    static func whole<Value>(
        _ bytes: Span<UInt8>, _ read: (inout BinaryCursor) throws(BinaryError) -> Value
    ) throws(BinaryError) -> Value {
        var cursor = BinaryCursor()
        let value = try read(&cursor)
        try cursor.finish(bytes)
        return value
    }

    static func age(of time: Timestamp, at now: Timestamp) -> UInt64 {
        UInt64(min(max(0, now.milliseconds(since: time)), Int64(ageMillisecondsLimit)))
    }

    static func time(
        ofAge cursor: inout BinaryCursor, _ bytes: Span<UInt8>, at now: Timestamp
    ) throws(BinaryError) -> Timestamp {
        let age = try cursor.unsigned(bytes)
        guard age <= ageMillisecondsLimit else { throw .field("age", "must be at most \(ageMillisecondsLimit)") }
        return now.advanced(byMilliseconds: -Int64(age))
    }

    // MARK: - Pieces

    static func append(_ hash: Hash128, to output: inout [UInt8]) {
        for word in [hash.high, hash.low] {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                output.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
    }

    static func hash(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> Hash128 {
        Hash128(high: try word(&cursor, bytes), low: try word(&cursor, bytes))
    }

    private static func word(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 8) { value |= UInt64(try cursor.byte(bytes)) << shift }
        return value
    }

    static func append(_ text: String?, to output: inout [UInt8]) {
        output.append(text == nil ? 0 : 1)
        if let text { BinaryWriter.string(text, to: &output) }
    }

    static func optionalText(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>, _ name: StaticString, _ limit: Int
    ) throws(BinaryError) -> String? {
        try flag(&cursor, bytes) ? try cursor.string(bytes, name, 0...limit) : nil
    }

    /// A byte that is 0 or 1.
    static func flag(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> Bool {
        let byte = try cursor.byte(bytes)
        guard byte <= 1 else { throw .badFlags }
        return byte == 1
    }

    static func append(_ mark: IdempotencyMark?, to output: inout [UInt8]) {
        output.append(mark == nil ? 0 : 1)
        guard let mark else { return }
        append(mark.key, to: &output)
        append(mark.body, to: &output)
    }

    static func mark(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> IdempotencyMark? {
        guard try flag(&cursor, bytes) else { return nil }
        return IdempotencyMark(key: try hash(&cursor, bytes), body: try hash(&cursor, bytes))
    }

    static func append(_ principal: Principal, to output: inout [UInt8]) {
        output.append(principal.role.rawValue)
        output.append(principal.isOpenMode ? 1 : 0)
        BinaryWriter.string(principal.subject, to: &output)
        append(principal.channel, to: &output)
        output.append(principal.expiresAt == nil ? 0 : 1)
        if let expiresAt = principal.expiresAt { BinaryWriter.timestamp(expiresAt, to: &output) }
    }

    static func principal(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> Principal {
        guard let role = Role(rawValue: try cursor.byte(bytes)) else { throw .field("role", "has an unknown value") }
        let isOpenMode = try flag(&cursor, bytes)
        let subject = try cursor.string(bytes, "subject", 0...Limits.voterBytesLimit)
        let channel = try optionalText(&cursor, bytes, "channel", Limits.channelBytesLimit)
        let expiresAt = try flag(&cursor, bytes) ? try cursor.timestamp(bytes, "expiresAt") : nil
        return Principal(
            role: role, subject: subject, channel: channel, expiresAt: expiresAt, isOpenMode: isOpenMode)
    }
}
