// The journal is what "accepted" means. A row is durable when its outcome says `committed`, and not a moment before.
//
//   shard ── submit(rows) ──► queue ──► one transaction with everything queued ──► outcomes, once per batch
//         ── submitSnapshot ──► parts between flushes ──► read back ──► complete ──► trim
//
// Implementations: `SQLiteJournal` for a standalone node, `MemoryJournal` its twin for tests and simulation.

public import Protocol

/// The authority over a node's slots: epochs, rows and snapshots.
public protocol Journal: Sendable {
    /// Claims slots. Each gets epoch = max(its epoch + 1, the clock's whole seconds); rows and snapshots of lower
    /// epochs are fenced from then on. Slots not free (owned by another live node) are left out of the answer.
    func claim(_ slots: [Slot]) async throws(JournalError) -> [SlotClaim]

    /// Queues rows; never blocks. `false` when the queue is full or closed: nothing was taken. At most one row of a
    /// slot may be in flight. `completion` is called once, on the journal's thread, with outcomes in the rows' order.
    func submit(_ rows: [SealedRow], completion: @escaping @Sendable ([RowOutcome]) -> Void) -> Bool

    /// Queues a snapshot; it is written when the slot's row `lsn` has committed. `completion` is called once, on the
    /// journal's thread. Flushes go first.
    func submitSnapshot(_ job: SnapshotJob, completion: @escaping @Sendable (SnapshotOutcome) -> Void)

    /// Deletes a removed campaign's snapshots once the row `lsn` that removed it has committed.
    func removeCampaign(
        _ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64,
        completion: @escaping @Sendable (SnapshotOutcome) -> Void)

    /// The campaigns of slots, so that those with deadlines or rows can be opened first.
    func index(_ slots: [Slot]) async throws(JournalError) -> [SlotIndex]

    /// Reads and verifies a slot. Throws `damaged` when something that is needed is damaged or missing.
    func recover(_ slot: Slot) async throws(JournalError) -> SlotRecovery

    /// Reads and verifies the newest intact snapshot of one campaign; `nil` where it has none.
    func snapshot(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> RecoveredSnapshot?

    /// Gives up a slot's rows after `lsn`: they move to quarantine, and empty rows take their place, so that later
    /// snapshots stay usable. For an offline command. Returns how many rows moved.
    func repair(_ slot: Slot, keepThrough lsn: UInt64) async throws(JournalError) -> Int

    /// The campaigns for which rows of claimed slots are kept, all of them; the caller applies the 10-minute rule.
    func trimHolders() async throws(JournalError) -> [TrimHolder]

    /// Deletes snapshots with voter data stored before `limit` where a newer one without exists, and returns the
    /// campaigns that must be snapshotted so that the rest (snapshots and rows stored before `limit`) can go.
    func expireVoterData(before limit: Timestamp) async throws(JournalError) -> [TrimHolder]

    /// Figures for metrics.
    var statistics: JournalStatistics { get }

    /// Flushes what is queued, then closes. Later submissions are refused.
    func close() async
}
