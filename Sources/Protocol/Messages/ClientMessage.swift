// What a client sends over WebSocket, after decoding; the same for every codec.

/// The client's own mark on a message, echoed in the one reply to it.
public enum RequestID: Sendable, Hashable {
    /// Any integer of 64 bits.
    case integer(Int64)
    /// At most 64 bytes.
    case string(String)
}

/// Who a connection acts for.
public enum Role: UInt8, Sendable, CaseIterable {
    /// Subscribes, and votes as itself.
    case voter = 1
    /// Also creates campaigns and owns those.
    case host = 2
    /// A trusted backend: any campaign, any voter.
    case service = 3
}

/// A wish to follow a campaign, from a position where the client has one.
public struct SubscriptionRequest: Sendable, Equatable {
    /// What to follow.
    public var campaign: CampaignID
    /// The last position that the client has seen; `nil` asks for the present state.
    public var after: Position?

    /// Takes the parts as they are.
    public init(campaign: CampaignID, after: Position?) {
        self.campaign = campaign
        self.after = after
    }
}

/// A vote as it arrives, before anything about it is known to be true.
public struct VoteMessage: Sendable, Equatable {
    /// Where the poll runs.
    public var campaign: CampaignID
    /// Which poll.
    public var poll: PollID
    /// 0-based; may be out of range.
    public var option: Int
    /// Whom the vote counts for, 1–128 bytes; `nil` leaves it to the connection.
    public var voter: String?
    /// The audience that the voter belongs to, 1–64 bytes.
    public var channel: String?
    /// Marks the vote, so that a repeat has no second effect; 1–64 bytes.
    public var key: String?

    /// Takes the parts as they are.
    @inlinable
    public init(
        campaign: CampaignID, poll: PollID, option: Int, voter: String? = nil, channel: String? = nil,
        key: String? = nil
    ) {
        self.campaign = campaign
        self.poll = poll
        self.option = option
        self.voter = voter
        self.channel = channel
        self.key = key
    }
}

/// Everything that a client may send.
public enum ClientMessage: Sendable, Equatable {
    /// Introduces the connection and may resume subscriptions.
    case hello(id: RequestID?, token: String?, voter: String?, subscriptions: [SubscriptionRequest])
    /// Follows a campaign.
    case subscribe(id: RequestID?, SubscriptionRequest)
    /// Stops following a campaign.
    case unsubscribe(id: RequestID?, campaign: CampaignID)
    /// Votes in a poll.
    case vote(id: RequestID?, VoteMessage)
    /// Speaks to every subscriber. `data` is valid JSON text, as it came but with line breaks turned into spaces.
    case signal(id: RequestID?, campaign: CampaignID, name: String, data: [UInt8])
    /// Asks for a `pong`.
    case ping(id: RequestID?)
}

/// Why bytes could not become a `ClientMessage`.
public enum ClientDecodeError: Error, Sendable, Equatable {
    /// Not a message at all (broken JSON, a torn binary frame): the connection is closed with 4400.
    case malformed(String)
    /// A well-formed message that asks for something impossible: answered with an `error`, the connection stays.
    case invalid(id: RequestID?, ClientError)
}
