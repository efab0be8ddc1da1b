// What may be seen of a campaign while effects wait for their commit: the state as of the newest committed row. It is
// taken before the first effect of a quiet campaign is applied, and again at each seal, for the moment of that commit.

import Domain
import Protocol

struct CommittedView: Sendable {
    let campaign: CampaignView
    /// The running poll, or the latest one.
    let poll: PollView?
    let isDeleted: Bool

    init(of state: Campaign, position: Position) {
        campaign = state.view
        poll = state.latestPoll(position: position)
        isDeleted = state.isDeleted
    }

    /// The poll, stamped with a position that it shows everything up to.
    func poll(at position: Position) -> PollView? {
        var poll = poll
        poll?.position = position
        return poll
    }
}
