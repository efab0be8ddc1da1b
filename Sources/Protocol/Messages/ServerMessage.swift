// What the server sends over WebSocket, before encoding; the same for every codec.

/// Something that happened in a campaign.
public enum EventBody: Sendable, Equatable {
    /// A poll was launched.
    case pollStart(PollView)
    /// Counts moved. Conflated: only the newest matters.
    case pollUpdate(TallyView)
    /// A mark of the countdown was reached.
    case pollCountdown(id: PollID, secondsLeft: Int)
    /// A poll ended or was cancelled.
    case pollEnd(PollView)
    /// Name or description changed.
    case campaignUpdated(CampaignView)
    /// The campaign is gone.
    case campaignDeleted(CampaignID)
    /// A message of the owner. `data` is valid JSON text without line breaks, as the codecs and `SignalDraft` make it.
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
    /// Where it happened.
    public var campaign: CampaignID
    /// Its place in the campaign's stream.
    public var position: Position
    /// When the owner of the campaign decided it.
    public var at: Timestamp
    /// What happened.
    public var body: EventBody

    /// Takes the parts as they are.
    public init(campaign: CampaignID, position: Position, at: Timestamp, body: EventBody) {
        self.campaign = campaign
        self.position = position
        self.at = at
        self.body = body
    }
}

/// The answer to a subscription, and what a client gets unasked when its place was lost.
public struct Subscribed: Sendable, Equatable {
    /// What is followed.
    public var campaign: CampaignID
    /// Up to where the answer shows everything; the client's own position where it was recovered.
    public var position: Position
    /// `true`: the missed events follow, and `poll` means nothing. `false`: `poll` replaces what the client knew.
    public var recovered: Bool
    /// The running poll, or the latest one, or none.
    public var poll: PollView?

    /// Takes the parts as they are.
    public init(campaign: CampaignID, position: Position, recovered: Bool, poll: PollView?) {
        self.campaign = campaign
        self.position = position
        self.recovered = recovered
        self.poll = poll
    }
}

/// The answer to `hello`.
public struct HelloReply: Sendable, Equatable {
    /// The name of the node that answers.
    public var node: String
    /// Whom votes count for where they name nobody; `nil` where there is none.
    public var voter: String?
    /// What the connection may do.
    public var role: Role
    /// The server's clock.
    public var time: Timestamp
    /// Milliseconds between the server's pings.
    public var pingMilliseconds: Int
    /// Bytes that one message to the server may have.
    public var maxMessageBytes: Int
    /// Milliseconds up to which a client should spread its reconnect at random.
    public var jitterMilliseconds: Int

    /// Takes the parts as they are.
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
    /// Answers `hello`.
    case hello(id: RequestID?, HelloReply)
    /// Answers `subscribe` and each subscription of `hello`; without id also sent unasked when a place was lost.
    case subscribed(id: RequestID?, Subscribed)
    /// Answers `unsubscribe`.
    case unsubscribed(id: RequestID?, campaign: CampaignID)
    /// Answers a vote or a signal once it took effect. `status` is set for a vote, `nil` for a signal.
    case ack(id: RequestID?, status: VoteStatus?, position: Position)
    /// Answers `ping`.
    case pong(id: RequestID?)
    /// Refuses a message. `campaign` is set where the error answers a subscription.
    case error(id: RequestID?, campaign: CampaignID?, ClientError)
    /// Something happened in a campaign that the connection follows.
    case event(ServerEvent)
}
