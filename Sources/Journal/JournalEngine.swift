// The shell between a journal's callers and its store: a bounded inbox, and turns. One turn flushes everything
// queued in one transaction, then answers the questions asked, then does one small step of snapshot or trimming, so
// that no snapshot, however large, delays a flush by more than one part.

import Platform
import Protocol

/// Batches and schedules the work of one store. Whoever runs it calls `turn` until it answers `false`.
final class JournalEngine: Sendable {
    /// Rows and payload bytes that may wait; beyond, `submit` refuses.
    static let queuedRowsLimit = 65_536
    static let queuedBytesLimit = 256 << 20
    /// Snapshots and removals that may wait.
    static let maintenanceLimit = 8_192
    /// Rows that one step of trimming deletes.
    static let trimStepRows = 64

    struct Batch: Sendable {
        let rows: [SealedRow]
        let completion: @Sendable ([RowOutcome]) -> Void
    }

    enum Maintenance: Sendable {
        case snapshot(SnapshotJob, @Sendable (SnapshotOutcome) -> Void)
        case removal(CampaignID, Slot, lsn: UInt64, epoch: UInt64, @Sendable (SnapshotOutcome) -> Void)
    }

    typealias Question = @Sendable (inout Core) -> @Sendable () -> Void

    private struct Inbox {
        var batches: [Batch] = []
        var questions: [Question] = []
        var maintenance: [Maintenance] = []
        var queuedRows = 0
        var queuedBytes = 0
        var maintenanceCount = 0
        var closed = false
    }

    /// A snapshot that is being written, then read back.
    struct Writing {
        let header: SnapshotHeader
        let state: [UInt8]
        let completion: @Sendable (SnapshotOutcome) -> Void
        var written = 0
        var verified = 0
        var readBack: Checksum
    }

    /// What only the running turn touches.
    struct Core {
        let store: any JournalStore
        var claims: [Slot: (epoch: UInt64, tail: UInt64)] = [:]
        var waiting: [Maintenance] = []
        var writing: Writing?
        var trims: [Slot] = []
        var closed = false
    }

    private let inbox = Locked(Inbox())
    private let core: Locked<Core>
    private let figures = Locked(JournalStatistics())
    /// Wall clock, for epochs and ages.
    let now: @Sendable () -> Timestamp
    /// Monotonic nanoseconds, for latencies.
    let nanoseconds: @Sendable () -> UInt64
    /// Tells the runner that there is work; may run turns itself.
    private let wake: @Sendable () -> Void

    init(
        store: sending any JournalStore, now: @escaping @Sendable () -> Timestamp,
        nanoseconds: @escaping @Sendable () -> UInt64, wake: @escaping @Sendable () -> Void
    ) {
        core = Locked(Core(store: store))
        self.now = now
        self.nanoseconds = nanoseconds
        self.wake = wake
    }

    func submit(_ rows: [SealedRow], completion: @escaping @Sendable ([RowOutcome]) -> Void) -> Bool {
        var size = 0
        for row in rows { size += row.payload.count }
        let (bytes, count) = (size, rows.count)
        let taken = inbox.withLock { inbox in
            guard !inbox.closed, inbox.queuedRows + count <= Self.queuedRowsLimit,
                inbox.queuedBytes + bytes <= Self.queuedBytesLimit
            else { return false }
            inbox.batches.append(Batch(rows: rows, completion: completion))
            inbox.queuedRows += count
            inbox.queuedBytes += bytes
            return true
        }
        if taken { wake() }
        return taken
    }

    func submit(_ work: Maintenance) {
        let taken = inbox.withLock { inbox in
            guard !inbox.closed, inbox.maintenanceCount < Self.maintenanceLimit else { return false }
            inbox.maintenance.append(work)
            inbox.maintenanceCount += 1
            return true
        }
        if taken { wake() } else { Self.finish(work, .failed(.unavailable("too many snapshots wait, or closed")))() }
    }

