/// The encoding `tumulte.v1.binary`: one message per binary WebSocket message, specified byte by byte in
/// `docs/PROTOCOL.md`. Byte 0 is the kind, byte 1 the flags, then comes the id where the flags name one. This file
/// reads what clients send.
public enum BinaryClientCodec: ClientCodec {
    /// `tumulte.v1.binary`
    public static let subprotocol = "tumulte.v1.binary"

    /// What byte 0 says. Bit 7 marks the server's messages.
    enum Kind: UInt8 {
        case hello = 0x01
        case subscribe = 0x02
        case unsubscribe = 0x03
        case vote = 0x04
        case signal = 0x05
        case ping = 0x06
        case helloReply = 0x81
        case subscribed = 0x82
        case unsubscribed = 0x83
        case ack = 0x84
        case error = 0x85
        case pong = 0x86
        case event = 0x87
    }

    /// What byte 1 says: bits 0 and 1 name the form of the id, the others belong to the kind.
    struct Flags: OptionSet {
        let rawValue: UInt8
        static let integerID = Flags(rawValue: 1)
        static let stringID = Flags(rawValue: 2)
        static let anyID: Flags = [.integerID, .stringID]
        /// The first, second, third and fourth optional part of the kind.
        static let first = Flags(rawValue: 4)
        static let second = Flags(rawValue: 8)
        static let third = Flags(rawValue: 16)
    }

    /// Reads one message of a client, which must fill all of `bytes`.
    ///
    /// - Throws: `.malformed` for torn or unreadable bytes, `.invalid` for a message that asks for the impossible.
    public static func decode(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> ClientMessage {
        var cursor = BinaryCursor()
        var id: RequestID?
        do throws(BinaryError) {
            let kind = try cursor.byte(bytes)
            let flags = Flags(rawValue: try cursor.byte(bytes))
            id = try requestID(&cursor, flags, bytes)
            let message = try body(kind, flags, id, &cursor, bytes)
            try cursor.finish(bytes)
            return message
        } catch {
            throw clientError(error, id)
        }
    }

    private static func body(
        _ kind: UInt8, _ flags: Flags, _ id: RequestID?, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ClientMessage {
        switch Kind(rawValue: kind) {
        case .vote:
            try check(flags, [.first, .second, .third])
            return .vote(id: id, try vote(&cursor, flags, bytes))
        case .ping:
            try check(flags, [])
            return .ping(id: id)
        case .subscribe:
            try check(flags, [.first])
            return .subscribe(id: id, try subscription(&cursor, hasPosition: flags.contains(.first), bytes))
        case .unsubscribe:
            try check(flags, [])
            return .unsubscribe(id: id, campaign: CampaignID(try cursor.uuid(bytes, "campaign")))
        case .hello:
            try check(flags, [.first, .second, .third])
            return try hello(id, flags, &cursor, bytes)
        case .signal:
            try check(flags, [])
            return .signal(
                id: id, campaign: CampaignID(try cursor.uuid(bytes, "campaign")),
                name: try cursor.string(bytes, "name", 1...Limits.signalNameBytesLimit),
                data: try signalData(&cursor, bytes))
        case .helloReply, .subscribed, .unsubscribed, .ack, .error, .pong, .event, nil:
            throw .unknownKind
        }
    }

    private static func vote(
        _ cursor: inout BinaryCursor, _ flags: Flags, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> VoteMessage {
        VoteMessage(
            campaign: CampaignID(try cursor.uuid(bytes, "campaign")), poll: PollID(try cursor.uuid(bytes, "poll")),
            option: Int(try cursor.signed(bytes)),
            voter: flags.contains(.first) ? try cursor.string(bytes, "voter", 1...Limits.voterBytesLimit) : nil,
            channel: flags.contains(.second)
                ? try cursor.string(bytes, "channel", 1...Limits.channelBytesLimit) : nil,
            key: flags.contains(.third) ? try cursor.string(bytes, "key", 1...Limits.keyBytesLimit) : nil)
    }

    private static func hello(
        _ id: RequestID?, _ flags: Flags, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ClientMessage {
        let token = flags.contains(.first) ? try cursor.string(bytes, "token", 1...Limits.tokenBytesLimit) : nil
        let voter = flags.contains(.second) ? try cursor.string(bytes, "voter", 1...Limits.voterBytesLimit) : nil
        var subscriptions: [SubscriptionRequest] = []
        if flags.contains(.third) {
            let count = try cursor.count(
                bytes, limit: Limits.subscriptionsPerConnectionLimit, "subscriptions")
            guard count > 0 else { throw .badFlags }
            for _ in 0..<count {
                let form = try cursor.byte(bytes)
                guard form <= 1 else { throw .badFlags }
                subscriptions.append(try subscription(&cursor, hasPosition: form == 1, bytes))
            }
        }
        return .hello(id: id, token: token, voter: voter, subscriptions: subscriptions)
    }

    private static func subscription(
        _ cursor: inout BinaryCursor, hasPosition: Bool, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> SubscriptionRequest {
        SubscriptionRequest(
            campaign: CampaignID(try cursor.uuid(bytes, "campaign")),
            after: hasPosition ? try cursor.position(bytes, "after") : nil)
    }

    /// JSON text of bounded length; its line breaks come out as spaces, as from the JSON encoding.
    static func signalData(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> [UInt8] {
        let range = try cursor.blob(bytes)
        guard range.count <= Limits.signalDataBytesLimit else { throw .signalTooLarge }
        let text = bytes.extracting(range)
        guard let value = try? JSONCursor.document(text) else { throw .field("data", FieldFault.signalData) }
        return value.rawText(text)
    }

    static func requestID(
        _ cursor: inout BinaryCursor, _ flags: Flags, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> RequestID? {
        switch flags.intersection(.anyID) {
        case []: return nil
        case .integerID: return .integer(try cursor.signed(bytes))
        case .stringID:
            let range = try cursor.blob(bytes)
            guard range.count <= Limits.requestIDBytesLimit else { throw .field("id", FieldFault.requestID) }
            guard let text = UTF8Scan.string(bytes, range) else { throw .badUTF8 }
            return .string(text)
        default: throw .badFlags
        }
    }

    /// Refuses flags that the kind does not have.
    static func check(_ flags: Flags, _ known: Flags) throws(BinaryError) {
        guard flags.subtracting(.anyID).isSubset(of: known) else { throw .badFlags }
    }

    static func clientError(_ error: BinaryError, _ id: RequestID?) -> ClientDecodeError {
        switch error {
        case .truncated: .malformed("the message is cut off")
        case .badInteger: .malformed("an integer is too long")
        case .badUTF8: .malformed("invalid UTF-8")
        case .trailing: .malformed("bytes after the message")
        case .badFlags: .malformed("unknown flags")
        case .field(let name, let fault): .field(name, fault, id: id)
        case .signalTooLarge: ClientDecodeError.signalTooLarge.identified(by: id)
        case .unknownKind: .field("kind", "is unknown", id: id)
        }
    }
}
