// A slot that this shard serves: its campaigns and its ledger.

import Domain
import Journal
import Protocol

/// One campaign as its shard keeps it.
final class HostedCampaign {
    let id: CampaignID
    let slot: OpenSlot
    let actor: CampaignActor
    /// Commands of this turn.
    var commands: [Command] = []
    /// When the campaign wants to be woken, monotonic nanoseconds.
    var wakeAt: UInt64?
    var isInOpenRow = false
    /// Bytes and votes of its open records, as last heard.
    var openBytes = 0
    var openVotes = 0

    init(id: CampaignID, slot: OpenSlot, actor: CampaignActor) {
        self.id = id
        self.slot = slot
        self.actor = actor
    }
}

final class OpenSlot {
    var ledger: SlotLedger
    var campaigns: [CampaignID: HostedCampaign] = [:]
    /// Keyed creations that are remembered, by key.
    var creations: [Hash128: CampaignID] = [:]
    /// Campaigns with effects that no row holds yet.
    var openRow: [HostedCampaign] = []
    var openBytes = 0
    var openVotes = 0
    /// Which campaigns each sealed row concerns, and what to do once it is committed; oldest first.
    var sealedRows: [SealedEffects] = []
    var isQueued = false
    /// Another owner has it: nothing of it is applied, sealed or shown any more.
    private(set) var isFenced = false

    struct SealedEffects {
        let lsn: UInt64
        let campaigns: [HostedCampaign]
        let captures: [CapturedState]
    }

    init(ledger: SlotLedger) { self.ledger = ledger }

    /// Lets go of everything.
    func abandon() {
        isFenced = true
        campaigns = [:]
        creations = [:]
        openRow = []
        sealedRows = []
        openBytes = 0
        openVotes = 0
    }

    /// The campaign that this key created, while the key is remembered.
    func creation(under key: Hash128, at now: Timestamp) -> HostedCampaign? {
        guard let id = creations[key], let entry = campaigns[id] else { return nil }
        guard now.milliseconds(since: id.createdAt) < Limits.idempotencyMillisecondsLimit else {
            creations[key] = nil
            return nil
        }
        return entry
    }
}
