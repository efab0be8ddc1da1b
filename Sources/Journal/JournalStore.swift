// What an embedded backend does, synchronously, for the engine that batches and schedules. Each call is one
// transaction: it happens whole or, when it throws, not at all (or unknown, which a retry resolves).

import Platform
import Protocol

/// A snapshot's fixed fields, as they are stored beside its parts.
struct SnapshotHeader: Hashable, Sendable {
    let campaign: CampaignID
    let slot: Slot
    let lsn: UInt64
    let epoch: UInt64
    let wakeAt: Timestamp?
    let holdsVoterData: Bool
    let byteCount: Int

    /// The format of the table's columns and checksum; the state carries its own.
    static let format: UInt64 = 1
    /// Bytes of one stored part.
    static let partBytes = 1 << 20

    var partCount: Int { (byteCount + Self.partBytes - 1) / Self.partBytes }

    /// A checksum that has taken the header and waits for the state.
    var checksum: Checksum {
        var checksum = Checksum()
        checksum.add(Self.format)
        checksum.add(campaign.uuid.bits)
        checksum.add(UInt64(slot.index))
        checksum.add(lsn)
        checksum.add(epoch)
        checksum.add(wakeAt == nil ? 0 : 1 as UInt64)
        checksum.add(UInt64(bitPattern: wakeAt?.milliseconds ?? 0))
        checksum.add(holdsVoterData ? 1 : 0 as UInt64)
        checksum.add(UInt64(byteCount))
        return checksum
    }
}

/// What is remembered of a campaign's rows in a slot's journal.
struct CampaignRows: Hashable, Sendable {
    /// Its first row since its rows were last forgotten; 0 when its snapshots hold everything.
    var first: UInt64
    var last: UInt64
    /// No snapshot existed when `first` was written: rows from there rebuild the campaign from nothing.
    var fromCreation: Bool
    var storedAt: Timestamp
    /// The row that removed the campaign.
    var removed: UInt64?
    /// Its newest complete snapshot; 0 when there is none. Only stores with a disk need to remember it.
    var snapshot: UInt64 = 0

    /// Covers every field, and whose they are.
    func checksum(_ campaign: CampaignID, _ slot: Slot) -> UInt64 {
        let id = campaign.uuid.bits
        return Checksum.of(words: [
            1, UInt64(truncatingIfNeeded: id), UInt64(truncatingIfNeeded: id >> 64), UInt64(slot.index), first, last,
            fromCreation ? 1 : 0, UInt64(bitPattern: storedAt.milliseconds), removed == nil ? 0 : 1, removed ?? 0,
            snapshot,
        ])
    }
}

/// The rules of trimming, shared by all backends.
enum TrimRule {
    /// The lsn after which rows are kept for a campaign; `nil` when it needs none.
    ///
    /// `snapshots` are its complete ones, newest first.
    static func holdsAfter(_ rows: CampaignRows, snapshots: [UInt64]) -> UInt64? {
        if rows.removed != nil || rows.first == 0 { return nil }
        guard snapshots.count >= 2 else { return rows.first - 1 }
        return rows.last <= snapshots[1] ? nil : snapshots[1]
    }

    /// Rows up to this lsn may go: never the newest one, and nothing that a campaign holds.
    static func point(newestRow: UInt64, holds: [UInt64]) -> UInt64 {
        guard newestRow > 0 else { return 0 }
        return min(newestRow - 1, holds.min() ?? .max)
    }
}

/// Backend of a `JournalEngine`; called by one thread at a time.
protocol JournalStore: AnyObject {
    func claim(_ slots: [Slot], now: Timestamp) throws(JournalError) -> [SlotClaim]
    func flush(_ rows: [SealedRow], now: Timestamp) -> [FlushOutcome]
    func storePart(_ header: SnapshotHeader, index: Int, bytes: [UInt8], now: Timestamp) throws(JournalError)
    func readPart(_ header: SnapshotHeader, index: Int) throws(JournalError) -> [UInt8]
    /// Marks the snapshot complete and deletes the campaign's third newest and older, and unfinished ones.
    func completeSnapshot(_ header: SnapshotHeader, checksum: UInt64, now: Timestamp) throws(JournalError)
    func removeCampaign(_ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64) throws(JournalError)
    /// Deletes up to `limit` rows; `true` when more could go.
    func trim(_ slot: Slot, epoch: UInt64, limit: Int) throws(JournalError) -> Bool
    func index(_ slots: [Slot]) throws(JournalError) -> [SlotIndex]
    func recover(_ slot: Slot) throws(JournalError) -> SlotRecovery
    func snapshot(of campaign: CampaignID, slot: Slot) throws(JournalError) -> RecoveredSnapshot?
    func repair(_ slot: Slot, keepThrough lsn: UInt64, now: Timestamp) throws(JournalError) -> Int
    func trimHolders() throws(JournalError) -> [TrimHolder]
    func expireVoterData(before limit: Timestamp) throws(JournalError) -> [TrimHolder]
    /// Work for an idle moment (a checkpoint).
    func idle()
    func close()
}
