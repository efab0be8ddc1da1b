// Decides what a slot's recovery needs and whether what was read is enough. No I/O: a backend feeds it.

import Protocol

/// Collects snapshots, then rows; throws where something needed is damaged or missing.
struct RecoveryPlan {
    let slot: Slot
    let tail: UInt64
    private var snapshots: [CampaignID: RecoveredSnapshot] = [:]
    private var damaged: [CampaignID: [UInt64]] = [:]
    private var removed: [CampaignID: UInt64] = [:]
    private var notices: [String] = []
    private var rows: [SealedRow] = []
    private var needed: [CampaignID: UInt64] = [:]
    private var next: UInt64 = 1
    private var bad: (lsns: ClosedRange<UInt64>, finding: String)?

    init(slot: Slot, tail: UInt64) {
        self.slot = slot
        self.tail = tail
    }

    func has(_ campaign: CampaignID, newerThan lsn: UInt64) -> Bool { (snapshots[campaign]?.lsn ?? 0) > lsn }

    /// Adds damage that could be worked around.
    mutating func note(_ notice: String) { notices.append(notice) }

    /// Compares what was read with the snapshot that the store remembers as the campaign's newest.
    mutating func snapshotExpected(_ campaign: CampaignID, lsn: UInt64) {
        if snapshots[campaign]?.lsn == lsn || damaged[campaign]?.contains(lsn) == true { return }
        damaged[campaign, default: []].append(lsn)
    }

    mutating func snapshotRead(_ campaign: CampaignID, lsn: UInt64, state: [UInt8], isIntact: Bool) {
        if isIntact {
            if has(campaign, newerThan: lsn) { return }
            snapshots[campaign] = RecoveredSnapshot(campaign: campaign, lsn: lsn, state: state)
        } else {
            damaged[campaign, default: []].append(lsn)
        }
    }

    /// The lsn after which rows are needed, once all snapshots were read.
    mutating func startPoint(
        _ campaigns: [(campaign: CampaignID, rows: CampaignRows)]
    ) throws(JournalError) -> UInt64 {
        var start = tail
        var inJournal: [CampaignID: CampaignRows] = [:]
        for (campaign, rows) in campaigns {
            inJournal[campaign] = rows
            if let lsn = rows.removed { removed[campaign] = lsn }
        }
        for (campaign, lsns) in damaged.sorted(by: { $0.key < $1.key }) where removed[campaign] == nil {
            let places = lsns.map(String.init).joined(separator: ", ")
            let text = "the snapshot of campaign \(campaign) at \(places)"
            if let older = snapshots[campaign] {
                notices.append("\(text) is damaged or missing; used the one at \(older.lsn) and the journal")
                // The journal need not mention it when it had nothing after; then the older state is complete.
                needed[campaign] = older.lsn
            } else if let rows = inJournal[campaign], rows.fromCreation, rows.first > 0 {
                notices.append("\(text) is damaged or missing; rebuilt from row \(rows.first) of the journal")
            } else {
                throw .damaged(
                    JournalDamage(
                        slot: slot, lsns: nil, campaigns: [campaign],
                        finding:
                            "\(text) is damaged or missing, there is no intact older one, and its first rows are trimmed"
                    ))
            }
        }
        for (campaign, rows) in inJournal where rows.removed == nil && rows.first > 0 {
            let after = snapshots[campaign]?.lsn ?? rows.first - 1
            if rows.last > after {
                needed[campaign] = after
                start = min(start, after)
            }
        }
        next = start + 1
        return start
    }

    mutating func rowRead(lsn: UInt64, _ row: SealedRow?) throws(JournalError) {
        if bad != nil { return }
        if lsn != next {
            bad = (next...max(tail, next), "rows \(next) to \(lsn - 1) are missing")
        } else if let row {
            rows.append(row)
            next += 1
        } else {
            bad = (lsn...max(tail, lsn), "row \(lsn) does not match its checksum")
        }
    }

    func finish() throws(JournalError) -> SlotRecovery {
        var bad = bad
        if bad == nil, next <= tail, rows.last?.lsn ?? 0 < tail {
            bad = (next...tail, "rows \(next) to \(tail) are missing")
        }
        if let bad {
            let losers = needed.keys.sorted()
            throw .damaged(
                JournalDamage(slot: slot, lsns: bad.lsns, campaigns: losers, finding: bad.finding))
        }
        return SlotRecovery(
            slot: slot, tail: tail, snapshots: snapshots.values.sorted { $0.campaign < $1.campaign }, rows: rows,
            removed: removed, notices: notices)
    }
}
