// From what the journal holds of a slot back to its campaigns: the newest verified snapshot of each, and every row
// after it. Replays decide nothing: they apply what was decided.

import Domain
import Journal
import Protocol

/// A campaign as recovery found it.
struct RecoveredCampaign: Sendable {
    let state: Campaign
    /// The newest row that the state holds.
    let lsn: UInt64
    /// Bytes of the snapshot that it began with.
    let snapshotBytes: Int?
    /// Bytes of rows that were replayed on top.
    let journalBytes: Int

    var isWholeInSnapshot: Bool { snapshotBytes != nil && journalBytes == 0 }
}

/// Why a slot cannot be served.
struct ReplayFailure: Error, CustomStringConvertible {
    let slot: Slot
    let lsn: UInt64?
    let reason: String

    var description: String {
        guard let lsn, lsn > 0 else { return "slot \(slot): \(reason). Restore a backup of the data folder" }
        return "slot \(slot), row \(lsn): \(reason). Restore a backup, or give the rows from there on up: "
            + "tumulte repair --slot \(slot) --keep-through \(lsn - 1)"
    }
}

enum SlotReplay {
    /// How far a campaign has come, and from where.
    private struct Place {
        /// Rows up to this one are in the state that the replay began with.
        var start: UInt64 = 0
        /// The newest row that the state holds.
        var lsn: UInt64 = 0
        /// Bytes of the snapshot that it began with.
        var snapshotBytes: Int?
        /// Bytes of rows that were replayed on top.
        var journalBytes = 0
    }

    /// Rebuilds the campaigns of a slot.
    ///
    /// - Parameter through: the last lsn to apply; `nil` for all.
    static func campaigns(
        of recovery: SlotRecovery, slot: Slot, through last: UInt64? = nil
    ) throws(ReplayFailure) -> [RecoveredCampaign] {
        var states: [CampaignID: Campaign] = [:]
        var places: [CampaignID: Place] = [:]
        for snapshot in recovery.snapshots {
            do {
                states[snapshot.campaign] = try Campaign(snapshot: snapshot.state.span)
            } catch {
                throw ReplayFailure(
                    slot: slot, lsn: nil, reason: "the snapshot of campaign \(snapshot.campaign) is damaged (\(error))")
            }
            places[snapshot.campaign] = Place(
                start: snapshot.lsn, lsn: snapshot.lsn, snapshotBytes: snapshot.state.count)
        }
        let rows = last.map { last in recovery.rows.filter { $0.lsn <= last } } ?? recovery.rows
        try replay(rows, of: slot, into: &states, at: &places, removed: recovery.removed)
        return recovered(from: &states, at: places)
    }

    /// Goes on from campaigns that were read before.
    ///
    /// - Parameters:
    ///   - read: given away, so that their tables change in place.
    ///   - rows: contiguous, from the end of what was read.
    static func campaigns(
        _ read: consuming [RecoveredCampaign], andRows rows: [SealedRow], slot: Slot
    ) throws(ReplayFailure) -> [RecoveredCampaign] {
        guard !rows.isEmpty else { return read }
        var states: [CampaignID: Campaign] = [:]
        var places: [CampaignID: Place] = [:]
        while let campaign = read.popLast() {
            places[campaign.state.id] = Place(
                start: campaign.lsn, lsn: campaign.lsn, snapshotBytes: campaign.snapshotBytes,
                journalBytes: campaign.journalBytes)
            states[campaign.state.id] = campaign.state
        }
        try replay(rows, of: slot, into: &states, at: &places, removed: [:])
        return recovered(from: &states, at: places)
    }

    /// Applies every record that is newer than the state that its campaign began with, and than the campaign's removal.
    private static func replay(
        _ rows: [SealedRow], of slot: Slot, into states: inout [CampaignID: Campaign],
        at places: inout [CampaignID: Place], removed: [CampaignID: UInt64]
    ) throws(ReplayFailure) {
        for row in rows where !row.payload.isEmpty {  // empty ones stand for rows that a repair set aside
            guard let parts = RowPayload.parts(of: row.payload) else {
                throw ReplayFailure(slot: slot, lsn: row.lsn, reason: "the row's parts do not fit together")
            }
            let payload = row.payload.span
            for part in parts {
                do {
                    _ = try RecordReader.replay(payload.extracting(part), into: &states) { id in
                        guard row.lsn > max(places[id]?.start ?? 0, removed[id] ?? 0) else { return false }
                        places[id, default: Place()].lsn = row.lsn
                        places[id, default: Place()].journalBytes += part.count
                        return true
                    }
                } catch {
                    throw ReplayFailure(slot: slot, lsn: row.lsn, reason: "a record cannot be applied (\(error))")
                }
            }
        }
    }

    private static func recovered(
        from states: inout [CampaignID: Campaign], at places: [CampaignID: Place]
    ) -> [RecoveredCampaign] {
        states.keys.sorted().compactMap { id in
            // Taken out, so that the tables are not copied when they shrink.
            guard var state = states.removeValue(forKey: id) else { return nil }
            state.endReplay()
            let place = places[id] ?? Place()
            return RecoveredCampaign(
                state: state, lsn: place.lsn, snapshotBytes: place.snapshotBytes, journalBytes: place.journalBytes)
        }
    }
}
