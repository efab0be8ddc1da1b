// A slot that this shard serves: its campaigns and its ledger.

import Domain
import Journal
import Protocol

/// One campaign as its shard keeps it.
final class HostedCampaign {
    let id: CampaignID
    let slot: OpenSlot
    let actor: CampaignActor
    /// When it was last asked for something, monotonic nanoseconds.
    var usedAt: UInt64
    /// Commands of this turn.
    var commands: [Command] = []
    /// When the campaign wants to be woken, monotonic nanoseconds.
    var wakeAt: UInt64?
    var isInOpenRow = false
    /// Bytes and votes of its open records, as last heard.
    var openBytes = 0
    var openVotes = 0

    init(id: CampaignID, slot: OpenSlot, actor: CampaignActor, now: UInt64) {
        self.id = id
        usedAt = now
        self.slot = slot
        self.actor = actor
    }
}

final class OpenSlot {
    var ledger: SlotLedger
    var campaigns: [CampaignID: HostedCampaign] = [:]
    /// Campaigns that nobody uses: their newest snapshot holds all of them.
    var dormant: [CampaignID: DormantCampaign] = [:]
    /// Campaigns that are being read back, and what waits for them.
    var activating: [CampaignID: Activation] = [:]
    /// Keyed creations that are remembered, by key.
    var creations: [Hash128: CampaignID] = [:]
    /// Campaigns with effects that no row holds yet.
    var openRow: [HostedCampaign] = []
    var openBytes = 0
    var openVotes = 0
    /// Which campaigns each sealed row concerns, and what to do once it is committed; oldest first.
    var sealedRows: [SealedEffects] = []
    var isQueued = false
    /// The slot is being given away; told of its end.
    var leaving: Leave?
    /// When it stopped to take commands, monotonic nanoseconds.
    var frozenAt: UInt64 = 0
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
        dormant = [:]
        activating = [:]
        creations = [:]
        openRow = []
        sealedRows = []
        openBytes = 0
        openVotes = 0
    }

    /// The campaign that this key created, while the key is remembered.
    func creation(under key: Hash128, at now: Timestamp) -> CampaignID? {
        guard let id = creations[key] else { return nil }
        guard now.milliseconds(since: id.createdAt) < Limits.idempotencyMillisecondsLimit else {
            creations[key] = nil
            return nil
        }
        return id
    }
}
