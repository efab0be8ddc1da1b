// What a launch fixes about a poll, and what is left of one that is over.

public import Protocol

/// Everything about a poll that its launch fixed.
public struct PollDefinition: Equatable, Sendable {
    /// The poll.
    public var id: PollID
    /// 1–45 characters.
    public var question: String
    /// 2–5 texts; votes name them by index.
    public var options: [String]
    /// How votes count.
    public var type: PollType
    /// 15–1800.
    public var durationSeconds: Int
    /// When it was launched.
    public var startedAt: Timestamp

    /// Takes the fields as they are; `NewPoll` is what checks them.
    public init(
        id: PollID, question: String, options: [String], type: PollType, durationSeconds: Int, startedAt: Timestamp
    ) {
        self.id = id
        self.question = question
        self.options = options
        self.type = type
        self.durationSeconds = durationSeconds
        self.startedAt = startedAt
    }

    /// The first moment at which votes are refused.
    public var endsAt: Timestamp { startedAt.advanced(byMilliseconds: Int64(durationSeconds) * 1000) }

    /// Option counts that two bytes of a vote can name; what decoders accept.
    static let decodableOptionCounts = 1...8
    /// What decoders accept, so that times cannot overflow.
    static let decodableDurations = 1...1_000_000

    func view(
        in campaign: CampaignID, tally: PollTally, status: PollStatus, endedAt: Timestamp?, position: Position
    ) -> PollView {
        PollView(
            tally: tally.view(of: id), campaign: campaign, question: question, options: options, type: type,
            durationSeconds: durationSeconds, status: status, startedAt: startedAt, endsAt: endsAt, endedAt: endedAt,
            position: position)
    }

    /// Bytes of the encoded form.
    var encodedBytes: Int { options.reduce(16 + 2 + question.utf8.count + 1 + 1 + 4 + 8) { $0 + 2 + $1.utf8.count } }
}

/// A poll that is over: its totals without its voters.
struct FinishedPoll: Equatable, Sendable {
    var definition: PollDefinition
    /// `ended` or `cancelled`.
    var status: PollStatus
    var endedAt: Timestamp
    var tally: PollTally

    func view(in campaign: CampaignID, position: Position) -> PollView {
        definition.view(in: campaign, tally: tally, status: status, endedAt: endedAt, position: position)
    }

    var encodedBytes: Int { definition.encodedBytes + 9 + tally.encodedBytes }
}
