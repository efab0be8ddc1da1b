// The rules of the SQLite store over dictionaries.

import Protocol

/// Memory backend of a `JournalEngine`.
final class MemoryStore: JournalStore {
    private struct Stored {
        var header: SnapshotHeader
        var parts: [[UInt8]] = []
        var checksum: UInt64 = 0
        var isComplete = false
        var storedAt: Timestamp
    }

    private struct SlotState {
        var epoch: UInt64 = 0
        var rows: [UInt64: (row: SealedRow, storedAt: Timestamp)] = [:]
        var campaigns: [CampaignID: CampaignRows] = [:]
        /// By campaign, oldest first.
        var snapshots: [CampaignID: [Stored]] = [:]

        var newestRow: UInt64 { rows.keys.max() ?? 0 }

        var tail: UInt64 {
            var tail = newestRow
            for stored in snapshots.values {
                for one in stored where one.isComplete { tail = max(tail, one.header.lsn) }
            }
            return tail
        }

        func lsns(_ campaign: CampaignID) -> [UInt64] {
            (snapshots[campaign] ?? []).filter(\.isComplete).map(\.header.lsn).sorted(by: >)
        }

        func holders(_ slot: Slot) -> [TrimHolder] {
            campaigns.sorted { $0.key < $1.key }.compactMap { campaign, rows in
                TrimRule.holdsAfter(rows, snapshots: lsns(campaign)).map {
                    TrimHolder(slot: slot, campaign: campaign, holdsAfter: $0, idleSince: rows.storedAt)
                }
            }
        }
    }

    private var slots: [Slot: SlotState] = [:]

    func claim(_ wanted: [Slot], now: Timestamp) throws(JournalError) -> [SlotClaim] {
        var claims: [SlotClaim] = []
        for slot in wanted.sorted() {
            var state = slots[slot] ?? SlotState()
            state.epoch = max(state.epoch + 1, UInt64(max(0, now.milliseconds / 1000)))
            claims.append(SlotClaim(slot: slot, epoch: state.epoch, tail: state.tail))
            slots[slot] = state
        }
        return claims
    }

    func flush(_ rows: [SealedRow], now: Timestamp) -> [FlushOutcome] {
        rows.map { row in
            let state = slots[row.slot] ?? SlotState()
            let tail = state.tail
            if row.lsn <= tail {
                let held = state.rows[row.lsn]?.row
                return held?.flush == row.flush && held?.checksum == row.checksum ? .committed : .fenced
            }
            if state.epoch != row.epoch { return .fenced }
            guard row.lsn == tail + 1 else {
                return .failed(.outOfOrder(row.slot, lsn: row.lsn, tail: tail))
            }
            slots[row.slot, default: SlotState()].rows[row.lsn] = (row, now)
            for campaign in row.campaigns {
                let fresh = CampaignRows(
                    first: row.lsn, last: row.lsn, fromCreation: state.lsns(campaign).isEmpty, storedAt: now)
                slots[row.slot]?.campaigns[campaign, default: fresh].last = row.lsn
                slots[row.slot]?.campaigns[campaign]?.storedAt = now
            }
            return .committed
        }
    }

    private func fenced(_ slot: Slot, _ epoch: UInt64) throws(JournalError) -> SlotState {
        guard let state = slots[slot], state.epoch == epoch else { throw .fenced(slot) }
        return state
    }

    func storePart(
        _ header: SnapshotHeader, index: Int, bytes: [UInt8], now: Timestamp
    ) throws(JournalError) {
        var state = try fenced(header.slot, header.epoch)
        var stored = state.snapshots[header.campaign] ?? []
        if index == 0 {
            if stored.contains(where: { $0.header.lsn == header.lsn && $0.isComplete }) {
                throw .io("campaign \(header.campaign) has a snapshot at \(header.lsn)")
            }
            stored.removeAll { $0.header.lsn == header.lsn }
            stored.append(Stored(header: header, storedAt: now))
        }
        if let place = stored.firstIndex(where: { $0.header.lsn == header.lsn }) { stored[place].parts.append(bytes) }
        state.snapshots[header.campaign] = stored
        slots[header.slot] = state
    }

    func readPart(_ header: SnapshotHeader, index: Int) throws(JournalError) -> [UInt8] {
        let stored = slots[header.slot]?.snapshots[header.campaign]?.first { $0.header.lsn == header.lsn }
        guard let stored, index < stored.parts.count else { return [] }
        return stored.parts[index]
    }

    func completeSnapshot(_ header: SnapshotHeader, checksum: UInt64, now: Timestamp) throws(JournalError) {
        var state = try fenced(header.slot, header.epoch)
        var stored = state.snapshots[header.campaign] ?? []
        let place = stored.firstIndex { $0.header.lsn == header.lsn } ?? stored.count
        if place == stored.count { stored.append(Stored(header: header, storedAt: now)) }
        stored[place].isComplete = true
        stored[place].checksum = checksum
        state.snapshots[header.campaign] = stored
        let kept = state.lsns(header.campaign).prefix(2)
        if let oldest = kept.last {
            state.snapshots[header.campaign]?.removeAll { $0.header.lsn < oldest }
            if kept.count == 2, let rows = state.campaigns[header.campaign], rows.last <= oldest {
                state.campaigns[header.campaign] = nil
            }
        }
        slots[header.slot] = state
    }

