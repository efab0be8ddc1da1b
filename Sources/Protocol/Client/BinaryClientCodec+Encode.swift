// What the server writes in `tumulte.v1.binary`.

extension BinaryClientCodec {
    /// Appends one message of the server.
    public static func encode(_ message: ServerMessage, into output: inout [UInt8]) {
        switch message {
        case .hello(let id, let reply):
            open(.helloReply, id, reply.voter == nil ? [] : .first, &output)
            append(reply, to: &output)
        case .subscribed(let id, let subscribed):
            append(subscribed, id, to: &output)
        case .unsubscribed(let id, let campaign):
            open(.unsubscribed, id, [], &output)
            BinaryWriter.uuid(campaign.uuid, to: &output)
        case .ack(let id, let status, let position):
            encodeAck(id: id, status: status, position: position, into: &output)
        case .pong(let id):
            open(.pong, id, [], &output)
        case .error(let id, let campaign, let error):
            append(error, campaign, id, to: &output)
        case .event(let event):
            open(.event, nil, [], &output)
            BinaryWriter.uuid(event.campaign.uuid, to: &output)
            BinaryWriter.position(event.position, to: &output)
            BinaryWriter.timestamp(event.at, to: &output)
            append(event.body, to: &output)
        }
    }

    /// Appends the `ack` of a vote, or of a signal where there is no status.
    public static func encodeAck(
        id: RequestID?, status: VoteStatus?, position: Position, into output: inout [UInt8]
    ) {
        open(.ack, id, status == nil ? [] : .first, &output)
        if let status { output.append(status.rawValue) }
        BinaryWriter.position(position, to: &output)
    }

    /// Writes kind, flags and the id where there is one.
    @inline(__always)
    static func open(_ kind: Kind, _ id: RequestID?, _ flags: Flags, _ output: inout [UInt8]) {
        output.append(kind.rawValue)
        switch id {
        case .integer(let number):
            output.append(flags.union(.integerID).rawValue)
            BinaryWriter.signed(number, to: &output)
        case .string(let text):
            output.append(flags.union(.stringID).rawValue)
            BinaryWriter.string(text, to: &output)
        case nil:
            output.append(flags.rawValue)
        }
    }

    private static func append(_ reply: HelloReply, to output: inout [UInt8]) {
        output.append(reply.role.rawValue)
        BinaryWriter.timestamp(reply.time, to: &output)
        BinaryWriter.signed(Int64(reply.pingMilliseconds), to: &output)
        BinaryWriter.signed(Int64(reply.maxMessageBytes), to: &output)
        BinaryWriter.signed(Int64(reply.jitterMilliseconds), to: &output)
        BinaryWriter.string(reply.node, to: &output)
        if let voter = reply.voter { BinaryWriter.string(voter, to: &output) }
    }

    private static func append(_ subscribed: Subscribed, _ id: RequestID?, to output: inout [UInt8]) {
        let poll = subscribed.recovered ? nil : subscribed.poll
        var flags: Flags = subscribed.recovered ? .first : []
        if poll != nil { flags.insert(.second) }
        open(.subscribed, id, flags, &output)
        BinaryWriter.uuid(subscribed.campaign.uuid, to: &output)
        BinaryWriter.position(subscribed.position, to: &output)
        if let poll { append(poll, to: &output) }
    }

    private static func append(
        _ error: ClientError, _ campaign: CampaignID?, _ id: RequestID?, to output: inout [UInt8]
    ) {
        var flags: Flags = campaign == nil ? [] : .first
        if error.retryAfterMilliseconds != nil { flags.insert(.second) }
        if !error.details.isEmpty { flags.insert(.third) }
        open(.error, id, flags, &output)
        output.append(error.code.rawValue)
        if let campaign { BinaryWriter.uuid(campaign.uuid, to: &output) }
        BinaryWriter.string(error.message, to: &output)
        if let pause = error.retryAfterMilliseconds { BinaryWriter.signed(Int64(pause), to: &output) }
        guard !error.details.isEmpty else { return }
        BinaryWriter.count(error.details.count, to: &output)
        for detail in error.details {
            BinaryWriter.string(detail.field, to: &output)
            BinaryWriter.string(detail.message, to: &output)
        }
    }

    /// Writes the event's number and its data.
    private static func append(_ body: EventBody, to output: inout [UInt8]) {
        switch body {
        case .pollStart(let view):
            output.append(1)
            append(view, to: &output)
        case .pollUpdate(let view):
            output.append(2)
            append(view, to: &output)
        case .pollCountdown(let id, let secondsLeft):
            output.append(3)
            BinaryWriter.uuid(id.uuid, to: &output)
            BinaryWriter.signed(Int64(secondsLeft), to: &output)
        case .pollEnd(let view):
            output.append(4)
            append(view, to: &output)
        case .campaignUpdated(let view):
            output.append(5)
            append(view, to: &output)
        case .campaignDeleted(let id):
            output.append(6)
            BinaryWriter.uuid(id.uuid, to: &output)
        case .signal(let name, let data):
            output.append(7)
            BinaryWriter.string(name, to: &output)
            BinaryWriter.bytes(data, to: &output)
        }
    }

    private static func append(_ view: PollView, to output: inout [UInt8]) {
        append(view.tally, to: &output)
        BinaryWriter.uuid(view.campaign.uuid, to: &output)
        output.append(view.type.rawValue)
        output.append(view.status.rawValue)
        output.append(view.endedAt == nil ? 0 : 1)
        BinaryWriter.signed(Int64(view.durationSeconds), to: &output)
        BinaryWriter.timestamp(view.startedAt, to: &output)
        BinaryWriter.timestamp(view.endsAt, to: &output)
        if let endedAt = view.endedAt { BinaryWriter.timestamp(endedAt, to: &output) }
        BinaryWriter.position(view.position, to: &output)
        BinaryWriter.string(view.question, to: &output)
        BinaryWriter.count(view.options.count, to: &output)
        for option in view.options { BinaryWriter.string(option, to: &output) }
    }

    private static func append(_ view: TallyView, to output: inout [UInt8]) {
        BinaryWriter.uuid(view.id.uuid, to: &output)
        append(view.votes, to: &output)
        BinaryWriter.count(view.channels.count, to: &output)
        for channel in view.channels {
            BinaryWriter.string(channel.channel, to: &output)
            append(channel.votes, to: &output)
        }
    }

    private static func append(_ votes: [UInt64], to output: inout [UInt8]) {
        BinaryWriter.count(votes.count, to: &output)
        for count in votes { BinaryWriter.unsigned(count, to: &output) }
    }

    private static func append(_ view: CampaignView, to output: inout [UInt8]) {
        var present: UInt8 = view.ownerId == nil ? 0 : 1
        if view.description != nil { present |= 2 }
        if view.runningPoll != nil { present |= 4 }
        output.append(present)
        BinaryWriter.uuid(view.id.uuid, to: &output)
        BinaryWriter.timestamp(view.createdAt, to: &output)
        BinaryWriter.string(view.name, to: &output)
        if let owner = view.ownerId { BinaryWriter.string(owner, to: &output) }
        if let description = view.description { BinaryWriter.string(description, to: &output) }
        if let poll = view.runningPoll { BinaryWriter.uuid(poll.uuid, to: &output) }
    }
}
