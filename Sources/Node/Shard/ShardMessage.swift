// What a shard is told: commands by the edges, outcomes by the journal, the passing of time.

import Domain
import Journal
import Platform
import Protocol

/// The creation of a campaign: it has no id yet, so it is addressed to a slot.
struct CreationCommand: Sendable {
    let slot: Slot
    let principal: Principal
    let draft: CampaignDraft
    let mark: IdempotencyMark?
    let ticket: ReplyTicket
    let receivedAt: Timestamp
}

enum ShardMessage: Sendable {
    /// Commands of one edge and turn for one campaign, in order.
    case commands(CampaignID, [Command])
    indirect case create(CreationCommand)
    /// Rows that the journal answered for.
    case rows([RowOutcome])
    indirect case snapshotStored(SnapshotAnswer)
    /// A slot's content, or why it could not be had.
    indirect case opened(Slot, Result<OpenedSlot, SlotRefusal>)
    /// A verification ended; its number is free again.
    indirect case verified(UInt64, ReplyTicket, Reply)
    case tick
    /// Write a snapshot of these campaigns when they are next at rest.
    case snapshotWanted([CampaignID])
}
