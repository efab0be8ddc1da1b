// The client's side of `tumulte.v1.json`: what a client reads. Fields that follow from others (`totalVotes`,
// `percentages`, `winners`) are not read but computed again.

extension JSONClientCodec {
    /// Reads one message of the server.
    ///
    /// - Throws: `.malformed` for what is not one JSON object, `.invalid` for an object that is no message of a server.
    public static func decodeServer(_ bytes: Span<UInt8>) throws(ClientDecodeError) -> ServerMessage {
        let object = try scan(bytes)
        let id = try requestID(object, bytes)
        if let name = object.duplicate { throw .field(name, "stands twice", id: id) }
        do throws(ClientDecodeError) {
            switch try text(object, FieldName.op, bytes) {
            case "hello": return .hello(id: id, try helloReply(object, bytes))
            case "subscribed": return .subscribed(id: id, try subscribed(object, bytes))
            case "unsubscribed": return .unsubscribed(id: id, campaign: try campaign(object, bytes))
            case "ack":
                return .ack(
                    id: id, status: try optionalWord(object, FieldName.status, bytes, \VoteStatus.name),
                    position: try requiredPosition(object, bytes))
            case "pong": return .pong(id: id)
            case "error":
                let campaign =
                    object[FieldName.campaign, bytes] == nil ? nil : try campaign(object, bytes)
                return .error(id: id, campaign: campaign, try error(object, bytes))
            case "event": return .event(try event(object, bytes))
            default: throw ClientDecodeError.field("op", "is unknown", id: id)
            }
        } catch {
            throw error.identified(by: id)
        }
    }

