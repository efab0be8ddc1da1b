// What the server sends over WebSocket, before encoding; the same for every codec.

/// Something that happened in a campaign.
public enum EventBody: Sendable, Equatable {
    case pollStart(PollView)
    /// Conflated: only the newest matters.
    case pollUpdate(TallyView)
    case pollCountdown(id: PollID, secondsLeft: Int)
    case pollEnd(PollView)
    case campaignUpdated(CampaignView)
    case campaignDeleted(CampaignID)
    /// `data` is valid JSON text, as the sender wrote it.
    case signal(name: String, data: [UInt8])

    /// The event's name on the wire.
    public var name: StaticString {
        switch self {
        case .pollStart: "poll:start"
        case .pollUpdate: "poll:update"
        case .pollCountdown: "poll:countdown"
        case .pollEnd: "poll:end"
        case .campaignUpdated: "campaign:updated"
        case .campaignDeleted: "campaign:deleted"
        case .signal: "signal"
        }
    }
}

/// An event with its place in its campaign's stream.
public struct ServerEvent: Sendable, Equatable {
    public var campaign: CampaignID
    public var position: Position
    public var at: Timestamp
    public var body: EventBody

    public init(campaign: CampaignID, position: Position, at: Timestamp, body: EventBody) {
        self.campaign = campaign
        self.position = position
        self.at = at
        self.body = body
    }
}

/// The answer to a subscription, and what a client gets unasked when its place was lost.
public struct Subscribed: Sendable, Equatable {
    public var campaign: CampaignID
    public var position: Position
    /// `true`: the missed events follow, and `poll` means nothing. `false`: `poll` replaces what the client knew.
    public var recovered: Bool
    /// The running poll, or the latest one, or none.
    public var poll: PollView?

    public init(campaign: CampaignID, position: Position, recovered: Bool, poll: PollView?) {
        self.campaign = campaign
        self.position = position
        self.recovered = recovered
        self.poll = poll
    }
}

/// The answer to `hello`.
public struct HelloReply: Sendable, Equatable {
    public var node: String
    public var voter: String?
    public var role: Role
    public var time: Timestamp
    public var pingMilliseconds: Int
    public var maxMessageBytes: Int
    public var jitterMilliseconds: Int

    public init(
        node: String, voter: String?, role: Role, time: Timestamp, pingMilliseconds: Int, maxMessageBytes: Int,
        jitterMilliseconds: Int
    ) {
        self.node = node
        self.voter = voter
        self.role = role
        self.time = time
        self.pingMilliseconds = pingMilliseconds
        self.maxMessageBytes = maxMessageBytes
        self.jitterMilliseconds = jitterMilliseconds
    }
}

/// Everything that the server may send.
public enum ServerMessage: Sendable, Equatable {
    case hello(id: RequestID?, HelloReply)
    case subscribed(id: RequestID?, Subscribed)
    case unsubscribed(id: RequestID?, campaign: CampaignID)
    /// `status` is set for a vote, `nil` for a signal.
    case ack(id: RequestID?, status: VoteStatus?, position: Position)
    case pong(id: RequestID?)
    /// `campaign` is set where the error answers a subscription.
    case error(id: RequestID?, campaign: CampaignID?, ClientError)
    case event(ServerEvent)
}
