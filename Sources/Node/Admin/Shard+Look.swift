// What a shard can say of a slot and a campaign without asking anybody.

import Cluster
import Domain
import Protocol

/// A slot as its shard has it.
struct SlotLook: Sendable, Equatable {
    let epoch: UInt64
    /// The newest committed row.
    let tail: UInt64
}

/// A campaign as its owner has it.
struct CampaignLook: Sendable, Equatable {
    let slot: SlotLook
    /// Whether it is in memory.
    let isActive: Bool
    let isDeleted: Bool
    /// Where its stream stands in the slot's epoch.
    let seq: UInt64
    let runningPoll: PollID?
}

extension Shard {
    /// A slot that is served here; `nil` for any other, also for one that is being opened or given away.
    func look(at slot: Slot) -> SlotLook? {
        guard case .open(let open)? = slots[slot], open.leaving == nil, !open.isFenced else { return nil }
        return SlotLook(epoch: open.ledger.epoch, tail: open.ledger.committedThrough)
    }

    /// The slots that are served here.
    var served: [Slot] { slots.keys.filter { look(at: $0) != nil } }

    /// A campaign that is served here; `nil` for any other.
    func look(at campaign: CampaignID) async -> CampaignLook? {
        let slot = Slot(of: campaign)
        guard let look = look(at: slot), case .open(let open)? = slots[slot] else { return nil }
        if let actor = open.campaigns[campaign]?.actor {
            let (seq, poll, isDeleted) = await actor.look()
            return CampaignLook(slot: look, isActive: true, isDeleted: isDeleted, seq: seq, runningPoll: poll)
        }
        guard let dormant = open.dormant[campaign] ?? open.activating[campaign]?.dormant else { return nil }
        // Only campaigns without a running poll leave memory.
        return CampaignLook(slot: look, isActive: false, isDeleted: false, seq: dormant.seq, runningPoll: nil)
    }
}

extension CampaignActor {
    /// Where the stream stands, and the poll that runs, as far as what happened is committed.
    func look() -> (seq: UInt64, runningPoll: PollID?, isDeleted: Bool) {
        let view = visible
        return (position.seq, view.poll.flatMap { $0.status == .running ? $0.tally.id : nil }, view.isDeleted)
    }
}
