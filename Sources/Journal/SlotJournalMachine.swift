// Batches one slot's entries: an open buffer gathers while at most one sealed row is in flight. It decides which
// lsn a reply must wait for. No I/O, no clock: the shard acts on what it returns.
//
//   append ─► open ─ seal ─► in flight ─ committed ─► replies up to that lsn may leave
//                     ▲          ├─ failed ─► waits, then the same row again
//                     │          └─ fenced ─► closed for good

public import Protocol

/// The journal buffer of one claimed slot.
public struct SlotJournalMachine: Sendable {
    /// Votes of one row.
    public static let rowVotesLimit = 4096
    /// Payload bytes of one row.
    public static let rowBytesLimit = 256 * 1024
    /// Milliseconds before the first resubmission, doubled each time.
    public static let backoffMilliseconds: Int64 = 50
    /// The longest wait before a resubmission, in milliseconds.
    public static let backoffMillisecondsLimit: Int64 = 2000

    /// What became of an entry.
    public enum Append: Hashable, Sendable {
        /// In the open buffer; its effect is durable when this lsn is.
        case buffered(lsn: UInt64)
        /// The open buffer cannot take it: answer `overloaded`, and change no state.
        case full
        /// The slot is fenced: destroy its actors.
        case closed
    }

    /// What the shard does after an outcome.
    public enum Action: Hashable, Sendable {
        /// Replies that wait for an lsn up to this one may leave; then try `seal`.
        case release(through: UInt64)
        /// Submit `inFlight` again at this time.
        case resubmit(at: Timestamp)
        /// Fenced: drop every waiting reply, destroy the slot's actors.
        case close
        /// An outcome that nothing waits for.
        case ignore
    }

    /// The slot.
    public let slot: Slot
    /// The epoch of the claim.
    public let epoch: UInt64
    /// The newest lsn that is durable.
    public private(set) var committed: UInt64
    /// The row that was sealed and is not yet answered for good.
    public private(set) var inFlight: SealedRow?
    /// Whether the slot was fenced.
    public private(set) var isClosed = false
    private var payload: [UInt8] = []
    private var votes: UInt32 = 0
    private var campaigns: Set<CampaignID> = []
    private var failures = 0

    /// Starts behind a claim.
    public init(claim: SlotClaim) {
        slot = claim.slot
        epoch = claim.epoch
        committed = claim.tail
    }

    /// The lsn that the open buffer will get.
    public var openLSN: UInt64 { committed + (inFlight == nil ? 1 : 2) }

    /// Whether the newest attempt did not fail.
    public var isHealthy: Bool { failures == 0 && !isClosed }

    /// Whether the open buffer could take an entry now; to be asked before the entry's effect is decided.
    public func hasRoom(bytes: Int, votes count: Int) -> Bool {
        !isClosed && payload.count + bytes <= Self.rowBytesLimit && Int(votes) + count <= Self.rowVotesLimit
    }

    /// Adds an entry of a campaign with so many votes.
    public mutating func append(_ entry: [UInt8], campaign: CampaignID, votes count: Int) -> Append {
        if isClosed { return .closed }
        guard hasRoom(bytes: entry.count, votes: count) else { return .full }
        payload += entry
        votes += UInt32(count)
        campaigns.insert(campaign)
        return .buffered(lsn: openLSN)
    }

    /// The lsn that a reply given now must wait for, as it may rest on anything applied so far; `nil`: none.
    public var replyDependency: UInt64? {
        if isClosed { return nil }
        return payload.isEmpty ? inFlight?.lsn : openLSN
    }

    /// Seals the open buffer, if nothing is in flight and it holds something; the row is to be submitted.
    public mutating func seal(flush: UInt128) -> SealedRow? {
        guard !isClosed, inFlight == nil, !payload.isEmpty else { return nil }
        let row = SealedRow(
            slot: slot, lsn: openLSN, epoch: epoch, flush: flush, count: votes, campaigns: Array(campaigns),
            payload: payload)
        payload.removeAll()
        votes = 0
        campaigns.removeAll(keepingCapacity: true)
        inFlight = row
        return row
    }

    /// Takes the outcome of a submission (or of a refused one, as `failed`).
    public mutating func answered(_ answer: RowOutcome, at now: Timestamp) -> Action {
        guard !isClosed, answer.slot == slot, let row = inFlight, row.lsn == answer.lsn else { return .ignore }
        switch answer.outcome {
        case .committed:
            inFlight = nil
            failures = 0
            committed = row.lsn
            return .release(through: row.lsn)
        case .failed:
            let doubled = Self.backoffMilliseconds << Int64(min(failures, 10))
            failures += 1
            return .resubmit(at: now.advanced(byMilliseconds: min(doubled, Self.backoffMillisecondsLimit)))
        case .fenced:
            isClosed = true
            inFlight = nil
            payload = []
            votes = 0
            return .close
        }
    }
}
