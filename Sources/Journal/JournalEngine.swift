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
    /// How long a slot whose trimming failed is left alone.
    static let trimPauseNanoseconds: UInt64 = 1_000_000_000

    struct Batch: Sendable {
        let rows: [SealedRow]
        let completion: @Sendable ([RowOutcome]) -> Void
    }

    enum Maintenance: Sendable {
        case snapshot(SnapshotJob, @Sendable (SnapshotOutcome) -> Void)
        case removal(CampaignID, Slot, lsn: UInt64, epoch: UInt64, @Sendable (SnapshotOutcome) -> Void)
    }

    typealias Question = @Sendable (inout Core) -> @Sendable () -> Void

    struct Inbox {
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
        /// Slots whose trimming failed, and when the newest of them did.
        var failedTrims: Set<Slot> = []
        var trimFailedAt: UInt64 = 0
        var closed = false
    }

    let inbox = Locked(Inbox())
    private let core: Locked<Core>
    let figures = Locked(JournalStatistics())
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
            retryTrims(&core)
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

    private func shut(_ core: inout Core, _ effects: inout [@Sendable () -> Void]) {
        let refusal = SnapshotOutcome.failed(.unavailable("it is closed"))
        if let completion = core.writing?.completion { effects.append { completion(refusal) } }
        for work in core.waiting { effects.append(Self.finish(work, refusal)) }
        core.writing = nil
        core.waiting = []
        core.store.close()
    }
}
