// What clients see of campaigns and polls: plain values, made by the owner from committed state, encoded by the codecs.

/// How a poll counts.
public enum PollType: UInt8, Sendable, CaseIterable {
    /// Every vote counts.
    case standard = 1
    /// One vote a voter; a new choice moves it.
    case unique = 2
}

/// Where a poll stands in its life.
public enum PollStatus: UInt8, Sendable, CaseIterable {
    /// Can transition to: `ended` (its time came), `cancelled` (its owner stopped it).
    case running = 1
    /// Final.
    case ended = 2
    /// Final; the partial totals are kept.
    case cancelled = 3
}

/// What became of an accepted vote.
public enum VoteStatus: UInt8, Sendable, CaseIterable {
    /// New.
    case counted = 1
    /// UNIQUE: the choice changed.
    case moved = 2
    /// UNIQUE: already so.
    case same = 3
    /// This key was counted before; the first effect stands.
    case duplicate = 4
}

/// Votes of one channel (a streamer's audience), by option.
public struct ChannelTally: Sendable, Equatable {
    /// The channel's name, 1–64 bytes.
    public var channel: String
    /// Votes by option index.
    public var votes: [UInt64]

    /// Takes the parts as they are.
    public init(channel: String, votes: [UInt64]) {
        self.channel = channel
        self.votes = votes
    }

    /// Sum over the options.
    public var totalVotes: UInt64 { votes.reduce(0, +) }
}

/// The moving part of a poll: what `poll:update` carries.
public struct TallyView: Sendable, Equatable {
    /// The poll.
    public var id: PollID
    /// Votes by option index.
    public var votes: [UInt64]
    /// Votes by channel, in the order in which channels first voted.
    public var channels: [ChannelTally]

    /// Takes the parts as they are.
    public init(id: PollID, votes: [UInt64], channels: [ChannelTally]) {
        self.id = id
        self.votes = votes
        self.channels = channels
    }

    /// Sum over the options.
    public var totalVotes: UInt64 { votes.reduce(0, +) }

    /// Share of each option in tenths of a percent, rounded half up; all zero when nobody voted.
    public var percentageTenths: [Int] {
        let total = totalVotes
        guard total > 0 else { return votes.map { _ in 0 } }
        return votes.map { Int((UInt128($0) * 2000 + UInt128(total)) / (UInt128(total) * 2)) }
    }
}

/// A whole poll, running or final.
public struct PollView: Sendable, Equatable {
    /// Which poll it is, and its counts.
    public var tally: TallyView
    /// The campaign that the poll belongs to.
    public var campaign: CampaignID
    /// 1–45 characters.
    public var question: String
    /// 2–5 texts of 1–25 characters; an option is known by its index.
    public var options: [String]
    /// How the poll counts.
    public var type: PollType
    /// How long it was to run.
    public var durationSeconds: Int
    /// Where it stands in its life.
    public var status: PollStatus
    /// When it was launched.
    public var startedAt: Timestamp
    /// When it ends by itself.
    public var endsAt: Timestamp
    /// Set once the poll is ended or cancelled.
    public var endedAt: Timestamp?
    /// The position that this view shows everything up to.
    public var position: Position

    /// Takes the parts as they are.
    public init(
        tally: TallyView, campaign: CampaignID, question: String, options: [String], type: PollType,
        durationSeconds: Int, status: PollStatus, startedAt: Timestamp, endsAt: Timestamp, endedAt: Timestamp?,
        position: Position
    ) {
        self.tally = tally
        self.campaign = campaign
        self.question = question
        self.options = options
        self.type = type
        self.durationSeconds = durationSeconds
        self.status = status
        self.startedAt = startedAt
        self.endsAt = endsAt
        self.endedAt = endedAt
        self.position = position
    }

    /// Every option that shares the highest count; empty while the poll runs or when nobody voted.
    public var winners: [Int] {
        guard status != .running, let best = tally.votes.max(), best > 0 else { return [] }
        return tally.votes.indices.filter { tally.votes[$0] == best }
    }
}

/// A campaign as its readers see it.
public struct CampaignView: Sendable, Equatable {
    /// Names the campaign.
    public var id: CampaignID
    /// `nil` when created in open mode.
    public var ownerId: String?
    /// 3–100 characters.
    public var name: String
    /// Up to 500 characters, or none.
    public var description: String?
    /// When it was created.
    public var createdAt: Timestamp
    /// The running poll, if there is one.
    public var runningPoll: PollID?

    /// Takes the parts as they are.
    public init(
        id: CampaignID, ownerId: String?, name: String, description: String?, createdAt: Timestamp,
        runningPoll: PollID?
    ) {
        self.id = id
        self.ownerId = ownerId
        self.name = name
        self.description = description
        self.createdAt = createdAt
        self.runningPoll = runningPoll
    }
}
