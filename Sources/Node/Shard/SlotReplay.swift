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
    /// Rebuilds the campaigns of a slot.
    ///
    /// - Parameter through: the last lsn to apply; `nil` for all.
    static func campaigns(
        of recovery: SlotRecovery, slot: Slot, through last: UInt64? = nil
    ) throws(ReplayFailure) -> [RecoveredCampaign] {
        var states: [CampaignID: Campaign] = [:]
        var starts: [CampaignID: (lsn: UInt64, bytes: Int)] = [:]
        for snapshot in recovery.snapshots {
            do {
                states[snapshot.campaign] = try Campaign(snapshot: snapshot.state.span)
            } catch {
                throw ReplayFailure(
                    slot: slot, lsn: nil, reason: "the snapshot of campaign \(snapshot.campaign) is damaged (\(error))")
            }
            starts[snapshot.campaign] = (snapshot.lsn, snapshot.state.count)
        }
        var replayed: [CampaignID: (bytes: Int, lsn: UInt64)] = [:]
        for row in recovery.rows where last.map({ row.lsn <= $0 }) ?? true {
            if row.payload.isEmpty { continue }  // in the place of a row that a repair set aside
            guard let parts = RowPayload.parts(of: row.payload) else {
                throw ReplayFailure(slot: slot, lsn: row.lsn, reason: "the row's parts do not fit together")
            }
            let payload = row.payload.span
            for part in parts {
                do {
                    _ = try RecordReader.replay(payload.extracting(part), into: &states) { id in
                        guard row.lsn > max(starts[id]?.lsn ?? 0, recovery.removed[id] ?? 0) else { return false }
                        replayed[id] = ((replayed[id]?.bytes ?? 0) + part.count, row.lsn)
                        return true
                    }
                } catch {
                    throw ReplayFailure(slot: slot, lsn: row.lsn, reason: "a record cannot be applied (\(error))")
                }
            }
        }
        return states.keys.sorted().compactMap { id in
            // Taken out, so that the tables are not copied when they shrink.
            guard var state = states.removeValue(forKey: id) else { return nil }
            state.endReplay()
            return RecoveredCampaign(
                state: state, lsn: replayed[state.id]?.lsn ?? starts[state.id]?.lsn ?? 0,
                snapshotBytes: starts[state.id]?.bytes, journalBytes: replayed[state.id]?.bytes ?? 0)
        }
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
        var places: [CampaignID: (start: UInt64, lsn: UInt64, snapshot: Int?, journal: Int)] = [:]
        var states: [CampaignID: Campaign] = [:]
        while let campaign = read.popLast() {
            places[campaign.state.id] = (campaign.lsn, campaign.lsn, campaign.snapshotBytes, campaign.journalBytes)
            states[campaign.state.id] = campaign.state
        }
        for row in rows where !row.payload.isEmpty {
            guard let parts = RowPayload.parts(of: row.payload) else {
                throw ReplayFailure(slot: slot, lsn: row.lsn, reason: "the row's parts do not fit together")
            }
            let payload = row.payload.span
            for part in parts {
                do {
                    _ = try RecordReader.replay(payload.extracting(part), into: &states) { id in
                        let place = places[id]
                        guard row.lsn > place?.start ?? 0 else { return false }
                        places[id] = (place?.start ?? 0, row.lsn, place?.snapshot, (place?.journal ?? 0) + part.count)
                        return true
                    }
                } catch {
                    throw ReplayFailure(slot: slot, lsn: row.lsn, reason: "a record cannot be applied (\(error))")
                }
            }
        }
        return states.keys.sorted().compactMap { id in
            guard var state = states.removeValue(forKey: id) else { return nil }
            state.endReplay()
            let place = places[id]
            return RecoveredCampaign(
                state: state, lsn: place?.lsn ?? 0, snapshotBytes: place?.snapshot, journalBytes: place?.journal ?? 0)
        }
    }
}
