// Random messages from a seed, so that a failing case can be named and repeated.

import Protocol

/// SplitMix64.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// Draws messages in which every optional part is sometimes there.
struct MessageGenerator {
    var random: SeededRandom

    init(seed: UInt64) { random = SeededRandom(state: seed) }

    mutating func chance() -> Bool { Bool.random(using: &random) }
    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    mutating func optional<Value>(_ make: (inout Self) -> Value) -> Value? { chance() ? make(&self) : nil }

    mutating func uuid() -> UUIDv7 {
        UUIDv7(at: time(), random: UInt128(random.next()) << 64 | UInt128(random.next()))
    }

    mutating func time() -> Timestamp {
        Timestamp(milliseconds: Int64.random(in: 0...253_402_300_799_999, using: &random))
    }

    mutating func position() -> Position {
        Position(epoch: component(), seq: component())
    }

    /// Any magnitude below 2^53 is as likely as another.
    mutating func component() -> UInt64 { (random.next() >> 11) >> UInt64(int(0...52)) }

    mutating func integer() -> Int { Int(truncatingIfNeeded: random.next()) >> int(0...63) }

    /// A text of 1 to `bytes` bytes with characters that codecs stumble over.
    mutating func text(bytes limit: Int) -> String {
        let alphabet: [Unicode.Scalar] = [
            "a", "Z", "7", " ", "\"", "\\", "/", "\n", "\u{0}", "\u{1F}", "\u{7F}", "é",
            "\u{2028}", "\u{FFFF}", "\u{D7FF}", "😀", "\u{10FFFF}",
        ]
        var text = "x"
        for _ in 0..<int(0...limit) {
            let scalar = alphabet[int(0...alphabet.count - 1)]
            if text.utf8.count + String(scalar).utf8.count > limit { break }
            text.unicodeScalars.append(scalar)
        }
        return text
    }

    mutating func requestID() -> RequestID? {
        switch int(0...2) {
        case 0: nil
        case 1: .integer(Int64(integer()))
        default: .string(text(bytes: Limits.requestIDBytesLimit))
        }
    }

    mutating func json() -> [UInt8] {
        let samples = [
            "null", "{}", "[]", "-0.5e+3", "\"a\\u0000b\"", "{\"a\": [1, {\"b\": \"\\ud83d\\ude00\"}]}", "\"é\"",
            "123456789012345678901",
        ]
        return Array(samples[int(0...samples.count - 1)].utf8)
    }

    mutating func subscription() -> SubscriptionRequest {
        SubscriptionRequest(campaign: CampaignID(uuid()), after: optional { $0.position() })
    }

    mutating func clientMessage() -> ClientMessage {
        let id = requestID()
        switch int(0...5) {
        case 0:
            let subscriptions = (0..<int(0...4)).map { _ in subscription() }
            return .hello(
                id: id, token: optional { $0.text(bytes: 300) }, voter: optional { $0.text(bytes: 128) },
                subscriptions: subscriptions)
        case 1: return .subscribe(id: id, subscription())
        case 2: return .unsubscribe(id: id, campaign: CampaignID(uuid()))
        case 3:
            return .vote(
                id: id,
                VoteMessage(
                    campaign: CampaignID(uuid()), poll: PollID(uuid()), option: integer(),
                    voter: optional { $0.text(bytes: 128) }, channel: optional { $0.text(bytes: 64) },
                    key: optional { $0.text(bytes: 64) }))
        case 4: return .signal(id: id, campaign: CampaignID(uuid()), name: text(bytes: 64), data: json())
        default: return .ping(id: id)
        }
    }

    mutating func votes() -> [UInt64] { (0..<int(2...5)).map { _ in component() } }

    mutating func tally() -> TallyView {
        let channels = (0..<int(0...5)).map { _ in ChannelTally(channel: text(bytes: 64), votes: votes()) }
        return TallyView(id: PollID(uuid()), votes: votes(), channels: channels)
    }

    mutating func poll() -> PollView {
        let options = (0..<int(2...5)).map { _ in text(bytes: 25) }
        return PollView(
            tally: tally(), campaign: CampaignID(uuid()), question: text(bytes: 45), options: options,
            type: chance() ? .standard : .unique, durationSeconds: int(15...1800),
            status: PollStatus.allCases[int(0...2)], startedAt: time(), endsAt: time(),
            endedAt: optional { $0.time() }, position: position())
    }

    mutating func campaign() -> CampaignView {
        CampaignView(
            id: CampaignID(uuid()), ownerId: optional { $0.text(bytes: 128) }, name: text(bytes: 100),
            description: optional { $0.text(bytes: 500) }, createdAt: time(),
            runningPoll: optional { PollID($0.uuid()) })
    }

    mutating func eventBody() -> EventBody {
        switch int(0...6) {
        case 0: .pollStart(poll())
        case 1: .pollUpdate(tally())
        case 2: .pollCountdown(id: PollID(uuid()), secondsLeft: int(0...1800))
        case 3: .pollEnd(poll())
        case 4: .campaignUpdated(campaign())
        case 5: .campaignDeleted(CampaignID(uuid()))
        default: .signal(name: text(bytes: 64), data: json())
        }
    }

    mutating func clientError() -> ClientError {
        let details = (0..<int(0...3)).map { _ in
            ClientError.Detail(field: text(bytes: 20), message: text(bytes: 60))
        }
        return ClientError(
            ErrorCode.allCases[int(0...ErrorCode.allCases.count - 1)], text(bytes: 80), details: details,
            retryAfterMilliseconds: optional { $0.int(0...60_000) })
    }

    mutating func serverMessage() -> ServerMessage {
        let id = requestID()
        switch int(0...6) {
        case 0:
            return .hello(
                id: id,
                HelloReply(
                    node: text(bytes: 40), voter: optional { $0.text(bytes: 128) }, role: Role.allCases[int(0...2)],
                    time: time(), pingMilliseconds: 25_000, maxMessageBytes: 65_536, jitterMilliseconds: int(0...9999)))
        case 1:
            let recovered = chance()
            return .subscribed(
                id: id,
                Subscribed(
                    campaign: CampaignID(uuid()), position: position(), recovered: recovered,
                    poll: recovered ? nil : optional { $0.poll() }))
        case 2: return .unsubscribed(id: id, campaign: CampaignID(uuid()))
        case 3:
            return .ack(id: id, status: optional { VoteStatus.allCases[$0.int(0...3)] }, position: position())
        case 4: return .pong(id: id)
        case 5: return .error(id: id, campaign: optional { CampaignID($0.uuid()) }, clientError())
        default:
            return .event(
                ServerEvent(campaign: CampaignID(uuid()), position: position(), at: time(), body: eventBody()))
        }
    }
}
