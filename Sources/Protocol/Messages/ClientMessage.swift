// What a client sends over WebSocket, after decoding; the same for every codec.

/// The client's own mark on a message, echoed in the one reply to it.
public enum RequestID: Sendable, Hashable {
    case integer(Int64)
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
    public var campaign: CampaignID
    public var after: Position?

    public init(campaign: CampaignID, after: Position?) {
        self.campaign = campaign
        self.after = after
    }
}

/// A vote as it arrives, before anything about it is known to be true.
public struct VoteMessage: Sendable, Equatable {
    public var campaign: CampaignID
    public var poll: PollID
    /// 0-based; may be out of range.
    public var option: Int
    public var voter: String?
    public var channel: String?
    public var key: String?

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
    case hello(id: RequestID?, token: String?, voter: String?, subscriptions: [SubscriptionRequest])
    case subscribe(id: RequestID?, SubscriptionRequest)
    case unsubscribe(id: RequestID?, campaign: CampaignID)
    case vote(id: RequestID?, VoteMessage)
    /// `data` is valid JSON text, kept as it came.
    case signal(id: RequestID?, campaign: CampaignID, name: String, data: [UInt8])
    case ping(id: RequestID?)
}

/// Why bytes could not become a `ClientMessage`.
public enum ClientDecodeError: Error, Sendable, Equatable {
    /// Not a message at all (broken JSON, a torn binary frame): the connection is closed with 4400.
    case malformed(String)
    /// A well-formed message that asks for something impossible: answered with an `error`, the connection stays.
    case invalid(id: RequestID?, ClientError)
}
