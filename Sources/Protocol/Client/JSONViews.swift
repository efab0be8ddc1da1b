/// Appends what clients see of campaigns, polls and events as JSON; shared by WebSocket messages, HTTP bodies and
/// Server-Sent Events. None of the output holds a line break.
public enum JSONViews {
    /// Appends a campaign.
    public static func campaign(_ view: CampaignView, to output: inout [UInt8]) {
        JSONWriter.raw("{\"id\":", to: &output)
        JSONWriter.uuid(view.id.uuid, to: &output)
        JSONWriter.raw(",\"ownerId\":", to: &output)
        JSONWriter.string(view.ownerId, to: &output)
        JSONWriter.raw(",\"name\":", to: &output)
        JSONWriter.string(view.name, to: &output)
        JSONWriter.raw(",\"description\":", to: &output)
        JSONWriter.string(view.description, to: &output)
        JSONWriter.raw(",\"createdAt\":", to: &output)
        JSONWriter.timestamp(view.createdAt, to: &output)
        JSONWriter.raw(",\"runningPoll\":", to: &output)
        if let poll = view.runningPoll {
            JSONWriter.uuid(poll.uuid, to: &output)
        } else {
            JSONWriter.raw("null", to: &output)
        }
        output.append(UInt8(ascii: "}"))
    }

    /// Appends a poll.
    public static func poll(_ view: PollView, to output: inout [UInt8]) {
        JSONWriter.raw("{\"id\":", to: &output)
        JSONWriter.uuid(view.tally.id.uuid, to: &output)
        JSONWriter.raw(",\"campaignId\":", to: &output)
        JSONWriter.uuid(view.campaign.uuid, to: &output)
        JSONWriter.raw(",\"question\":", to: &output)
        JSONWriter.string(view.question, to: &output)
        JSONWriter.raw(",\"options\":", to: &output)
        JSONWriter.array(view.options, to: &output) { JSONWriter.string($0, to: &$1) }
        JSONWriter.raw(",\"type\":\"", to: &output)
        JSONWriter.raw(view.type.name, to: &output)
        JSONWriter.raw("\",\"durationSeconds\":", to: &output)
        JSONWriter.integer(view.durationSeconds, to: &output)
        JSONWriter.raw(",\"status\":\"", to: &output)
        JSONWriter.raw(view.status.name, to: &output)
        JSONWriter.raw("\",\"startedAt\":", to: &output)
        JSONWriter.timestamp(view.startedAt, to: &output)
        JSONWriter.raw(",\"endsAt\":", to: &output)
        JSONWriter.timestamp(view.endsAt, to: &output)
        JSONWriter.raw(",\"endedAt\":", to: &output)
        if let endedAt = view.endedAt {
            JSONWriter.timestamp(endedAt, to: &output)
        } else {
            JSONWriter.raw("null", to: &output)
        }
        output.append(UInt8(ascii: ","))
        countFields(view.tally, to: &output)
        JSONWriter.raw(",\"winners\":", to: &output)
        JSONWriter.array(view.winners, to: &output) { JSONWriter.integer($0, to: &$1) }
        JSONWriter.raw(",\"channels\":", to: &output)
        channels(view.tally.channels, to: &output)
        output.append(UInt8(ascii: ","))
        positionFields(view.position, to: &output)
        output.append(UInt8(ascii: "}"))
    }

    /// Appends polls as a list.
    public static func polls(_ views: [PollView], to output: inout [UInt8]) {
        JSONWriter.array(views, to: &output) { poll($0, to: &$1) }
    }

    /// Appends the `data` of an event, as WebSocket and Server-Sent Events carry it.
    public static func eventData(_ body: EventBody, to output: inout [UInt8]) {
        switch body {
        case .pollStart(let view), .pollEnd(let view):
            poll(view, to: &output)
        case .pollUpdate(let view):
            tally(view, to: &output)
        case .pollCountdown(let id, let secondsLeft):
            JSONWriter.raw("{\"id\":", to: &output)
            JSONWriter.uuid(id.uuid, to: &output)
            JSONWriter.raw(",\"secondsLeft\":", to: &output)
            JSONWriter.integer(secondsLeft, to: &output)
            output.append(UInt8(ascii: "}"))
        case .campaignUpdated(let view):
            campaign(view, to: &output)
        case .campaignDeleted(let id):
            JSONWriter.raw("{\"id\":", to: &output)
            JSONWriter.uuid(id.uuid, to: &output)
            output.append(UInt8(ascii: "}"))
        case .signal(let name, let data):
            JSONWriter.raw("{\"name\":", to: &output)
            JSONWriter.string(name, to: &output)
            JSONWriter.raw(",\"data\":", to: &output)
            output.append(contentsOf: data)
            output.append(UInt8(ascii: "}"))
        }
    }

