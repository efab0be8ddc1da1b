// Flushing: everything that has gathered for a connection leaves in one statement; while it is under way the next
// gathers. Nothing waits for a timer.

import Platform
import Postgres
import Protocol

/// What is queued for one flush connection.
final class FlushLane {
    struct Entry {
        let row: SealedRow
        let batch: FlushBatch
        let place: Int
    }

    let index: Int
    let comparisons = TailComparisons()
    var queue: [Entry] = []
    var task: Task<Void, Never>?
    var breaker = CircuitBreaker()

    init(index: Int) { self.index = index }
}

/// How often the tails of a lane's slots were compared with the server's.
final class TailComparisons: Sendable {
    private let value = Locked<UInt64>(0)

    var count: UInt64 { value.withLock { $0 } }
    func add() { value.withLock { $0 += 1 } }
}

/// Rows that were submitted together and are answered together.
final class FlushBatch {
    let rows: [SealedRow]
    private var outcomes: [FlushOutcome?]
    private var remaining: Int
    let completion: @Sendable ([RowOutcome]) -> Void

    init(_ rows: [SealedRow], _ completion: @escaping @Sendable ([RowOutcome]) -> Void) {
        self.rows = rows
        outcomes = Array(repeating: nil, count: rows.count)
        remaining = rows.count
        self.completion = completion
    }

    /// Takes one outcome; returns all of them with the last.
    func settle(_ place: Int, _ outcome: FlushOutcome) -> [RowOutcome]? {
        guard outcomes[place] == nil else { return nil }
        outcomes[place] = outcome
        remaining -= 1
        guard remaining == 0 else { return nil }
        return zip(rows, outcomes).map { row, outcome in
            RowOutcome(slot: row.slot, lsn: row.lsn, outcome: outcome ?? .failed(.unavailable("no answer")))
        }
    }
}

extension PostgresJournalCore {
    /// Rows and bytes of one statement.
    private static let flushRowsLimit = 4_096
    private static let flushBytesLimit = 16 << 20

    func enqueue(_ rows: [SealedRow], _ completion: @escaping @Sendable ([RowOutcome]) -> Void) {
        let batch = FlushBatch(rows, completion)
        for (place, row) in rows.enumerated() {
            lanes[Int(row.slot.index) % lanes.count].queue.append(.init(row: row, batch: batch, place: place))
        }
    }

    func startLanes() {
        for lane in lanes where lane.task == nil && !lane.queue.isEmpty {
            let index = lane.index
            lane.task = Task(executorPreference: loop) { await self.drain(index) }
        }
    }

    private func drain(_ index: Int) async {
        let lane = lanes[index]
        while !lane.queue.isEmpty {
            var (count, bytes) = (0, 0)
            while count < lane.queue.count, count < Self.flushRowsLimit, bytes < Self.flushBytesLimit {
                bytes += lane.queue[count].row.payload.count
                count += 1
            }
            let entries = Array(lane.queue[..<count])
            lane.queue.removeFirst(count)
            let startedAt = loop.monotonic.nanoseconds
            let outcomes = await flush(entries.map(\.row), lane)
            note(entries, outcomes, nanoseconds: loop.monotonic.nanoseconds - startedAt)
            for (entry, outcome) in zip(entries, outcomes) {
                guard let answer = entry.batch.settle(entry.place, outcome) else { continue }
                let completion = entry.batch.completion
                // A failure shows nothing. Withheld, it would let its slot take votes that cannot be confirmed. Of a batch
                // that was stored in part it has to wait: a batch is answered as one.
                if answer.allSatisfy(\.outcome.isFailure) { completion(answer) } else { tell { completion(answer) } }
            }
            startMaintenance()
        }
        lane.task = nil
    }