    private static func helloReply(
        _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> HelloReply {
        HelloReply(
            node: try text(object, FieldName.node, bytes),
            voter: try optionalText(object, FieldName.voter, bytes),
            role: try word(object, FieldName.role, bytes, \Role.name),
            time: try timestamp(object, FieldName.time, bytes),
            pingMilliseconds: try integer(object, FieldName.pingMs, bytes),
            maxMessageBytes: try integer(object, FieldName.maxMessageBytes, bytes),
            jitterMilliseconds: try integer(object, FieldName.jitterMs, bytes))
    }

    private static func subscribed(
        _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> Subscribed {
        let recovered: Bool
        switch object[FieldName.recovered, bytes]?.kind {
        case .true: recovered = true
        case .false: recovered = false
        default: throw .field("recovered", "must be true or false", id: nil)
        }
        var view: PollView?
        if !recovered, let value = object[FieldName.poll, bytes] { view = try poll(nested(value, bytes), bytes) }
        return Subscribed(
            campaign: try campaign(object, bytes), position: try requiredPosition(object, bytes),
            recovered: recovered, poll: view)
    }

    private static func error(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> ClientError {
        var details: [ClientError.Detail] = []
        if let list = object[FieldName.details, bytes] {
            try each(list, bytes, limit: Limits.errorDetailsLimit) { value throws(ClientDecodeError) in
                let entry = try nested(value, bytes)
                details.append(
                    ClientError.Detail(
                        field: try text(entry, FieldName.field, bytes),
                        message: try text(entry, FieldName.message, bytes)))
            }
        }
        let pause = object[FieldName.retryAfterMs, bytes]
        return ClientError(
            try word(object, FieldName.code, bytes, \ErrorCode.name), try text(object, FieldName.message, bytes),
            details: details,
            retryAfterMilliseconds: pause == nil ? nil : try integer(object, FieldName.retryAfterMs, bytes))
    }

    private static func event(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> ServerEvent {
        guard let value = object[FieldName.data, bytes] else { throw .field("data", FieldFault.missing, id: nil) }
        let data = try nested(value, bytes)
        let body: EventBody
        switch try text(object, FieldName.event, bytes) {
        case "poll:start": body = .pollStart(try poll(data, bytes))
        case "poll:end": body = .pollEnd(try poll(data, bytes))
        case "poll:update": body = .pollUpdate(try tally(data, bytes))
        case "poll:countdown":
            body = .pollCountdown(
                id: PollID(try uuid(data, FieldName.id, bytes)),
                secondsLeft: try integer(data, FieldName.secondsLeft, bytes))
        case "campaign:updated": body = .campaignUpdated(try campaignView(data, bytes))
        case "campaign:deleted": body = .campaignDeleted(CampaignID(try uuid(data, FieldName.id, bytes)))
        case "signal":
            body = .signal(name: try text(data, FieldName.name, bytes), data: try signalData(data, bytes))
        default: throw .field("event", "is unknown", id: nil)
        }
        return ServerEvent(
            campaign: try campaign(object, bytes), position: try requiredPosition(object, bytes),
            at: try timestamp(object, FieldName.at, bytes), body: body)
    }

    private static func campaignView(
        _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> CampaignView {
        let running = object[FieldName.runningPoll, bytes]
        return CampaignView(
            id: CampaignID(try uuid(object, FieldName.id, bytes)),
            ownerId: try optionalText(object, FieldName.ownerId, bytes),
            name: try text(object, FieldName.name, bytes),
            description: try optionalText(object, FieldName.description, bytes),
            createdAt: try timestamp(object, FieldName.createdAt, bytes),
            runningPoll: running == nil ? nil : PollID(try uuid(object, FieldName.runningPoll, bytes)))
    }

    private static func poll(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> PollView {
        var options: [String] = []
        guard let list = object[FieldName.options, bytes] else {
            throw .field("options", FieldFault.missing, id: nil)
        }
        try each(list, bytes, limit: Limits.pollOptions.upperBound) { value throws(ClientDecodeError) in
            guard let option = value.string(bytes) else { throw .field("options", "must be strings", id: nil) }
            options.append(option)
        }
        let ended = object[FieldName.endedAt, bytes]
        return PollView(
            tally: try tally(object, bytes), campaign: CampaignID(try uuid(object, FieldName.campaignId, bytes)),
            question: try text(object, FieldName.question, bytes), options: options,
            type: try word(object, FieldName.type, bytes, \PollType.name),
            durationSeconds: try integer(object, FieldName.durationSeconds, bytes),
            status: try word(object, FieldName.status, bytes, \PollStatus.name),
            startedAt: try timestamp(object, FieldName.startedAt, bytes),
            endsAt: try timestamp(object, FieldName.endsAt, bytes),
            endedAt: ended == nil ? nil : try timestamp(object, FieldName.endedAt, bytes),
            position: try requiredPosition(object, bytes))
    }

    private static func tally(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> TallyView {
        var channels: [ChannelTally] = []
        guard let list = object[FieldName.channels, bytes] else {
            throw .field("channels", FieldFault.missing, id: nil)
        }
        try each(list, bytes, limit: Limits.channelsPerPollLimit) { value throws(ClientDecodeError) in
            let entry = try nested(value, bytes)
            channels.append(
                ChannelTally(channel: try text(entry, FieldName.channel, bytes), votes: try votes(entry, bytes)))
        }
        return TallyView(
            id: PollID(try uuid(object, FieldName.id, bytes)), votes: try votes(object, bytes), channels: channels)
    }
}

extension JSONClientCodec {
    /// Counts by option, each below 2^53, so that their sum cannot overflow.
    private static func votes(_ object: JSONObject, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> [UInt64] {
        guard let list = object[FieldName.votes, bytes] else { throw .field("votes", FieldFault.missing, id: nil) }
        var votes: [UInt64] = []
        try each(list, bytes, limit: Limits.pollOptions.upperBound) { value throws(ClientDecodeError) in
            guard let count = value.integer(bytes), (0...Int64(Position.componentLimit)).contains(count) else {
                throw .field("votes", "must be counts", id: nil)
            }
            votes.append(UInt64(count))
        }
        return votes
    }

    private static func each(
        _ list: JSONSlice, _ bytes: Span<UInt8>, limit: Int,
        _ body: (JSONSlice) throws(ClientDecodeError) -> Void
    ) throws(ClientDecodeError) {
        guard var elements = JSONElements(list) else { throw .malformed("a list was expected") }
        var count = 0
        while let element = try? elements.next(bytes) {
            count += 1
            guard count <= limit else { throw .malformed("a list is longer than \(limit)") }
            try body(element)
        }
    }

    private static func nested(_ value: JSONSlice, _ bytes: Span<UInt8>) throws(ClientDecodeError) -> JSONObject {
        guard let object = try? JSONObject(value, bytes), object.duplicate == nil else {
            throw .malformed("an object with each field once was expected")
        }
        return object
    }

    private static func requiredPosition(
        _ object: JSONObject, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> Position {
        guard let position = position(object, bytes) else { throw .field("seq", FieldFault.position, id: nil) }
        return position
    }

    private static func optionalText(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> String? {
        object[name, bytes] == nil ? nil : try text(object, name, bytes)
    }

    private static func text(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> String {
        guard let text = object[name, bytes]?.string(bytes) else {
            throw .field(name.text, "must be a string", id: nil)
        }
        return text
    }

    private static func timestamp(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>
    ) throws(ClientDecodeError) -> Timestamp {
        guard let time = Timestamp(try text(object, name, bytes)) else {
            throw .field(name.text, "must be a time as in 2026-03-01T12:00:00.000Z", id: nil)
        }
        return time
    }

    /// The case of an enumeration whose name on the wire stands in the field.
    private static func word<Word: CaseIterable>(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>, _ wire: KeyPath<Word, StaticString>
    ) throws(ClientDecodeError) -> Word {
        let text = try text(object, name, bytes)
        guard let word = Word.allCases.first(where: { $0[keyPath: wire].description == text }) else {
            throw .field(name.text, "has an unknown value", id: nil)
        }
        return word
    }

    private static func optionalWord<Word: CaseIterable>(
        _ object: JSONObject, _ name: JSONName, _ bytes: Span<UInt8>, _ wire: KeyPath<Word, StaticString>
    ) throws(ClientDecodeError) -> Word? {
        object[name, bytes] == nil ? nil : try word(object, name, bytes, wire)
    }
}
