// What the next owner gets of a campaign beside the journal.

import Domain
import Protocol

/// A campaign on its way to another owner. Its state is in the journal; this is the rest, and what proves that the
/// next owner's state is the same.
struct HandedCampaign: Sendable {
    let id: CampaignID
    let stateHash: UInt64
    let past: StreamPast
}

extension CampaignActor {
    /// Everything is committed and said, and nothing more comes. `nil` for a campaign that was deleted.
    func handOver() -> HandedCampaign? {
        guard !state.isDeleted else { return nil }
        return HandedCampaign(id: id, stateHash: state.stateHash, past: ring.past(endingAt: position))
    }
}
