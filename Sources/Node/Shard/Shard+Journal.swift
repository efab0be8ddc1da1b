// From effects to rows and back: sealing, submission, and what the journal answered.

import Domain
import Journal
import Platform
import Protocol

extension Shard {
    /// Seals what is due and hands rows to the journal: one row in flight per slot.
    func sealAndSubmit() async {
        guard !busySlots.isEmpty else { return }
        let slots = busySlots
        busySlots.removeAll(keepingCapacity: true)
        let now = context.clock.monotonic().nanoseconds
        var rows: [SealedRow] = []
        var handedOver: [OpenSlot] = []
        for slot in slots where !slot.isFenced {
            slot.isQueued = false
            let isFull =
                slot.openVotes >= ShardLimits.rowVotesLimit || slot.openBytes >= ShardLimits.rowBytesLimit
            if !slot.openRow.isEmpty, slot.ledger.isQuiet || isFull { await seal(slot) }
            if let row = slot.ledger.next(at: now) {
                rows.append(row)
                handedOver.append(slot)
            }
        }
        guard !rows.isEmpty else { return }
        let inbox = inbox
        let isTaken = context.journal.submit(rows) { outcomes in inbox.postUnbounded(.rows(outcomes)) }
        guard !isTaken else { return }
        for slot in handedOver {
            slot.ledger.submissionRefused(at: now)
            pausing.append(slot)
        }
    }

    /// Fixes the open effects of a slot as its next row.
    private func seal(_ slot: OpenSlot) async {
        let entries = slot.openRow
        slot.openRow = []
        let lsn = slot.ledger.nextLSN
        var payload = RowPayload()
        var votes = 0
        var captures: [CapturedState] = []
        for entry in entries {
            entry.isInOpenRow = false
            let sealed = await entry.actor.seal(lsn)
            payload.append(sealed.records)
            votes += sealed.votes
            if let capture = sealed.capture { captures.append(capture) }
            entry.openBytes = 0
            entry.openVotes = 0
        }
        uncommittedBytes += payload.bytes.count - slot.openBytes
        slot.openBytes = 0
        slot.openVotes = 0
        slot.sealedRows.append(.init(lsn: lsn, campaigns: entries, captures: captures))
        slot.ledger.seal(
            payload: payload.bytes, votes: votes, campaigns: entries.map(\.id), flush: context.random.next128())
    }

    /// The journal answered for one row.
    func answered(_ outcome: RowOutcome) async {
        guard case .open(let slot)? = slots[outcome.slot] else { return }
        let now = context.clock.monotonic().nanoseconds
        let bytesBefore = slot.ledger.queuedBytes
        switch slot.ledger.answered(outcome.lsn, outcome.outcome, at: now) {
        case .committed(let lsn):
            uncommittedBytes -= bytesBefore - slot.ledger.queuedBytes
            if isJournalFailing {
                isJournalFailing = false
                context.health.journalRecovered()
                context.log.info("journal.recovered", [("slot", .integer(Int(slot.ledger.slot.index)))])
            }
            await release(slot, lsn)
            queue(slot)
        case .retry:
            if case .failed(let error) = outcome.outcome { journalFailed(slot, error, at: now) }
            pausing.append(slot)
        case .fenced: await fenced(slot)
        case .stale: break
        }
    }

    private func release(_ slot: OpenSlot, _ lsn: UInt64) async {
        while let first = slot.sealedRows.first, first.lsn <= lsn {
            slot.sealedRows.removeFirst()
            for entry in first.campaigns { noteTurn(entry, await entry.actor.committed(first.lsn)) }
            for capture in first.captures {
                guard let entry = slot.campaigns[capture.state.id] else { continue }
                take(capture, entry, lsn: first.lsn)
            }
        }
    }

    private func journalFailed(_ slot: OpenSlot, _ error: JournalError, at now: UInt64) {
        guard !isJournalFailing else { return }
        isJournalFailing = true
        context.health.journalFailed(at: now)
        context.log.error(
            "journal.failed",
            [("slot", .integer(Int(slot.ledger.slot.index))), ("reason", .string(error.description))])
    }

    /// Another owner committed under a higher epoch: nothing of this slot may be shown any more.
    func fenced(_ slot: OpenSlot) async {
        let index = slot.ledger.slot
        context.log.error("slot.fenced", [("slot", .integer(Int(index.index)))])
        let error = ClientError(.unavailable, "the slot has moved", retryAfterMilliseconds: 1000)
        for entry in slot.campaigns.values.sorted(by: { $0.id < $1.id }) {
            await entry.actor.abandon(error)
            campaigns[entry.id] = nil
            context.metrics.campaigns.add(-1)
        }
        for activation in slot.activating.values {
            endWait(of: activation.waiting)
            refuse(activation.waiting, error)
        }
        let waiting = slot.sealedRows.flatMap(\.captures).flatMap(\.verifications)
        for ticket in waiting { post(.reply(ticket, .failure(error)), to: ticket.edge) }
        uncommittedBytes -= slot.ledger.queuedBytes + slot.openBytes
        slot.abandon()
        // Nothing is known of the journal any more but that it answered.
        isJournalFailing = false
        slots[index] = .refused("another process has taken this slot over")
        fencedSlots.insert(index)
        context.onFenced(index)
    }
}
