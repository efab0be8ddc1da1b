// The output gate of one campaign. Effects that are not committed yet are grouped by the journal row that will carry
// them, and with each group waits everything that may only be seen once that row is committed.

import Protocol

/// One step of a campaign's stream: each takes the next `seq` when its row commits.
enum PendingStep: Sendable {
    /// Votes, however many follow one another in the row.
    case votes
    case pollStart(PollView)
    case countdown(PollID, secondsLeft: Int)
    case pollEnd(PollView)
    case updated(CampaignView)
    case deleted
}

/// An answer that waits for a commit.
struct GatedReply: Sendable {
    let ticket: ReplyTicket
    let reply: Reply
}

/// Everything of one campaign that hangs on one journal row.
///
/// Open (`lsn == nil`) → sealed (its records are in the row `lsn`) → released at the commit.
struct Generation: Sendable {
    var lsn: UInt64?
    var steps: [PendingStep] = []
    var replies: [GatedReply] = []
    /// Answers to votes, by edge.
    var votes: [[VoteReply]] = []
    /// What may be seen once this row is committed; taken at the seal.
    var view: CommittedView?

    /// Since when its oldest answer waits; `nil` where none does.
    var waitingSince: UInt64?

    /// Nanoseconds until its oldest answer has waited for too long; `nil` where none waits.
    func patience(at now: UInt64) -> UInt64? {
        guard let waitingSince else { return nil }
        let age = now > waitingSince ? now - waitingSince : 0
        return age >= CampaignLimits.replyNanosecondsLimit ? 0 : CampaignLimits.replyNanosecondsLimit - age
    }

    mutating func append(_ reply: VoteReply, edge: Int, of edges: Int) {
        if votes.isEmpty { votes = Array(repeating: [], count: edges) }
        votes[edge].append(reply)
    }

    mutating func noteVote() {
        if case .votes? = steps.last { return }
        steps.append(.votes)
    }
}
