// Housekeeping, one thing at a time and never ahead of a flush: snapshots are stored, read back and only then count;
// then rows that no campaign needs go.

import Platform
import Postgres
import Protocol

extension PostgresJournalCore {
    /// Rows that one statement deletes.
    private static let trimRows: Int32 = 1_024
    private static let patience: UInt64 = 30_000_000_000

    func startMaintenance() {
        guard maintaining == nil, !isClosing, !trims.isEmpty || waiting.contains(where: isDue) else { return }
        maintaining = Task(executorPreference: loop) { await self.maintain() }
    }

    private func maintain() async {
        while !isClosing {
            if let due = waiting.firstIndex(where: isDue) {
                await perform(waiting.remove(at: due))
            } else if let slot = trims.popLast() {
                await trim(slot)
            } else {
                break
            }
        }
        maintaining = nil
    }

    private func owner(_ work: Work) -> (slot: Slot, epoch: UInt64, lsn: UInt64)? {
        switch work {
        case .rows: nil
        case .snapshot(let job, _): (job.slot, job.epoch, job.lsn)
        case .removal(_, let slot, let lsn, let epoch, _): (slot, epoch, lsn)
        }
    }

    /// Whether its row has committed, or the slot is not ours any more.
    private func isDue(_ work: Work) -> Bool {
        guard let owner = owner(work), let held = slots[owner.slot], held.epoch == owner.epoch else { return true }
        return held.tail >= owner.lsn
    }

    private func perform(_ work: Work) async {
        guard let owner = owner(work) else { return }
        guard slots[owner.slot]?.epoch == owner.epoch else { return refuse([work], .fenced(owner.slot)) }
        do throws(JournalError) {
            switch work {
            case .rows: break
            case .snapshot(let job, let completion):
                try await store(job)
                figures.withLock { $0.snapshots += 1 }
                completion(.stored)
            case .removal(let campaign, let slot, let lsn, let epoch, let completion):
                try await remove(campaign, slot, lsn: lsn, epoch: epoch)
                completion(.stored)
            }
            if !trims.contains(owner.slot) { trims.append(owner.slot) }
        } catch {
            refuse([work], error)
        }
    }

    private func fence(_ slot: Slot, _ epoch: UInt64) -> [PostgresValue] {
        [.int32(Int32(slot.index)), .uint64(epoch), me]
    }

    // MARK: - Snapshots

    private func store(_ job: SnapshotJob) async throws(JournalError) {
        // Large states take a while to encode: not on the loop that flushes.
        let encoded = await Task.detached(executorPreference: options.beside) { EncodedSnapshot(job) }.value
        let stored = try await query(
            .read, statements.storeSnapshot, fence(job.slot, job.epoch) + encoded.values, within: Self.patience)
        guard stored.rowCount == 1 else { throw try await objection(job) }
        guard try await self.stored(job.campaign, lsn: job.lsn)?.state?.count == encoded.byteCount else {
            throw .io("the snapshot of campaign \(job.campaign) did not read back as written")
        }
        let completed = try await query(
            .read, statements.completeSnapshot,
            fence(job.slot, job.epoch) + [.uuid(job.campaign.uuid.bits), .uint64(job.lsn)])
        guard completed.rowCount == 1 else { throw .fenced(job.slot) }
        _ = try await query(
            .read, statements.pruneSnapshots, fence(job.slot, job.epoch) + [.uuid(job.campaign.uuid.bits)])
    }

    /// Why a snapshot was not taken: another owner, or there is one already.
    private func objection(_ job: SnapshotJob) async throws(JournalError) -> JournalError {
        let found = try await snapshotLSNs(of: job.campaign, slot: job.slot)
        guard found.contains(job.lsn), slots[job.slot]?.epoch == job.epoch else { return .fenced(job.slot) }
        return .io("campaign \(job.campaign) has a snapshot at \(job.lsn)")
    }

    private func remove(
        _ campaign: CampaignID, _ slot: Slot, lsn: UInt64, epoch: UInt64
    ) async throws(JournalError) {
        let removed = try await query(
            .read, statements.removeSnapshots, fence(slot, epoch) + [.uuid(campaign.uuid.bits), .uint64(lsn)])
        guard removed.rowCount == 1 else { throw .fenced(slot) }
    }

    // MARK: - Trimming

