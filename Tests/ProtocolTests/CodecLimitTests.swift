// The bounds of what a client may send, at the edge and one beyond, in both encodings.

import Protocol
import Testing

struct CodecLimitTests {
    static let uuid = UUIDv7(at: Timestamp(milliseconds: 1_700_000_000_000), random: 42)

    static func vote(voter: String? = nil, channel: String? = nil, key: String? = nil) -> ClientMessage {
        .vote(
            id: .integer(7),
            VoteMessage(
                campaign: CampaignID(uuid), poll: PollID(uuid), option: 0, voter: voter, channel: channel, key: key))
    }

    static func signal(name: String, data: String) -> ClientMessage {
        .signal(id: .integer(7), campaign: CampaignID(uuid), name: name, data: Array(data.utf8))
    }

    static func hello(token: String? = nil, voter: String? = nil, subscriptions: Int = 0) -> ClientMessage {
        .hello(
            id: .integer(7), token: token, voter: voter,
            subscriptions: Array(
                repeating: SubscriptionRequest(campaign: CampaignID(uuid), after: nil), count: subscriptions))
    }

    static func text(_ count: Int) -> String { String(repeating: "v", count: count) }

    /// The field, a message at its edge, and the messages beyond.
    static let cases: [(field: String, edge: ClientMessage, beyond: [ClientMessage])] = [
        ("voter", vote(voter: text(128)), [vote(voter: text(129)), vote(voter: "")]),
        ("channel", vote(channel: text(64)), [vote(channel: text(65)), vote(channel: "")]),
        ("key", vote(key: text(64)), [vote(key: text(65)), vote(key: "")]),
        ("name", signal(name: text(64), data: "1"), [signal(name: text(65), data: "1"), signal(name: "", data: "1")]),
        ("token", hello(token: text(8192)), [hello(token: text(8193)), hello(token: "")]),
        ("voter", hello(voter: text(128)), [hello(voter: text(129))]),
        ("subscriptions", hello(subscriptions: 100), [hello(subscriptions: 101)]),
    ]

    @Test(arguments: CodecUnderTest.allCases, cases.indices)
    func `a field is accepted at its limit and refused by name beyond it`(codec: CodecUnderTest, index: Int) throws {
        let (field, edge, beyond) = Self.cases[index]
        #expect(try codec.decode(codec.encode(edge)) == edge)
        for message in beyond {
            guard case .invalid(.integer(7), let error)? = codec.refusal(codec.encode(message)) else {
                Issue.record("\(field) beyond its limit is not refused under its id")
                continue
            }
            #expect(error.code == .badRequest)
            #expect(error.details.map(\.field) == [field])
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `the data of a signal may have 16 KiB and not one byte more`(codec: CodecUnderTest) throws {
        let edge = Self.signal(name: "n", data: "\"" + Self.text(16 * 1024 - 2) + "\"")
        #expect(try codec.decode(codec.encode(edge)) == edge)
        let beyond = Self.signal(name: "n", data: "\"" + Self.text(16 * 1024 - 1) + "\"")
        guard case .invalid(.integer(7), let error)? = codec.refusal(codec.encode(beyond)) else {
            Issue.record("not refused under its id")
            return
        }
        #expect(error.code == .tooLarge)
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `an id may have 64 bytes and not one more`(codec: CodecUnderTest) throws {
        let edge = ClientMessage.ping(id: .string(Self.text(64)))
        #expect(try codec.decode(codec.encode(edge)) == edge)
        guard case .invalid(nil, _)? = codec.refusal(codec.encode(.ping(id: .string(Self.text(65))))) else {
            Issue.record("not refused")
            return
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `a position may reach 2^53 - 1 in both halves and not more`(codec: CodecUnderTest) throws {
        let top = Position.componentLimit
        func subscribe(_ epoch: UInt64, _ seq: UInt64) -> ClientMessage {
            .subscribe(
                id: .integer(7),
                SubscriptionRequest(campaign: CampaignID(Self.uuid), after: Position(epoch: epoch, seq: seq)))
        }
        #expect(try codec.decode(codec.encode(subscribe(top, top))) == subscribe(top, top))
        for message in [subscribe(top + 1, 0), subscribe(0, top + 1)] {
            guard case .invalid(.integer(7), let error)? = codec.refusal(codec.encode(message)) else {
                Issue.record("not refused under its id")
                continue
            }
            #expect(error.details.map(\.field) == ["after"])
        }
    }

    @Test func `an escaped string counts the bytes that it stands for`() throws {
        func ping(_ count: Int) -> [UInt8] {
            Array("{\"op\":\"ping\",\"id\":\"\(String(repeating: "\\u0061", count: count))\"}".utf8)
        }
        #expect(try CodecUnderTest.json.decode(ping(64)) == .ping(id: .string(String(repeating: "a", count: 64))))
        #expect(CodecUnderTest.json.refusal(ping(65)) != nil)
    }

    @Test func `an object may have 32 fields and not one more`() throws {
        func ping(_ extra: Int) -> [UInt8] {
            Array(("{\"op\":\"ping\"" + (0..<extra).map { ",\"x\($0)\":0" }.joined() + "}").utf8)
        }
        #expect(try CodecUnderTest.json.decode(ping(31)) == .ping(id: nil))
        guard case .malformed? = CodecUnderTest.json.refusal(ping(32)) else {
            Issue.record("not refused")
            return
        }
    }
}
