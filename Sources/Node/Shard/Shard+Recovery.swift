// Opening slots: their campaigns come back, what should have ended meanwhile ends, and what waited is answered.

import Domain
import Journal
import Platform
import Protocol

/// A slot's content after recovery, on its way to its shard.
struct OpenedSlot: Sendable {
    let claim: SlotClaim
    let campaigns: [RecoveredCampaign]
    /// The streams' recent past, of campaigns that another owner handed over.
    var pasts: [CampaignID: StreamPast] = [:]
}

/// Why a slot is not served.
struct SlotRefusal: Error, Sendable {
    let reason: String
    /// The journal could not be read now; nothing is said of what it holds.
    var mayPass = false
}

extension Shard {
    /// These slots will be opened here: commands for them wait from now on.
    func expect(_ expected: [Slot]) {
        for slot in expected where slots[slot] == nil { slots[slot] = .opening(waiting: []) }
    }

    /// A slot that was given up is opened here again.
    func reopen(_ slot: Slot) {
        guard case .refused? = slots[slot] else { return }
        slots[slot] = .opening(waiting: [])
    }

    func opened(_ slot: Slot, _ result: Result<OpenedSlot, SlotRefusal>) async {
        var waiting: [ShardMessage] = []
        if case .opening(let queued)? = slots[slot] { waiting = queued }
        endWait(of: waiting)
        switch result {
        case .failure(let refusal):
            slots[slot] = .refused(refusal.reason)
            context.log.error(
                "slot.refused", [("slot", .integer(Int(slot.index))), ("reason", .string(refusal.reason))])
        case .success(let content):
            await open(slot, content)
            if fencedSlots.remove(slot) != nil {
                for edge in 0..<context.transport.edgeCount { post(.resync(slot), to: UInt16(edge)) }
            }
        }
        // What waited goes first, in the order in which it came.
        for message in waiting.compactMap({ stillAwaited($0) }) { await take(message) }
    }

    private func open(_ slot: Slot, _ content: OpenedSlot) async {
        let ledger = SlotLedger(slot: slot, epoch: content.claim.epoch, tail: content.claim.tail)
        let open = OpenSlot(ledger: ledger)
        slots[slot] = .open(open)
        let now = context.clock.now()
        let start = Position(epoch: content.claim.epoch, seq: 0)
        for recovered in content.campaigns {
            let state = recovered.state
            if let key = state.creationKey { open.creations[key] = state.id }
            let past = content.pasts[state.id]
            if recovered.isWholeInSnapshot, state.nextDeadline == nil, past == nil {
                // Most campaigns of a restart are of the past: they take memory when somebody asks for them.
                open.dormant[state.id] = DormantCampaign(seq: start.seq, lsn: recovered.lsn)
                continue
            }
            let entry = register(actor(of: recovered, at: start, past: past), state.id, open)
            noteTurn(entry, await entry.actor.wake(at: now))
        }
    }

    func actor(
        of recovered: RecoveredCampaign, at position: Position, past: StreamPast? = nil
    ) -> CampaignActor {
        CampaignActor(
            state: recovered.state, position: position, lsn: recovered.lsn, snapshotBytes: recovered.snapshotBytes,
            journalBytes: recovered.journalBytes, past: past, context: campaignContext)
    }
}
