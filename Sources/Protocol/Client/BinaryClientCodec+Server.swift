// The client's side of `tumulte.v1.binary`: what a client reads.

extension BinaryClientCodec {
    /// Reads one message of the server, which must fill all of `bytes`.
    ///
    /// - Throws: `.malformed` for torn or unreadable bytes, `.invalid` for what no server sends.
    public static func decodeServer(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> ServerMessage {
        var cursor = BinaryCursor()
        var id: RequestID?
        do throws(BinaryError) {
            let kind = try cursor.byte(bytes)
            let flags = Flags(rawValue: try cursor.byte(bytes))
            id = try requestID(&cursor, flags, bytes)
            let message = try serverBody(kind, flags, id, &cursor, bytes)
            try cursor.finish(bytes)
            return message
        } catch {
            throw clientError(error, id)
        }
    }

    private static func serverBody(
        _ kind: UInt8, _ flags: Flags, _ id: RequestID?, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ServerMessage {
        switch Kind(rawValue: kind) {
        case .helloReply:
            try check(flags, [.first])
            return .hello(id: id, try helloReply(&cursor, flags, bytes))
        case .subscribed:
            try check(flags, [.first, .second])
            guard !flags.isSuperset(of: [.first, .second]) else { throw .badFlags }
            return .subscribed(
                id: id,
                Subscribed(
                    campaign: CampaignID(try cursor.uuid(bytes, "campaign")),
                    position: try cursor.position(bytes, "seq"), recovered: flags.contains(.first),
                    poll: flags.contains(.second) ? try poll(&cursor, bytes) : nil))
        case .unsubscribed:
            try check(flags, [])
            return .unsubscribed(id: id, campaign: CampaignID(try cursor.uuid(bytes, "campaign")))
        case .ack:
            try check(flags, [.first])
            return .ack(
                id: id, status: flags.contains(.first) ? try cursor.enumeration(bytes, "status") : nil,
                position: try cursor.position(bytes, "seq"))
        case .pong:
            try check(flags, [])
            return .pong(id: id)
        case .error:
            try check(flags, [.first, .second, .third])
            return try error(id, flags, &cursor, bytes)
        case .event:
            guard flags == [] else { throw .badFlags }
            return .event(try event(&cursor, bytes))
        case .hello, .subscribe, .unsubscribe, .vote, .signal, .ping, nil:
            throw .unknownKind
        }
    }

    private static func helloReply(
        _ cursor: inout BinaryCursor, _ flags: Flags, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> HelloReply {
        let role: Role = try cursor.enumeration(bytes, "role")
        let time = try cursor.timestamp(bytes, "time")
        let ping = Int(try cursor.signed(bytes))
        let maxMessageBytes = Int(try cursor.signed(bytes))
        let jitter = Int(try cursor.signed(bytes))
        let node = try cursor.string(bytes)
        return HelloReply(
            node: node, voter: flags.contains(.first) ? try cursor.string(bytes) : nil, role: role, time: time,
            pingMilliseconds: ping, maxMessageBytes: maxMessageBytes, jitterMilliseconds: jitter)
    }

    private static func error(
        _ id: RequestID?, _ flags: Flags, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ServerMessage {
        let code: ErrorCode = try cursor.enumeration(bytes, "code")
        let campaign = flags.contains(.first) ? CampaignID(try cursor.uuid(bytes, "campaign")) : nil
        let message = try cursor.string(bytes)
        let pause = flags.contains(.second) ? Int(try cursor.signed(bytes)) : nil
        var details: [ClientError.Detail] = []
        if flags.contains(.third) {
            let count = try cursor.count(bytes, limit: Limits.errorDetailsLimit, "details")
            guard count > 0 else { throw .badFlags }
            for _ in 0..<count {
                details.append(
                    ClientError.Detail(field: try cursor.string(bytes), message: try cursor.string(bytes)))
            }
        }
        return .error(
            id: id, campaign: campaign,
            ClientError(code, message, details: details, retryAfterMilliseconds: pause))
    }

    private static func event(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ServerEvent {
        let campaign = CampaignID(try cursor.uuid(bytes, "campaign"))
        let position = try cursor.position(bytes, "seq")
        let at = try cursor.timestamp(bytes, "at")
        let body: EventBody
        switch try cursor.byte(bytes) {
        case 1: body = .pollStart(try poll(&cursor, bytes))
        case 2: body = .pollUpdate(try tally(&cursor, bytes))
        case 3:
            body = .pollCountdown(
                id: PollID(try cursor.uuid(bytes, "id")), secondsLeft: Int(try cursor.signed(bytes)))
        case 4: body = .pollEnd(try poll(&cursor, bytes))
        case 5: body = .campaignUpdated(try campaignView(&cursor, bytes))
        case 6: body = .campaignDeleted(CampaignID(try cursor.uuid(bytes, "id")))
        case 7: body = .signal(name: try cursor.string(bytes), data: try signalData(&cursor, bytes))
        default: throw .field("event", "is unknown")
        }
        return ServerEvent(campaign: campaign, position: position, at: at, body: body)
    }

    private static func poll(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> PollView {
        let tally = try tally(&cursor, bytes)
        let campaign = CampaignID(try cursor.uuid(bytes, "campaignId"))
        let type: PollType = try cursor.enumeration(bytes, "type")
        let status: PollStatus = try cursor.enumeration(bytes, "status")
        let present = try cursor.byte(bytes)
        guard present <= 1 else { throw .badFlags }
        let duration = Int(try cursor.signed(bytes))
        let startedAt = try cursor.timestamp(bytes, "startedAt")
        let endsAt = try cursor.timestamp(bytes, "endsAt")
        let endedAt = present == 1 ? try cursor.timestamp(bytes, "endedAt") : nil
        let position = try cursor.position(bytes, "seq")
        let question = try cursor.string(bytes)
        var options: [String] = []
        for _ in 0..<(try cursor.count(bytes, limit: Limits.pollOptions.upperBound, "options")) {
            options.append(try cursor.string(bytes))
        }
        return PollView(
            tally: tally, campaign: campaign, question: question, options: options, type: type,
            durationSeconds: duration, status: status, startedAt: startedAt, endsAt: endsAt, endedAt: endedAt,
            position: position)
    }

    private static func tally(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> TallyView {
        let id = PollID(try cursor.uuid(bytes, "id"))
        let counts = try votes(&cursor, bytes)
        var channels: [ChannelTally] = []
        for _ in 0..<(try cursor.count(bytes, limit: Limits.channelsPerPollLimit, "channels")) {
            channels.append(ChannelTally(channel: try cursor.string(bytes), votes: try votes(&cursor, bytes)))
        }
        return TallyView(id: id, votes: counts, channels: channels)
    }

    /// Counts by option, each below 2^53, so that their sum cannot overflow.
    private static func votes(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> [UInt64] {
        var votes: [UInt64] = []
        for _ in 0..<(try cursor.count(bytes, limit: Limits.pollOptions.upperBound, "votes")) {
            let count = try cursor.unsigned(bytes)
            guard count <= Position.componentLimit else { throw .field("votes", "must be counts") }
            votes.append(count)
        }
        return votes
    }

    private static func campaignView(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> CampaignView {
        let present = try cursor.byte(bytes)
        guard present < 8 else { throw .badFlags }
        let id = CampaignID(try cursor.uuid(bytes, "id"))
        let createdAt = try cursor.timestamp(bytes, "createdAt")
        let name = try cursor.string(bytes)
        let owner = present & 1 == 0 ? nil : try cursor.string(bytes)
        let description = present & 2 == 0 ? nil : try cursor.string(bytes)
        let running = present & 4 == 0 ? nil : PollID(try cursor.uuid(bytes, "runningPoll"))
        return CampaignView(
            id: id, ownerId: owner, name: name, description: description, createdAt: createdAt, runningPoll: running)
    }
}

extension BinaryCursor {
    /// The case of an enumeration by its number.
    fileprivate mutating func enumeration<Word: RawRepresentable<UInt8>>(
        _ bytes: Span<UInt8>, _ name: StaticString
    ) throws(BinaryError) -> Word {
        guard let word = Word(rawValue: try byte(bytes)) else {
            throw .field(name.description, "has an unknown value")
        }
        return word
    }
}