    /// Runs `body` on the journal's thread between flushes.
    func ask<T: Sendable>(
        _ body: @escaping @Sendable (inout Core) -> Result<T, JournalError>
    ) async throws(JournalError) -> T {
        let result: Result<T, JournalError> = await withCheckedContinuation { continuation in
            let taken = inbox.withLock { inbox in
                guard !inbox.closed else { return false }
                inbox.questions.append { core in
                    let answer = body(&core)
                    return { continuation.resume(returning: answer) }
                }
                return true
            }
            if taken { wake() } else { continuation.resume(returning: .failure(.unavailable("it is closed"))) }
        }
        return try result.get()
    }

    var statistics: JournalStatistics {
        let queued = inbox.withLock { $0.queuedRows }
        return figures.withLock { figures in
            var copy = figures
            copy.queuedRows = queued
            return copy
        }
    }

    /// Refuses new work; the runner's next turns finish what is queued and close the store, then call `done`.
    func close(_ done: @escaping @Sendable () -> Void) {
        let first = inbox.withLock { inbox in
            guard !inbox.closed else { return false }
            inbox.questions.append { core in
                core.closed = true
                return done
            }
            inbox.closed = true
            return true
        }
        if first { wake() } else { done() }
    }

    enum Turn {
        case more, idle, closed
    }

    /// One turn; `more` while there is something to do at once.
    func turn() -> Turn {
        let (batches, questions, maintenance) = inbox.withLock { inbox in
            defer {
                inbox.batches.removeAll(keepingCapacity: true)
                inbox.questions.removeAll(keepingCapacity: true)
                inbox.maintenance.removeAll(keepingCapacity: true)
                inbox.queuedRows = 0
                inbox.queuedBytes = 0
            }
            return (inbox.batches, inbox.questions, inbox.maintenance)
        }
        var effects: [@Sendable () -> Void] = []
        let turn: Turn = core.withLock { core in
            core.waiting.append(contentsOf: maintenance)
            if !batches.isEmpty { flush(batches, &core, &effects) }
            for question in questions { effects.append(question(&core)) }
            if core.closed {
                shut(&core, &effects)
                return .closed
            }
            if step(&core, &effects) { return .more }
            if batches.isEmpty {
                core.store.idle()
                return .idle
            }
            return .more
        }
        for effect in effects { effect() }
        return turn
    }

    private func flush(_ batches: [Batch], _ core: inout Core, _ effects: inout [@Sendable () -> Void]) {
        let started = nanoseconds()
        let rows = batches.count == 1 ? batches[0].rows : batches.flatMap(\.rows)
        let outcomes = core.store.flush(rows, now: now())
        let took = nanoseconds() &- started
        figures.withLock { figures in
            var committed = false
            for (row, outcome) in zip(rows, outcomes) {
                switch outcome {
                case .committed:
                    committed = true
                    figures.rows += 1
                    figures.votes += UInt64(row.count)
                    figures.bytes += UInt64(row.payload.count)
                case .fenced: figures.fencedRows += 1
                case .failed(let error):
                    figures.failedRows += 1
                    figures.lastError = error
                }
            }
            guard committed else { return }
            figures.flushes += 1
            figures.lastError = nil
            figures.latencyNanoseconds &+= took
            var bucket = 0
            while bucket < figures.latencyBuckets.count - 1, took >= 64_000 << UInt64(bucket) { bucket += 1 }
            figures.latencyBuckets[bucket] += 1
        }
        var start = 0
        for batch in batches {
            var answers: [RowOutcome] = []
            answers.reserveCapacity(batch.rows.count)
            for (row, outcome) in zip(batch.rows, outcomes[start...]) {
                answers.append(RowOutcome(slot: row.slot, lsn: row.lsn, outcome: outcome))
                switch outcome {
                case .committed: core.claims[row.slot, default: (row.epoch, 0)].tail = row.lsn
                case .fenced: if core.claims[row.slot]?.epoch == row.epoch { core.claims[row.slot] = nil }
                case .failed: break
                }
            }
            start += batch.rows.count
            let completed = answers
            effects.append { batch.completion(completed) }
        }
    }