    func removeCampaign(_ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64) throws(JournalError) {
        var state = try fenced(slot, epoch)
        state.snapshots[campaign] = nil
        let fresh = CampaignRows(
            first: lsn, last: lsn, fromCreation: false, storedAt: Timestamp(milliseconds: 0), removed: lsn)
        state.campaigns[campaign, default: fresh].removed = lsn
        slots[slot] = state
    }

    func trim(_ slot: Slot, epoch: UInt64, limit: Int) throws(JournalError) -> Bool {
        var state = try fenced(slot, epoch)
        let point = TrimRule.point(newestRow: state.newestRow, holds: state.holders(slot).map(\.holdsAfter))
        let gone = state.rows.keys.filter { $0 <= point }.sorted().prefix(limit)
        for lsn in gone { state.rows[lsn] = nil }
        if gone.count < limit { state.campaigns = state.campaigns.filter { ($0.value.removed ?? .max) > point } }
        slots[slot] = state
        return gone.count == limit
    }

    func index(_ wanted: [Slot]) throws(JournalError) -> [SlotIndex] {
        wanted.map { slot in
            let state = slots[slot] ?? SlotState()
            var entries: [CampaignEntry] = []
            for campaign in Set(state.snapshots.keys).union(state.campaigns.keys).sorted() {
                let rows = state.campaigns[campaign]
                if rows?.removed != nil { continue }
                let newest = state.snapshots[campaign]?.filter(\.isComplete).max { $0.header.lsn < $1.header.lsn }
                let lsn = newest?.header.lsn
                if lsn == nil, rows == nil { continue }
                entries.append(
                    CampaignEntry(
                        campaign: campaign, snapshotLSN: lsn, wakeAt: newest?.header.wakeAt,
                        hasRowsAfter: (rows?.last ?? 0) > lsn ?? 0))
            }
            return SlotIndex(slot: slot, tail: state.tail, campaigns: entries)
        }
    }

    func recover(_ slot: Slot) throws(JournalError) -> SlotRecovery {
        let state = slots[slot] ?? SlotState()
        var plan = RecoveryPlan(slot: slot, tail: state.tail)
        for (campaign, stored) in state.snapshots {
            for one in stored where one.isComplete {
                plan.snapshotRead(campaign, lsn: one.header.lsn, state: Array(one.parts.joined()), isIntact: true)
            }
        }
        let start = try plan.startPoint(state.campaigns.map { (campaign: $0.key, rows: $0.value) })
        for lsn in state.rows.keys.sorted() where lsn > start { try plan.rowRead(lsn: lsn, state.rows[lsn]?.row) }
        return try plan.finish()
    }

    func snapshot(of campaign: CampaignID, slot: Slot) throws(JournalError) -> RecoveredSnapshot? {
        let stored = slots[slot]?.snapshots[campaign]?.filter(\.isComplete).max { $0.header.lsn < $1.header.lsn }
        return stored.map {
            RecoveredSnapshot(campaign: campaign, lsn: $0.header.lsn, state: Array($0.parts.joined()))
        }
    }

    func repair(_ slot: Slot, keepThrough lsn: UInt64, now: Timestamp) throws(JournalError) -> Int {
        var state = slots[slot] ?? SlotState()
        let tail = state.tail
        let moved = state.rows.keys.filter { $0 > lsn }.count
        guard lsn < tail else { return 0 }
        for empty in lsn + 1...tail {
            let row = SealedRow(
                slot: slot, lsn: empty, epoch: state.epoch, flush: 0, count: 0, campaigns: [], payload: [])
            state.rows[empty] = (row, now)
        }
        slots[slot] = state
        return moved
    }

    func trimHolders() throws(JournalError) -> [TrimHolder] {
        slots.sorted { $0.key < $1.key }.flatMap { $0.value.holders($0.key) }
    }

    func expireVoterData(before limit: Timestamp) throws(JournalError) -> [TrimHolder] {
        var left: [TrimHolder] = []
        for slot in slots.keys.sorted() {
            guard var state = slots[slot] else { continue }
            for campaign in Set(state.snapshots.keys).union(state.campaigns.keys).sorted() {
                let complete = (state.snapshots[campaign] ?? []).filter(\.isComplete)
                let clean = complete.filter { !$0.header.holdsVoterData }.map(\.header.lsn).max() ?? 0
                func isOld(_ one: Stored) -> Bool { one.header.holdsVoterData && one.storedAt < limit }
                if let newest = complete.filter({ isOld($0) && $0.header.lsn < clean }).map(\.header.lsn).max() {
                    state.snapshots[campaign]?.removeAll { $0.header.lsn <= newest }
                }
                let holding = complete.first { isOld($0) && $0.header.lsn > clean }
                let rows = state.campaigns[campaign]
                var oldRows = false
                if let rows, rows.removed == nil {
                    oldRows = state.rows.contains {
                        $0.key >= rows.first && $0.key <= rows.last && $0.value.storedAt < limit
                    }
                }
                guard holding != nil || oldRows else { continue }
                left.append(
                    TrimHolder(
                        slot: slot, campaign: campaign, holdsAfter: holding?.header.lsn ?? rows?.first ?? 0,
                        idleSince: holding?.storedAt ?? rows?.storedAt ?? limit))
            }
            slots[slot] = state
        }
        return left
    }

    func idle() {}

    func close() {}
}
