// The values that cross the journal's boundary: rows, outcomes, snapshots and what recovery returns.

import Platform
public import Protocol

/// One row, sealed when first sent: a retry is byte-identical.
public struct SealedRow: Hashable, Sendable {
    /// The slot whose stream this row extends.
    public let slot: Slot
    /// One more than the row before; starts at 1, below 2^48.
    public let lsn: UInt64
    /// The epoch under which the owner claimed the slot.
    public let epoch: UInt64
    /// Random id of this row's flush; tells our earlier attempt from another owner's row.
    public let flush: UInt128
    /// Votes packed in the payload.
    public let count: UInt32
    /// The campaigns that have an entry in the payload, ascending without repeats; trimming goes by them.
    public let campaigns: [CampaignID]
    /// The packed entries, at most 256 kB; empty only in rows that `repair` wrote.
    public let payload: [UInt8]
    /// XXH64 over all of the above.
    public let checksum: UInt64

    /// Seals a row; sorts `campaigns`, drops repeats and computes the checksum.
    public init(
        slot: Slot, lsn: UInt64, epoch: UInt64, flush: UInt128, count: UInt32, campaigns: [CampaignID],
        payload: [UInt8]
    ) {
        precondition(lsn > 0 && lsn < 1 << 48, "lsn \(lsn) is out of range")
        self.slot = slot
        self.lsn = lsn
        self.epoch = epoch
        self.flush = flush
        self.count = count
        self.campaigns = campaigns.count < 2 ? campaigns : Set(campaigns).sorted()
        self.payload = payload
        var checksum = Checksum()
        checksum.add(UInt64(slot.index))
        checksum.add(lsn)
        checksum.add(epoch)
        checksum.add(flush)
        checksum.add(UInt64(count))
        checksum.add(UInt64(self.campaigns.count))
        for campaign in self.campaigns { checksum.add(campaign.uuid.bits) }
        checksum.add(payload)
        self.checksum = checksum.value
    }
}

/// What became of a row.
public enum FlushOutcome: Hashable, Sendable {
    /// Durable. Only now may what depends on it leave the node.
    case committed
    /// Another claim owns the slot: close it and destroy its actors.
    case fenced
    /// Refused or unknown: submit the same sealed row again.
    case failed(JournalError)

    var isFailure: Bool { if case .failed = self { true } else { false } }
}

/// The outcome of one submitted row.
public struct RowOutcome: Hashable, Sendable {
    /// The row's slot.
    public let slot: Slot
    /// The row's lsn.
    public let lsn: UInt64
    /// What became of it.
    public let outcome: FlushOutcome

    /// Takes the row's place and what became of it.
    public init(slot: Slot, lsn: UInt64, outcome: FlushOutcome) {
        self.slot = slot
        self.lsn = lsn
        self.outcome = outcome
    }
}

/// A slot that was claimed.
public struct SlotClaim: Hashable, Sendable {
    /// The slot.
    public let slot: Slot
    /// Higher than every epoch before.
    public let epoch: UInt64
    /// The lsn of the newest row or snapshot; 0 for a slot never written.
    public let tail: UInt64
    /// The last sign of life of a node that had the slot and is dead: nanoseconds of this process's monotonic clock, below
    /// zero where that began later. `nil` where nobody had the slot, where this node had it, or where it was handed over.
    public let unservedSince: Int64?

    /// Takes what the claim returned.
    public init(slot: Slot, epoch: UInt64, tail: UInt64, unservedSince: Int64? = nil) {
        self.slot = slot
        self.epoch = epoch
        self.tail = tail
        self.unservedSince = unservedSince
    }
}

/// A snapshot to be written; `encode` runs on the journal's thread.
public struct SnapshotJob: Sendable {
    /// The campaign whose state this is.
    public let campaign: CampaignID
    /// Its slot.
    public let slot: Slot
    /// The state holds every effect of rows up to this one, and none of a later one.
    public let lsn: UInt64
    /// The epoch of the owner.
    public let epoch: UInt64
    /// The campaign's next deadline.
    public let wakeAt: Timestamp?
    /// Whether the state holds voters' hashes, which go 7 days after the poll.
    public let holdsVoterData: Bool
    /// Encodes the captured state.
    public let encode: @Sendable () -> [UInt8]

