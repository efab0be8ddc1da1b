// What the next owner gets of a campaign beside the journal.

import Domain
import Platform
import Protocol

/// A campaign on its way to another owner. Its state is in the journal; this is the rest, and what proves that the
/// next owner's state is the same.
struct HandedCampaign: Sendable {
    let id: CampaignID
    let stateHash: UInt64
    let past: StreamPast
}

extension CampaignActor {
    /// As `wake`, while the slot is being given away: nothing is applied any more, but who waits is answered in time, and
    /// what an edge had no room for is offered to it again.
    func wakeFrozen() -> Turn {
        expireReplies()
        var turn = endTurn()
        let delay = patience(context.clock.monotonic().nanoseconds)
        turn.wakeAfter = delay == .max ? nil : delay
        return turn
    }

    /// Everything is committed and said, and nothing more comes. `nil` for a campaign that was deleted.
    func handOver() -> HandedCampaign? {
        guard !state.isDeleted else { return nil }
        return HandedCampaign(id: id, stateHash: state.stateHash, past: ring.past(endingAt: position))
    }
}