    /// What became of each row.
    private func flush(_ rows: [SealedRow], _ lane: FlushLane) async -> [FlushOutcome] {
        let plan = place(rows, lane)
        guard !plan.inserted.isEmpty || !plan.lookedUp.isEmpty else { return fill(plan.outcomes, .fenced) }
        // A node that was declared dead holds no slot any more: all that is left to it is to look up its rows.
        guard holdsLease || lease.isLost else { return fill(plan.outcomes, .failed(.suspended)) }
        guard lane.breaker.admits(at: clock.monotonic().nanoseconds) else {
            return fill(plan.outcomes, .failed(.unavailable("the database was just found in trouble")))
        }
        var outcomes = plan.outcomes
        // Whoever was admitted says how it went, on every way out.
        do throws(PostgresError) {
            try await send(rows, plan, lane, &outcomes)
            lane.breaker.succeeded()
            return fill(outcomes, .fenced)
        } catch {
            let spread = Double(random.next() >> 11) / Double(1 << 53)
            lane.breaker.failed(at: clock.monotonic().nanoseconds, spread: spread)
            return fill(outcomes, .failed(JournalError(error)))
        }
    }

    private func send(
        _ rows: [SealedRow], _ first: Plan, _ lane: FlushLane, _ outcomes: inout [FlushOutcome?]
    ) async throws(PostgresError) {
        var plan = first
        while !plan.inserted.isEmpty {
            if let committed = try await insert(plan.inserted.map { rows[$0] }, lane, plan.comparison) {
                for (index, isCommitted) in zip(plan.inserted, committed) {
                    if isCommitted { outcomes[index] = .committed } else { plan.lookedUp.append(index) }
                }
                break
            }
            guard holdsLease || lease.isLost else {
                throw PostgresError(.notSent, .connectionLost, "the node's lease has lapsed")
            }
            plan = place(rows, lane)
            outcomes = plan.outcomes
        }
        guard !plan.lookedUp.isEmpty else { return }
        // A later statement: it sees what was committed while the first one waited for its locks.
        let committed = try await lookUp(plan.lookedUp.map { rows[$0] }, lane)
        for (index, isCommitted) in zip(plan.lookedUp, committed) where isCommitted { outcomes[index] = .committed }
    }

    private func fill(_ outcomes: [FlushOutcome?], _ rest: FlushOutcome) -> [FlushOutcome] {
        outcomes.map { $0 ?? rest }
    }

    /// Places of rows in what is to be flushed.
    private struct Plan {
        /// What is known already.
        var outcomes: [FlushOutcome?]
        /// Of how many comparisons of tails it knows.
        let comparison: UInt64
        /// Those that extend their slot's tail.
        var inserted: [Int] = []
        /// Those that can only have been committed before. Inserted, they could leave a gap in their slot, or come back
        /// where rows were trimmed.
        var lookedUp: [Int] = []
    }

    /// Decides what is to be done with each row, and refuses those that do not follow their slot's tail.
    private func place(_ rows: [SealedRow], _ lane: FlushLane) -> Plan {
        var plan = Plan(outcomes: Array(repeating: nil, count: rows.count), comparison: lane.comparisons.count)
        var tails: [Slot: UInt64] = [:]
        for (index, row) in rows.enumerated() {
            guard let held = slots[row.slot], held.epoch == row.epoch else {
                plan.lookedUp.append(index)
                continue
            }
            let tail = tails[row.slot] ?? held.tail
            if row.lsn <= tail {
                plan.lookedUp.append(index)
            } else if row.lsn == tail + 1 {
                tails[row.slot] = row.lsn
                plan.inserted.append(index)
            } else {
                plan.outcomes[index] = .failed(.outOfOrder(row.slot, lsn: row.lsn, tail: tail))
            }
        }
        return plan
    }

    /// Sends the fenced statement; for each row whether it was inserted. Rows that were placed behind a tail must not be
    /// sent once the tails were compared anew: the server may have lost what they follow, and they would leave a gap.
    /// - Returns: `nil` where nothing was sent for that reason: the rows are to be placed again.
    private func insert(
        _ rows: [SealedRow], _ lane: FlushLane, _ comparison: UInt64
    ) async throws(PostgresError) -> [Bool]? {
        let values: [PostgresValue] = [
            .int32Array(rows.map { Int32($0.slot.index) }), .uint64Array(rows.map(\.lsn)),
            .uint64Array(rows.map(\.epoch)), .uuidArray(rows.map(\.flush)),
            .int32Array(rows.map { Int32(bitPattern: $0.count) }),
            .bytesArray(rows.map { Self.pack($0.campaigns) }), .bytesArray(rows.map(\.payload)),
            .uint64Array(rows.map(\.checksum)), .uuid(identity.incarnation),
        ]
        let limit = deadline(options.flushNanoseconds)
        let sent: PostgresResult? = try await pool.withConnection(.flush(lane.index), deadline: limit) {
            [comparisons = lane.comparisons, statement = statements.flush] connection async throws(PostgresError) in
            guard comparisons.count == comparison else { return nil }
            return try await connection.execute(statement, values, deadline: limit)
        }
        guard let result = sent else { return nil }
        var inserted: Set<RowPlace> = []
        for row in 0..<result.rowCount {
            inserted.insert(RowPlace(slot: try result.value(row, 0), lsn: try result.value(row, 1)))
        }
        return rows.map { inserted.contains(RowPlace($0)) }
    }

