// What happened in a campaign, in the past tense: the only thing that changes its state, and what the journal holds.

public import Protocol

/// How a campaign began.
public struct CampaignCreated: Equatable, Sendable {
    /// The campaign.
    public var id: CampaignID
    /// Who owns it; `nil` in open mode.
    public var ownerId: String?
    /// 3–100 characters.
    public var name: String
    /// Up to 500 characters.
    public var description: String?
    /// The idempotency key of a keyed creation, as the hash of principal, route and key.
    public var creationKey: Hash128?
    /// The hash of that request's body.
    public var creationBody: Hash128?
    /// When.
    public var at: Timestamp

    /// Takes the fields as they are; `NewCampaign` is what checks them.
    public init(
        id: CampaignID, ownerId: String?, name: String, description: String?, creationKey: Hash128?,
        creationBody: Hash128?, at: Timestamp
    ) {
        self.id = id
        self.ownerId = ownerId
        self.name = name
        self.description = description
        self.creationKey = creationKey
        self.creationBody = creationBody
        self.at = at
    }
}

/// A vote that left a trace, as the journal holds it.
public struct VoteRecord: Equatable, Sendable {
    /// The poll.
    public var poll: PollID
    /// 0-based.
    public var option: Int
    /// The channel's index, in the order of `channelAdded`.
    public var channel: Int?
    /// The voter; set exactly in a UNIQUE poll.
    public var voter: Hash128?
    /// The hash of the pair of voter and key, where the vote carried a key.
    public var pair: Hash128?

    /// Takes the fields as they are.
    public init(poll: PollID, option: Int, channel: Int?, voter: Hash128?, pair: Hash128?) {
        self.poll = poll
        self.option = option
        self.channel = channel
        self.voter = voter
        self.pair = pair
    }

    var choice: Choice { Choice(option: option, channel: channel) }
}

/// Something that happened in a campaign.
public enum CampaignEvent: Equatable, Sendable {
    /// Always the first.
    case created(CampaignCreated)
    /// The name and description from now on.
    case updated(name: String, description: String?, at: Timestamp)
    /// The campaign is a tombstone from now on; a running poll was cancelled by the event before.
    case deleted(at: Timestamp)
    /// `voterKey` is the random key under which the shell hashes this poll's voters and keys.
    case pollStarted(PollDefinition, voterKey: Hash128)
    /// Channels get their indexes in this order.
    case channelAdded(poll: PollID, channel: String)
    /// Votes have a road of their own (`Campaign.castVote`); a reader of the journal meets them as this.
    case voted(VoteRecord)
    /// To be announced, after it is journaled.
    case countdown(poll: PollID, secondsLeft: Int, at: Timestamp)
    /// Marks down to this one passed while nobody served; not announced.
    case countdownSkipped(poll: PollID, secondsLeft: Int)
    /// `status` is `ended` (then `endedAt` = `endsAt`) or `cancelled`.
    case pollEnded(poll: PollID, status: PollStatus, endedAt: Timestamp)
    /// The first final reply to an idempotency key; up to 16 MiB.
    case replyRemembered(key: Hash128, body: Hash128, at: Timestamp, status: UInt16, bytes: [UInt8])
}