    private func trim(_ slot: Slot) async {
        guard let held = slots[slot] else { return }
        do throws(JournalError) {
            let known = try await overview([slot])[slot] ?? SlotOverview()
            let newest = known.rows.values.map(\.last).max() ?? 0
            let point = TrimRule.point(
                newestRow: max(newest, held.tail), holds: known.holders(slot).map(\.holdsAfter))
            guard point > 0 else { return }
            while !isClosing {
                let gone = try await query(
                    .read, statements.trim,
                    fence(slot, held.epoch) + [.uint64(point), .int32(Self.trimRows)])
                if gone.rowCount == 0 { break }
            }
            _ = try await query(.read, statements.forgetRemoved, fence(slot, held.epoch) + [.uint64(point)])
        } catch {
            figures.withLock { figures in
                figures.trimFailures += 1
                figures.lastTrimError = error
            }
            options.onNotice("trimming slot \(slot): \(error)")
        }
    }

    func trimHolders() async throws(JournalError) -> [TrimHolder] {
        let slots = try await slotsWithRows()
        return try await overview(slots).sorted { $0.key < $1.key }.flatMap { $0.value.holders($0.key) }
    }

    private func slotsWithRows() async throws(JournalError) -> [Slot] {
        let result = try await query(.read, statements.slotsWithRows, [me])
        return try Self.reading { () throws(PostgresError) in
            var slots: [Slot] = []
            for row in 0..<result.rowCount { slots.append(try result.slot(row, 0)) }
            return slots
        }
    }

    // MARK: - Voter data

    func expireVoterData(before limit: Timestamp) async throws(JournalError) -> [TrimHolder] {
        let slots = try await slotsWithRows().map { Int32($0.index) }
        _ = try await query(.read, statements.expireSnapshots, [me, .timestamp(limit)], within: Self.patience)
        let rows = try await query(
            .read, statements.oldRows, [.int32Array(slots), .timestamp(limit)], within: Self.patience)
        let snapshots = try await query(
            .read, statements.oldVoterSnapshots, [me, .timestamp(limit)], within: Self.patience)
        return try Self.reading { () throws(PostgresError) in
            var holders: [CampaignID: TrimHolder] = [:]
            for row in 0..<rows.rowCount {
                guard let campaign = Self.unpack(try rows.value(row, 1))?.first else { continue }
                holders[campaign] = try rows.holder(row, campaign)
            }
            for row in 0..<snapshots.rowCount {
                guard let campaign = try snapshots.campaign(row, 1) else { continue }
                holders[campaign] = try snapshots.holder(row, campaign)
            }
            return holders.values.sorted { ($0.slot, $0.campaign) < ($1.slot, $1.campaign) }
        }
    }
}

/// A snapshot as the statement that stores it takes it, after the fence.
private struct EncodedSnapshot: Sendable {
    let values: [PostgresValue]
    let byteCount: Int

    init(_ job: SnapshotJob) {
        let state = job.encode()
        byteCount = state.count
        var checksum = SnapshotHeader(
            campaign: job.campaign, slot: job.slot, lsn: job.lsn, epoch: job.epoch, wakeAt: job.wakeAt,
            holdsVoterData: job.holdsVoterData, byteCount: state.count
        ).checksum
        checksum.add(state)
        values = [
            .uuid(job.campaign.uuid.bits), .uint64(job.lsn), .int32(Int32(SnapshotHeader.format)),
            job.wakeAt.map { .timestamp($0) } ?? .null, .bool(job.holdsVoterData), .int64(Int64(state.count)),
            .uint64(checksum.value), .bytes(state),
        ]
    }
}

extension PostgresResult {
    /// A slot's number in a column.
    func slot(_ row: Int, _ column: Int) throws(PostgresError) -> Slot {
        let number: Int32 = try value(row, column)
        return Slot(UInt16(truncatingIfNeeded: number & 0xFFF))
    }

    /// Slot, lsn and time of a campaign that holds something back, from columns 0, 2 and 3.
    func holder(_ row: Int, _ campaign: CampaignID) throws(PostgresError) -> TrimHolder {
        TrimHolder(
            slot: try slot(row, 0), campaign: campaign, holdsAfter: try value(row, 2), idleSince: try value(row, 3))
    }

    /// A campaign's id in a column; `nil` where it is not one.
    func campaign(_ row: Int, _ column: Int) throws(PostgresError) -> CampaignID? {
        let bits: UInt128 = try value(row, column)
        return UUIDv7(bits: bits).map { CampaignID($0) }
    }
}
