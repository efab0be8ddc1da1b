/// The encoding `tumulte.v1.json`: one JSON object per text message. This file reads what clients send; what the
/// server writes, and the reverse of both, are in the files beside it.
///
/// A message is scanned once, which also validates all of it; then the fields that its `op` needs are interpreted in
/// place. Unknown fields are ignored, a field that stands twice is refused, an optional field that is `null` counts as
/// absent.
public enum JSONClientCodec: ClientCodec {
    /// `tumulte.v1.json`
    public static let subprotocol = "tumulte.v1.json"

    /// Reads one message of a client.
    ///
    /// - Throws: `.malformed` for what is not one JSON object, `.invalid` for an object that is no possible message.
    public static func decode(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> ClientMessage {
        let object = try scan(bytes)
        let id = try requestID(object, bytes)
        if let name = object.duplicate {
            throw .field(name, "stands twice", id: id)
        }
        guard let op = object[FieldName.op, bytes] else { throw .field("op", FieldFault.missing, id: id) }
        do throws(ClientDecodeError) {
            switch ClientOp(op, bytes) {
            case .vote: return .vote(id: id, try vote(object, bytes))
            case .ping: return .ping(id: id)
            case .subscribe: return .subscribe(id: id, try subscription(object, bytes))
            case .unsubscribe: return .unsubscribe(id: id, campaign: try campaign(object, bytes))
            case .hello: return try hello(id, object, bytes)
            case .signal: return try signal(id, object, bytes)
            case nil: throw ClientDecodeError.field("op", "is unknown", id: id)
            }
        } catch {
            throw error.identified(by: id)
        }
    }

    static func scan(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> JSONObject {
        let object: JSONObject?
        do throws(JSONError) {
            object = try JSONObject.document(bytes)
        } catch {
            throw .malformed(error.description)
        }
        guard let object else { throw .malformed("a message is a JSON object") }
        return object
    }

    static func requestID(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> RequestID? {
        guard let value = object[FieldName.id, bytes] else { return nil }
        if let number = value.integer(bytes) { return .integer(number) }
        if let text = value.string(bytes, byteCount: 0...Limits.requestIDBytesLimit) { return .string(text) }
        throw .field("id", FieldFault.requestID, id: nil)
    }

    private static func hello(
        _ id: RequestID?, _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> ClientMessage {
        let token = try text(object, FieldName.token, bytes, limit: Limits.tokenBytesLimit)
        let voter = try text(object, FieldName.voter, bytes, limit: Limits.voterBytesLimit)
        var subscriptions: [SubscriptionRequest] = []
        if let list = object[FieldName.subscriptions, bytes] {
            guard var elements = JSONElements(list) else {
                throw .field("subscriptions", FieldFault.subscriptions, id: nil)
            }
            while let element = try? elements.next(bytes) {
                guard subscriptions.count < Limits.subscriptionsPerConnectionLimit,
                    let entry = try? JSONObject(element, bytes), entry.duplicate == nil
                else { throw .field("subscriptions", FieldFault.subscriptions, id: nil) }
                subscriptions.append(try subscription(entry, bytes))
            }
        }
        return .hello(id: id, token: token, voter: voter, subscriptions: subscriptions)
    }

    static func vote(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> VoteMessage {
        VoteMessage(
            campaign: try campaign(object, bytes),
            poll: PollID(try uuid(object, FieldName.poll, bytes)),
            option: try integer(object, FieldName.option, bytes),
            voter: try text(object, FieldName.voter, bytes, limit: Limits.voterBytesLimit),
            channel: try text(object, FieldName.channel, bytes, limit: Limits.channelBytesLimit),
            key: try text(object, FieldName.key, bytes, limit: Limits.keyBytesLimit))
    }

    private static func signal(
        _ id: RequestID?, _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> ClientMessage {
        let campaign = try campaign(object, bytes)
        guard let name = try text(object, FieldName.name, bytes, limit: Limits.signalNameBytesLimit) else {
            throw .field("name", FieldFault.missing, id: nil)
        }
        return .signal(id: id, campaign: campaign, name: name, data: try signalData(object, bytes))
    }

    static func signalData(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> [UInt8] {
        guard let data = object.member(FieldName.data, bytes) else {
            throw .field("data", FieldFault.missing, id: nil)
        }
        guard data.range.count <= Limits.signalDataBytesLimit else { throw .signalTooLarge }
        return data.rawText(bytes)
    }

    static func subscription(
        _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> SubscriptionRequest {
        let campaign = try campaign(object, bytes)
        guard let value = object[FieldName.after, bytes] else {
            return SubscriptionRequest(campaign: campaign, after: nil)
        }
        guard let after = try? JSONObject(value, bytes), after.duplicate == nil, let position = position(after, bytes)
        else { throw .field("after", FieldFault.position, id: nil) }
        return SubscriptionRequest(campaign: campaign, after: position)
    }

    /// The fields `epoch` and `seq` of an object; `nil` unless both are there and in bounds.
    static func position(_ object: JSONObject, _ bytes: Span<UInt8>) -> Position? {
        guard let epoch = object[FieldName.epoch, bytes]?.integer(bytes),
            let seq = object[FieldName.seq, bytes]?.integer(bytes)
        else { return nil }
        let bounds = 0...Int64(Position.componentLimit)
        guard bounds.contains(epoch), bounds.contains(seq) else { return nil }
        return Position(epoch: UInt64(epoch), seq: UInt64(seq))
    }

    static func campaign(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> CampaignID {
        CampaignID(try uuid(object, FieldName.campaign, bytes))
    }

    static func uuid(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> UUIDv7 {
        guard let value = object[name, bytes] else { throw .field(name.text, FieldFault.missing, id: nil) }
        guard let id = value.uuid(bytes) else { throw .field(name.text, FieldFault.uuid, id: nil) }
        return id
    }

    static func integer(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> Int {
        guard let value = object[name, bytes] else { throw .field(name.text, FieldFault.missing, id: nil) }
        guard let number = value.integer(bytes) else { throw .field(name.text, FieldFault.integer, id: nil) }
        return Int(number)
    }

    /// An optional string of 1 to `limit` bytes.
    static func text(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>, limit: Int
    ) throws(ClientDecodeError) -> String? {
        guard let value = object[name, bytes] else { return nil }
        guard let text = value.string(bytes, byteCount: 1...limit) else {
            throw .field(name.text, FieldFault.bytes(limit), id: nil)
        }
        return text
    }
}

/// The operations of clients by name.
private enum ClientOp {
    case vote, ping, subscribe, unsubscribe, hello, signal

    private static let voteWord: JSONName = "vote"
    private static let pingWord: JSONName = "ping"
    private static let subscribeWord: JSONName = "subscribe"
    private static let unsubscribeWord: JSONName = "unsubscribe"
    private static let helloWord: JSONName = "hello"
    private static let signalWord: JSONName = "signal"

    init?(_ value: JSONSlice, _ bytes: Span<UInt8>) {
        if value.isWord(Self.voteWord, bytes) {
            self = .vote
        } else if value.isWord(Self.pingWord, bytes) {
            self = .ping
        } else if value.isWord(Self.subscribeWord, bytes) {
            self = .subscribe
        } else if value.isWord(Self.unsubscribeWord, bytes) {
            self = .unsubscribe
        } else if value.isWord(Self.helloWord, bytes) {
            self = .hello
        } else if value.isWord(Self.signalWord, bytes) {
            self = .signal
        } else {
            return nil
        }
    }
}