    /// Appends the `data` of the event `snapshot` of Server-Sent Events: what `subscribed` says.
    public static func snapshotData(_ subscribed: Subscribed, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        subscribedFields(subscribed, to: &output)
        output.append(UInt8(ascii: "}"))
    }

    /// Appends the fields of `subscribed`, without braces. `poll` is left out where the place was recovered.
    static func subscribedFields(_ subscribed: Subscribed, to output: inout [UInt8]) {
        JSONWriter.raw("\"campaign\":", to: &output)
        JSONWriter.uuid(subscribed.campaign.uuid, to: &output)
        output.append(UInt8(ascii: ","))
        positionFields(subscribed.position, to: &output)
        JSONWriter.raw(",\"recovered\":", to: &output)
        JSONWriter.boolean(subscribed.recovered, to: &output)
        guard !subscribed.recovered else { return }
        JSONWriter.raw(",\"poll\":", to: &output)
        if let view = subscribed.poll {
            poll(view, to: &output)
        } else {
            JSONWriter.raw("null", to: &output)
        }
    }

    /// Appends the fields `epoch` and `seq`, without braces.
    public static func positionFields(_ position: Position, to output: inout [UInt8]) {
        JSONWriter.raw("\"epoch\":", to: &output)
        JSONWriter.integer(position.epoch, to: &output)
        JSONWriter.raw(",\"seq\":", to: &output)
        JSONWriter.integer(position.seq, to: &output)
    }

    /// Appends the fields `code` and `message`, without braces.
    public static func errorFields(_ error: ClientError, to output: inout [UInt8]) {
        JSONWriter.raw("\"code\":\"", to: &output)
        JSONWriter.raw(error.code.name, to: &output)
        JSONWriter.raw("\",\"message\":", to: &output)
        JSONWriter.string(error.message, to: &output)
    }

    /// Appends a comma and the field `details` where there are any.
    public static func errorDetails(_ error: ClientError, to output: inout [UInt8]) {
        guard !error.details.isEmpty else { return }
        JSONWriter.raw(",\"details\":", to: &output)
        JSONWriter.array(error.details, to: &output) { detail, output in
            JSONWriter.raw("{\"field\":", to: &output)
            JSONWriter.string(detail.field, to: &output)
            JSONWriter.raw(",\"message\":", to: &output)
            JSONWriter.string(detail.message, to: &output)
            output.append(UInt8(ascii: "}"))
        }
    }

    private static func tally(_ view: TallyView, to output: inout [UInt8]) {
        JSONWriter.raw("{\"id\":", to: &output)
        JSONWriter.uuid(view.id.uuid, to: &output)
        output.append(UInt8(ascii: ","))
        countFields(view, to: &output)
        JSONWriter.raw(",\"channels\":", to: &output)
        channels(view.channels, to: &output)
        output.append(UInt8(ascii: "}"))
    }

    private static func countFields(_ view: TallyView, to output: inout [UInt8]) {
        JSONWriter.raw("\"totalVotes\":", to: &output)
        JSONWriter.integer(view.totalVotes, to: &output)
        JSONWriter.raw(",\"votes\":", to: &output)
        JSONWriter.array(view.votes, to: &output) { JSONWriter.integer($0, to: &$1) }
        JSONWriter.raw(",\"percentages\":", to: &output)
        JSONWriter.array(view.percentageTenths, to: &output) { JSONWriter.tenths($0, to: &$1) }
    }

    private static func channels(_ channels: [ChannelTally], to output: inout [UInt8]) {
        JSONWriter.array(channels, to: &output) { channel, output in
            JSONWriter.raw("{\"channel\":", to: &output)
            JSONWriter.string(channel.channel, to: &output)
            JSONWriter.raw(",\"totalVotes\":", to: &output)
            JSONWriter.integer(channel.totalVotes, to: &output)
            JSONWriter.raw(",\"votes\":", to: &output)
            JSONWriter.array(channel.votes, to: &output) { JSONWriter.integer($0, to: &$1) }
            output.append(UInt8(ascii: "}"))
        }
    }
}