    /// One part of a snapshot, one removal or one step of trimming; `false` when none is due.
    private func step(_ core: inout Core, _ effects: inout [@Sendable () -> Void]) -> Bool {
        if core.writing != nil {
            advance(&core, &effects)
            return true
        }
        if let slot = core.trims.last {
            guard let claim = core.claims[slot] else {
                core.trims.removeLast()
                return true
            }
            let more = try? core.store.trim(slot, epoch: claim.epoch, limit: Self.trimStepRows)
            if more != true { core.trims.removeLast() }
            return true
        }
        guard let due = core.waiting.firstIndex(where: { Self.isDue($0, core) }) else { return false }
        let work = core.waiting.remove(at: due)
        inbox.withLock { $0.maintenanceCount -= 1 }
        let (slot, epoch) = Self.owner(work)
        guard core.claims[slot]?.epoch == epoch else {
            effects.append(Self.finish(work, .failed(.fenced(slot))))
            return true
        }
        switch work {
        case .snapshot(let job, let completion):
            let state = job.encode()
            let header = SnapshotHeader(
                campaign: job.campaign, slot: slot, lsn: job.lsn, epoch: epoch, wakeAt: job.wakeAt,
                holdsVoterData: job.holdsVoterData, byteCount: state.count)
            core.writing = Writing(
                header: header, state: state, completion: completion, readBack: header.checksum)
        case .removal(let campaign, _, let lsn, _, _):
            do throws(JournalError) {
                try core.store.removeCampaign(campaign, slot: slot, lsn: lsn, epoch: epoch)
                core.trims.append(slot)
                effects.append(Self.finish(work, .stored))
            } catch {
                effects.append(Self.finish(work, .failed(error)))
            }
        }
        return true
    }

    private func advance(_ core: inout Core, _ effects: inout [@Sendable () -> Void]) {
        guard var writing = core.writing else { return }
        core.writing = nil
        let header = writing.header
        do throws(JournalError) {
            if writing.written < header.partCount {
                let start = writing.written * SnapshotHeader.partBytes
                let end = min(start + SnapshotHeader.partBytes, header.byteCount)
                let part = Array(writing.state[start..<end])
                try core.store.storePart(header, index: writing.written, bytes: part, now: now())
                writing.written += 1
                core.writing = writing
            } else if writing.verified < header.partCount {
                writing.readBack.add(try core.store.readPart(header, index: writing.verified))
                writing.verified += 1
                core.writing = writing
            } else {
                var expected = header.checksum
                expected.add(writing.state)
                guard expected.value == writing.readBack.value else {
                    throw .io("the snapshot of campaign \(header.campaign) did not read back as written")
                }
                try core.store.completeSnapshot(header, checksum: expected.value, now: now())
                figures.withLock { $0.snapshots += 1 }
                if !core.trims.contains(header.slot) { core.trims.append(header.slot) }
                let completion = writing.completion
                effects.append { completion(.stored) }
            }
        } catch {
            let completion = writing.completion
            effects.append { completion(.failed(error)) }
        }
    }

    private func shut(_ core: inout Core, _ effects: inout [@Sendable () -> Void]) {
        let refusal = SnapshotOutcome.failed(.unavailable("it is closed"))
        if let completion = core.writing?.completion { effects.append { completion(refusal) } }
        for work in core.waiting { effects.append(Self.finish(work, refusal)) }
        core.writing = nil
        core.waiting = []
        core.store.close()
    }

    private static func isDue(_ work: Maintenance, _ core: Core) -> Bool {
        let (slot, epoch) = owner(work)
        guard let claim = core.claims[slot], claim.epoch == epoch else { return true }
        switch work {
        case .snapshot(let job, _): return claim.tail >= job.lsn
        case .removal(_, _, let lsn, _, _): return claim.tail >= lsn
        }
    }

    private static func owner(_ work: Maintenance) -> (Slot, UInt64) {
        switch work {
        case .snapshot(let job, _): (job.slot, job.epoch)
        case .removal(_, let slot, _, let epoch, _): (slot, epoch)
        }
    }

    private static func finish(_ work: Maintenance, _ outcome: SnapshotOutcome) -> @Sendable () -> Void {
        switch work {
        case .snapshot(_, let completion): { completion(outcome) }
        case .removal(_, _, _, _, let completion): { completion(outcome) }
        }
    }
}

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
