// What a shard is told: commands by the edges, outcomes by the journal, the passing of time.

import Domain
import Journal
import Platform
import Protocol

enum ShardMessage: Sendable {
    /// What came by the road, from the edges.
    case road(OwnerMessage)
    /// Rows that the journal answered for.
    case rows([RowOutcome])
    indirect case snapshotStored(SnapshotAnswer)
    /// A slot's content, or why it could not be had.
    indirect case opened(Slot, Result<OpenedSlot, SlotRefusal>)
    /// The journal does not hold this slot any more: it must be opened anew.
    case slotLost(Slot)
    /// A dormant campaign was read back, or could not be.
    indirect case activated(CampaignID, Result<RecoveredCampaign, SlotRefusal>)
    /// A verification ended; its number is free again.
    indirect case verified(UInt64, ReplyTicket, Reply)
    /// Let go of a slot that is to have another owner; the completion gets what is handed over, nothing where one is
    /// not open.
    indirect case release([Slot], @Sendable ([Release]) -> Void)
    /// A slot that was let go of has another owner.
    case released(Slot)
    case tick
    /// Write a snapshot of these campaigns when they are next at rest.
    case snapshotWanted([CampaignID])
}
