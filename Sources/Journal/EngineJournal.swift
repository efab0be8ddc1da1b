// The public face of both backends: each call of `Journal` becomes work for the engine.

import Protocol

/// Runs a throwing store call as a `Result`.
func attempt<T>(_ body: () throws(JournalError) -> T) -> Result<T, JournalError> {
    do throws(JournalError) { return .success(try body()) } catch { return .failure(error) }
}

/// A journal that is an engine and someone who runs it.
protocol EngineJournal: Journal {
    var engine: JournalEngine { get }
}

extension EngineJournal {
    /// See `Journal`.
    public func claim(_ slots: [Slot]) async throws(JournalError) -> [SlotClaim] {
        let now = engine.now
        return try await engine.ask { core in
            let result = attempt { () throws(JournalError) in try core.store.claim(slots, now: now()) }
            if case .success(let claims) = result {
                for claim in claims { core.claims[claim.slot] = (claim.epoch, claim.tail) }
            }
            return result
        }
    }

    /// See `Journal`.
    public func submit(_ rows: [SealedRow], completion: @escaping @Sendable ([RowOutcome]) -> Void) -> Bool {
        engine.submit(rows, completion: completion)
    }

    /// See `Journal`.
    public func submitSnapshot(_ job: SnapshotJob, completion: @escaping @Sendable (SnapshotOutcome) -> Void) {
        engine.submit(.snapshot(job, completion))
    }

    /// See `Journal`.
    public func removeCampaign(
        _ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64,
        completion: @escaping @Sendable (SnapshotOutcome) -> Void
    ) {
        engine.submit(.removal(campaign, slot, lsn: lsn, epoch: epoch, completion))
    }

    /// See `Journal`.
    public func index(_ slots: [Slot]) async throws(JournalError) -> [SlotIndex] {
        try await engine.ask { core in attempt { () throws(JournalError) in try core.store.index(slots) } }
    }

    /// See `Journal`.
    public func recover(_ slot: Slot) async throws(JournalError) -> SlotRecovery {
        try await engine.ask { core in attempt { () throws(JournalError) in try core.store.recover(slot) } }
    }

    /// See `Journal`.
    public func snapshot(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> RecoveredSnapshot? {
        try await engine.ask { core in
            attempt { () throws(JournalError) in try core.store.snapshot(of: campaign, slot: slot) }
        }
    }

    /// See `Journal`.
    public func repair(_ slot: Slot, keepThrough lsn: UInt64) async throws(JournalError) -> Int {
        let now = engine.now
        return try await engine.ask { core in
            attempt { () throws(JournalError) in try core.store.repair(slot, keepThrough: lsn, now: now()) }
        }
    }

    /// See `Journal`.
    public func trimHolders() async throws(JournalError) -> [TrimHolder] {
        try await engine.ask { core in attempt { () throws(JournalError) in try core.store.trimHolders() } }
    }

    /// See `Journal`.
    public func expireVoterData(before limit: Timestamp) async throws(JournalError) -> [TrimHolder] {
        try await engine.ask { core in
            attempt { () throws(JournalError) in try core.store.expireVoterData(before: limit) }
        }
    }

    /// See `Journal`.
    public var statistics: JournalStatistics { engine.statistics }

    /// See `Journal`.
    public func close() async {
        await withCheckedContinuation { continuation in engine.close { continuation.resume() } }
    }
}