    /// Takes what belongs to the snapshot.
    public init(
        campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64, wakeAt: Timestamp?, holdsVoterData: Bool,
        encode: @escaping @Sendable () -> [UInt8]
    ) {
        self.campaign = campaign
        self.slot = slot
        self.lsn = lsn
        self.epoch = epoch
        self.wakeAt = wakeAt
        self.holdsVoterData = holdsVoterData
        self.encode = encode
    }
}

/// What became of a snapshot or of a campaign's removal.
public enum SnapshotOutcome: Hashable, Sendable {
    /// Written, read back, verified and durable.
    case stored
    /// Not stored; the snapshots before it are untouched.
    case failed(JournalError)
}

/// A campaign as the index knows it, without its state.
public struct CampaignEntry: Hashable, Sendable {
    /// The campaign.
    public let campaign: CampaignID
    /// The newest complete snapshot; `nil` when the campaign is only in the journal.
    public let snapshotLSN: UInt64?
    /// The deadline that snapshot holds.
    public let wakeAt: Timestamp?
    /// Whether the campaign has rows after its snapshot, so that `wakeAt` may be out of date.
    public let hasRowsAfter: Bool
}

/// What is known of a slot without recovering it.
public struct SlotIndex: Hashable, Sendable {
    /// The slot.
    public let slot: Slot
    /// See `SlotClaim.tail`.
    public let tail: UInt64
    /// Ascending by id.
    public let campaigns: [CampaignEntry]
}

/// A snapshot that was read back and verified.
public struct RecoveredSnapshot: Hashable, Sendable {
    /// The campaign.
    public let campaign: CampaignID
    /// Rows up to this one are in the state.
    public let lsn: UInt64
    /// What `SnapshotJob.encode` returned.
    public let state: [UInt8]
}

/// Everything needed to rebuild a slot's campaigns.
public struct SlotRecovery: Hashable, Sendable {
    /// The slot.
    public let slot: Slot
    /// See `SlotClaim.tail`.
    public let tail: UInt64
    /// The newest verified snapshot of each campaign, ascending by id.
    public let snapshots: [RecoveredSnapshot]
    /// Contiguous, up to the tail. An entry of a campaign at or below its snapshot's lsn is to be skipped.
    public let rows: [SealedRow]
    /// Removed campaigns whose entries may still be in `rows`, with the lsn of the removal: skip entries up to it.
    public let removed: [CampaignID: UInt64]
    /// Damage that could be worked around; to be logged loudly.
    public let notices: [String]
}

/// A campaign that keeps journal rows from being trimmed.
public struct TrimHolder: Hashable, Sendable {
    /// Its slot.
    public let slot: Slot
    /// The campaign, to be snapshotted when it has been idle for 10 minutes.
    public let campaign: CampaignID
    /// Rows after this lsn are kept for it.
    public let holdsAfter: UInt64
    /// When its newest row was stored.
    public let idleSince: Timestamp
}

/// Figures since the journal was opened.
public struct JournalStatistics: Hashable, Sendable {
    /// Transactions that committed rows.
    public var flushes: UInt64 = 0
    /// Rows committed.
    public var rows: UInt64 = 0
    /// Votes in those rows.
    public var votes: UInt64 = 0
    /// Payload bytes of those rows.
    public var bytes: UInt64 = 0
    /// Rows that were answered `failed`.
    public var failedRows: UInt64 = 0
    /// Rows that were answered `fenced`.
    public var fencedRows: UInt64 = 0
    /// Snapshots stored.
    public var snapshots: UInt64 = 0
    /// Steps of trimming that failed; each is tried again after a second, with the next work.
    public var trimFailures: UInt64 = 0
    /// Why the newest of them failed.
    public var lastTrimError: JournalError?
    /// Rows that wait for their flush now.
    public var queuedRows: Int = 0
    /// The newest error, until a flush succeeds.
    public var lastError: JournalError?
    /// Flushes by latency: bucket i counts those under 2^i × 64 µs; the last bucket takes the rest.
    public var latencyBuckets: [UInt64] = Array(repeating: 0, count: 20)
    /// Sum of all flush latencies in nanoseconds.
    public var latencyNanoseconds: UInt64 = 0
}
