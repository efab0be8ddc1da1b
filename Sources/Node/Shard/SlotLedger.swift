// The journal of one slot as its shard sees it: rows that are sealed and wait for their commit, in order, one of them
// in flight. A sealed row never changes: what failed is sent again byte for byte, later effects take the next lsn.
//
//   seal ─► queue ─► next() in flight ─► committed: removed
//              ▲                     └─► failed: stays first, sent again after a pause
//              └──────────────────────────────┘

import Journal
import Protocol

/// Pure bookkeeping; times are monotonic nanoseconds.
struct SlotLedger {
    /// What to do after the journal answered for a row.
    enum Verdict: Equatable {
        /// Everything up to this lsn is committed.
        case committed(UInt64)
        /// Send the same row again, not before this time.
        case retry(at: UInt64)
        /// Another owner has the slot: nothing of it may be shown any more.
        case fenced
        /// An answer for a row that is not in flight.
        case stale
    }

    static let firstPause: UInt64 = 50_000_000
    static let longestPause: UInt64 = 2_000_000_000
    /// While the node is suspended: asking costs nothing, and it should go on soon after the lease is renewed.
    static let suspendedPause: UInt64 = 250_000_000

    let slot: Slot
    let epoch: UInt64
    private(set) var sealedThrough: UInt64
    private(set) var committedThrough: UInt64
    private(set) var queuedBytes = 0
    private(set) var isInFlight = false
    private(set) var failures = 0
    private(set) var retryAt: UInt64?
    private var queue: [SealedRow] = []

    init(slot: Slot, epoch: UInt64, tail: UInt64) {
        self.slot = slot
        self.epoch = epoch
        sealedThrough = tail
        committedThrough = tail
    }

    var isQuiet: Bool { queue.isEmpty }
    var nextLSN: UInt64 { sealedThrough + 1 }

    /// Fixes a row's content; it takes the next lsn.
    mutating func seal(payload: [UInt8], votes: Int, campaigns: [CampaignID], flush: UInt128) {
        let row = SealedRow(
            slot: slot, lsn: nextLSN, epoch: epoch, flush: flush, count: UInt32(clamping: votes),
            campaigns: campaigns, payload: payload)
        sealedThrough += 1
        queuedBytes += payload.count
        queue.append(row)
    }

    /// The row to hand to the journal now, or `nil` while one is in flight, pausing, or none waits.
    mutating func next(at now: UInt64) -> SealedRow? {
        guard !isInFlight, let first = queue.first else { return nil }
        if let retryAt, now < retryAt { return nil }
        retryAt = nil
        isInFlight = true
        return first
    }

    /// The journal took nothing: its queue is full.
    mutating func submissionRefused(at now: UInt64) {
        isInFlight = false
        retryAt = now + Self.firstPause
    }

    mutating func answered(_ lsn: UInt64, _ outcome: FlushOutcome, at now: UInt64) -> Verdict {
        guard isInFlight, let first = queue.first, first.lsn == lsn else { return .stale }
        isInFlight = false
        switch outcome {
        case .committed:
            queue.removeFirst()
            queuedBytes -= first.payload.count
            committedThrough = lsn
            failures = 0
            return .committed(lsn)
        case .fenced:
            return .fenced
        case .failed(.suspended):
            retryAt = now + Self.suspendedPause
            return .retry(at: now + Self.suspendedPause)
        case .failed:
            let pause = min(Self.longestPause, Self.firstPause << UInt64(min(failures, 6)))
            failures += 1
            retryAt = now + pause
            return .retry(at: now + pause)
        }
    }
}
