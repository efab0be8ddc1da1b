// The state of one campaign: what decides commands and votes, and what events change. A pure value: no I/O, no clock,
// no randomness. Time comes in as an argument.
//
//   command ──decide(at:)──► events ──journal, evolve──► state ──views──► clients
//   vote ────castVote(at:)──► state and record in one pass
//   time ────dueEvents(at:)──► events that are due; apply them before anything else
//
// Recovery is a snapshot, then the journal's records after it; live and replayed states are equal to the byte.
// A copy costs O(1): what is large is copied piece by piece, when it changes while the copy lives.

public import Protocol

/// One campaign: its name, its running poll with the voters, its history and the replies that it remembers.
public struct Campaign: Sendable {
    /// The campaign.
    public let id: CampaignID
    /// Who owns it; `nil` in open mode.
    public let ownerId: String?
    /// When it was created.
    public let createdAt: Timestamp
    /// The hash of principal, route and Idempotency-Key of a keyed creation.
    public let creationKey: Hash128?
    /// The hash of that creation's body.
    public let creationBody: Hash128?
    /// Empty once deleted.
    public internal(set) var name: String
    /// `nil` once deleted.
    public internal(set) var description: String?
    /// When it was deleted. A tombstone answers every command with `not_found`.
    public internal(set) var deletedAt: Timestamp?
    /// Votes that came after the end of their poll. Of this process only: neither journaled nor in snapshots.
    public internal(set) var lateVotes: UInt64 = 0

    var running: RunningPoll?
    /// Oldest first.
    var history: [FinishedPoll] = []
    var historyBytes = 0
    var replies = ReplyMemory()

    /// Polls that a campaign keeps after their end; the oldest goes first.
    public static let historyLimit = 1000

    /// The campaign as its creation left it.
    /// - Throws: `RecordError` where the event is not `created`.
    public init(created event: CampaignEvent) throws(RecordError) {
        guard case .created(let created) = event else { throw RecordError(.inconsistent, offset: 0) }
        self.init(created)
    }

    init(_ created: CampaignCreated) {
        id = created.id
        ownerId = created.ownerId
        createdAt = created.at
        creationKey = created.creationKey
        creationBody = created.creationBody
        name = created.name
        description = created.description
    }

    /// Whether only a tombstone is left.
    public var isDeleted: Bool { deletedAt != nil }

    /// The next mark of the countdown or the end of the running poll. Once the events of `dueEvents(at:)` are
    /// applied, it lies after that time.
    public var nextDeadline: Timestamp? { running?.nextDeadline }

    /// The running poll.
    public var runningPoll: PollID? { running?.definition.id }

    /// The random key under which the shell hashes voters and keys of the running poll.
    public var runningVoterKey: Hash128? { running?.voterKey }

    /// How the running poll counts.
    public var runningType: PollType? { running?.definition.type }

    /// When the running poll ends.
    public var runningEndsAt: Timestamp? { running?.definition.endsAt }

    /// Distinct voters that the running UNIQUE poll holds.
    public var voterCount: Int { running?.voters.count ?? 0 }

    /// Whether hashes of voters or keys are in this state, and would be in its snapshot.
    public var holdsVoterData: Bool { running.map { $0.voters.count + $0.keys.count > 0 } ?? false }

    /// Heap bytes of the running poll's tables of voters and keys, from their capacities.
    public var voterTableBytes: Int { running.map { $0.voters.allocatedBytes + $0.keys.allocatedBytes } ?? 0 }

    /// What the campaign answered first to this idempotency key, within 24 hours.
    /// - Throws: `conflict` where the key came with another body then.
    public func remembered(
        key: Hash128, body: Hash128, at now: Timestamp
    ) throws(ClientError) -> RememberedReply? {
        guard let entry = replies.entry(for: key, at: now) else { return nil }
        guard entry.body == body else {
            throw ClientError(.conflict, "this Idempotency-Key was used with another body")
        }
        return entry.reply
    }
}