    /// For each row whether exactly it is in the journal.
    private func lookUp(_ rows: [SealedRow], _ lane: FlushLane) async throws(PostgresError) -> [Bool] {
        let found = try await pool.execute(
            .flush(lane.index), statements.lookUp,
            [.int32Array(rows.map { Int32($0.slot.index) }), .uint64Array(rows.map(\.lsn))],
            deadline: deadline(options.flushNanoseconds))
        var stored: [RowPlace: (flush: UInt128, checksum: UInt64)] = [:]
        for row in 0..<found.rowCount {
            let place = RowPlace(slot: try found.value(row, 0), lsn: try found.value(row, 1))
            stored[place] = (try found.value(row, 2), try found.value(row, 3))
        }
        return rows.map { row in
            guard let held = stored[RowPlace(row)] else { return false }
            return held.flush == row.flush && held.checksum == row.checksum
        }
    }

    private func note(_ entries: [FlushLane.Entry], _ outcomes: [FlushOutcome], nanoseconds: UInt64) {
        var hasCommitted = false
        figures.withLock { figures in
            for (entry, outcome) in zip(entries, outcomes) {
                switch outcome {
                case .committed:
                    hasCommitted = true
                    figures.rows += 1
                    figures.votes += UInt64(entry.row.count)
                    figures.bytes += UInt64(entry.row.payload.count)
                case .fenced: figures.fencedRows += 1
                case .failed(let error):
                    figures.failedRows += 1
                    figures.lastError = error
                }
            }
            guard hasCommitted else { return }
            figures.flushes += 1
            figures.lastError = nil
            figures.latencyNanoseconds &+= nanoseconds
            var bucket = 0
            while bucket < figures.latencyBuckets.count - 1, nanoseconds >= 64_000 << UInt64(bucket) { bucket += 1 }
            figures.latencyBuckets[bucket] += 1
        }
        for (entry, outcome) in zip(entries, outcomes) {
            let row = entry.row
            guard var held = slots[row.slot], held.epoch == row.epoch else { continue }
            switch outcome {
            case .committed:
                if row.lsn > held.tail { held.recent.append(row.count) }
                held.tail = max(held.tail, row.lsn)
                slots[row.slot] = held
            case .fenced:
                // Of a place before the tail it says nothing about the slot's owner.
                if row.lsn > held.tail { slots[row.slot] = nil }
            case .failed: break
            }
        }
    }

    /// Ids of campaigns, 16 bytes each, most significant byte first.
    static func pack(_ campaigns: [CampaignID]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 * campaigns.count)
        for campaign in campaigns {
            for shift in stride(from: 120, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: campaign.uuid.bits >> UInt128(shift)))
            }
        }
        return bytes
    }

    /// `nil` where the bytes cannot be a list of campaigns.
    static func unpack(_ bytes: [UInt8]) -> [CampaignID]? {
        guard bytes.count % 16 == 0 else { return nil }
        var campaigns: [CampaignID] = []
        for start in stride(from: 0, to: bytes.count, by: 16) {
            var bits: UInt128 = 0
            for byte in bytes[start..<start + 16] { bits = bits << 8 | UInt128(byte) }
            guard let uuid = UUIDv7(bits: bits) else { return nil }
            campaigns.append(CampaignID(uuid))
        }
        return campaigns
    }
}

/// A row's place in the journal, as the server says it.
private struct RowPlace: Hashable {
    let slot: Int32
    let lsn: UInt64

    init(slot: Int32, lsn: UInt64) {
        self.slot = slot
        self.lsn = lsn
    }

    init(_ row: SealedRow) {
        slot = Int32(row.slot.index)
        lsn = row.lsn
    }
}
