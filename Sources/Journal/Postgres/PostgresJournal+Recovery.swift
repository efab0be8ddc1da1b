// Reading slots back. What the journal knows of campaigns is made of its checksummed rows; there is no bookkeeping
// beside them that could be wrong.

import Platform
import Postgres
import Protocol

/// What is known of a slot's campaigns without their states.
struct SlotOverview: Sendable {
    struct Header: Sendable {
        let header: SnapshotHeader
        let checksum: UInt64
        /// Which of the campaign's snapshots it was, from 1.
        let ordinal: Int32
    }

    /// Complete snapshots, newest first.
    var snapshots: [CampaignID: [Header]] = [:]
    var rows: [CampaignID: CampaignRows] = [:]
    var removed: [CampaignID: UInt64] = [:]

    static func readHeaders(
        _ headers: PostgresResult, into found: inout [Slot: SlotOverview]
    ) throws(PostgresError) {
        for row in 0..<headers.rowCount {
            let slot = try headers.slot(row, 0)
            guard let campaign = try headers.campaign(row, 1) else { continue }
            let bytes: Int64 = try headers.value(row, 7)
            let header = SnapshotHeader(
                campaign: campaign, slot: slot, lsn: try headers.value(row, 2), epoch: try headers.value(row, 3),
                wakeAt: try headers.optional(row, 5), holdsVoterData: try headers.value(row, 6),
                byteCount: Int(bytes))
            found[slot, default: SlotOverview()].snapshots[campaign, default: []].append(
                .init(header: header, checksum: try headers.value(row, 8), ordinal: try headers.value(row, 4)))
        }
    }

    static func readRemoved(
        _ removed: PostgresResult, into found: inout [Slot: SlotOverview]
    ) throws(PostgresError) {
        for row in 0..<removed.rowCount {
            guard let campaign = try removed.campaign(row, 1) else { continue }
            found[try removed.slot(row, 0), default: SlotOverview()].removed[campaign] = try removed.value(row, 2)
        }
    }

    static func readRows(_ rows: PostgresResult, into found: inout [Slot: SlotOverview]) throws(PostgresError) {
        for row in 0..<rows.rowCount {
            let slot = try rows.slot(row, 0)
            guard let campaign = PostgresJournalCore.unpack(try rows.value(row, 1))?.first else { continue }
            let overview = found[slot] ?? SlotOverview()
            let snapshots = overview.snapshots[campaign] ?? []
            let isWhole = snapshots.isEmpty || snapshots.count == 1 && snapshots[0].ordinal == 1
            found[slot, default: SlotOverview()].rows[campaign] = CampaignRows(
                first: try rows.value(row, 2), last: try rows.value(row, 3), fromCreation: isWhole,
                storedAt: try rows.value(row, 4), removed: overview.removed[campaign])
        }
    }

    func holders(_ slot: Slot) -> [TrimHolder] {
        rows.sorted { $0.key < $1.key }.compactMap { campaign, rows in
            let lsns = (snapshots[campaign] ?? []).map(\.header.lsn)
            return TrimRule.holdsAfter(rows, snapshots: lsns).map {
                TrimHolder(slot: slot, campaign: campaign, holdsAfter: $0, idleSince: rows.storedAt)
            }
        }
    }
}

/// A snapshot as it was read; `state` is `nil` where it does not match its checksum.
struct StoredSnapshot: Sendable {
    let header: SnapshotHeader
    let state: [UInt8]?
}

/// A row as it was read; `nil` where it does not match its checksum.
struct ReadRow: Sendable {
    let lsn: UInt64
    let row: SealedRow?
}

extension PostgresJournalCore {
    /// Rows that one statement of a recovery reads.
    private static let readRows: Int32 = 512
    private static let patience: UInt64 = 60_000_000_000

    /// What is known of slots, without states and payloads.
    func overview(_ wanted: [Slot]) async throws(JournalError) -> [Slot: SlotOverview] {
        guard !wanted.isEmpty else { return [:] }
        let slots = [PostgresValue.int32Array(wanted.map { Int32($0.index) })]
        let headers = try await query(.read, statements.snapshotHeaders, slots, within: Self.patience)
        let removed = try await query(.read, statements.removedCampaigns, slots, within: Self.patience)
        let rows = try await query(.read, statements.campaignRows, slots, within: Self.patience)
        return try Self.reading { () throws(PostgresError) in
            var found: [Slot: SlotOverview] = [:]
            try SlotOverview.readHeaders(headers, into: &found)
            try SlotOverview.readRemoved(removed, into: &found)
            try SlotOverview.readRows(rows, into: &found)
            return found
        }
    }

    private func tails(_ wanted: [Slot]) async throws(JournalError) -> [Slot: UInt64] {
        let read = try await query(
            .read, statements.tails, [.int32Array(wanted.map { Int32($0.index) })], within: Self.patience)
        return try Self.reading { () throws(PostgresError) in
            var tails: [Slot: UInt64] = [:]
            for row in 0..<read.rowCount { tails[try read.slot(row, 0)] = try read.value(row, 1) }
            return tails
        }
    }

    func index(_ wanted: [Slot]) async throws(JournalError) -> [SlotIndex] {
        guard !wanted.isEmpty else { return [] }
        let found = try await overview(wanted)
        let tails = try await tails(wanted)
        return wanted.map { slot in
            let overview = found[slot] ?? SlotOverview()
            var entries: [CampaignEntry] = []
            for campaign in Set(overview.snapshots.keys).union(overview.rows.keys).sorted() {
                guard overview.removed[campaign] == nil else { continue }
                let newest = overview.snapshots[campaign]?.first?.header
                entries.append(
                    CampaignEntry(
                        campaign: campaign, snapshotLSN: newest?.lsn, wakeAt: newest?.wakeAt,
                        hasRowsAfter: (overview.rows[campaign]?.last ?? 0) > newest?.lsn ?? 0))
            }
            return SlotIndex(slot: slot, tail: tails[slot] ?? 0, campaigns: entries)
        }
    }

    func recover(_ slot: Slot) async throws(JournalError) -> SlotRecovery {
        let tail = try await tails([slot])[slot] ?? 0
        let overview = try await overview([slot])[slot] ?? SlotOverview()
        var plan = RecoveryPlan(slot: slot, tail: tail)
        for campaign in overview.snapshots.keys.sorted() {
            for known in overview.snapshots[campaign] ?? [] {
                if plan.has(campaign, newerThan: known.header.lsn) { break }
                let state = try await stored(campaign, lsn: known.header.lsn)?.state
                plan.snapshotRead(campaign, lsn: known.header.lsn, state: state ?? [], isIntact: state != nil)
            }
        }
        var campaigns = overview.rows.map { (campaign: $0.key, rows: $0.value) }
        for (campaign, lsn) in overview.removed where overview.rows[campaign] == nil {
            let rows = CampaignRows(
                first: lsn, last: lsn, fromCreation: false, storedAt: Timestamp(milliseconds: 0), removed: lsn)
            campaigns.append((campaign: campaign, rows: rows))
        }
        var start = try plan.startPoint(campaigns)
        while true {
            let rows = try await rows(of: slot, after: start)
            for read in rows { try plan.rowRead(lsn: read.lsn, read.row) }
            guard rows.count == Int(Self.readRows), let last = rows.last else { break }
            start = last.lsn
        }
        return try plan.finish()
    }

    private func rows(of slot: Slot, after lsn: UInt64) async throws(JournalError) -> [ReadRow] {
        let result = try await query(
            .read, statements.rowsAfter, [.int32(Int32(slot.index)), .uint64(lsn), .int32(Self.readRows)],
            within: Self.patience)
        return try Self.reading { () throws(PostgresError) in
            var rows: [ReadRow] = []
            rows.reserveCapacity(result.rowCount)
            for index in 0..<result.rowCount {
                let lsn: UInt64 = try result.value(index, 0)
                rows.append(ReadRow(lsn: lsn, row: try Self.row(slot, lsn, result, index)))
            }
            return rows
        }
    }

    /// `nil` where the row does not match its checksum.
    static func row(
        _ slot: Slot, _ lsn: UInt64, _ result: PostgresResult, _ index: Int
    ) throws(PostgresError) -> SealedRow? {
        let count: Int32 = try result.value(index, 3)
        guard lsn > 0, lsn < 1 << 48, let campaigns = unpack(try result.value(index, 4)) else { return nil }
        let row = SealedRow(
            slot: slot, lsn: lsn, epoch: try result.value(index, 1), flush: try result.value(index, 2),
            count: UInt32(bitPattern: count), campaigns: campaigns, payload: try result.value(index, 5))
        let checksum: UInt64 = try result.value(index, 6)
        return row.checksum == checksum ? row : nil
    }

    /// A snapshot as it is stored.
    func stored(_ campaign: CampaignID, lsn: UInt64) async throws(JournalError) -> StoredSnapshot? {
        let result = try await query(
            .read, statements.snapshotState, [.uuid(campaign.uuid.bits), .uint64(lsn)], within: Self.patience)
        return try Self.reading { () throws(PostgresError) in
            guard result.rowCount == 1, let campaign = try result.campaign(0, 1) else { return nil }
            let bytes: Int64 = try result.value(0, 6)
            let header = SnapshotHeader(
                campaign: campaign, slot: try result.slot(0, 0), lsn: try result.value(0, 2),
                epoch: try result.value(0, 3), wakeAt: try result.optional(0, 4),
                holdsVoterData: try result.value(0, 5), byteCount: Int(bytes))
            let state: [UInt8] = try result.value(0, 8)
            let checksum: UInt64 = try result.value(0, 7)
            var found = header.checksum
            found.add(state)
            let isIntact = found.value == checksum && state.count == header.byteCount
            return StoredSnapshot(header: header, state: isIntact ? state : nil)
        }
    }

    /// The lsns of a campaign's complete snapshots, newest first.
    func snapshotLSNs(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> [UInt64] {
        let result = try await query(
            .read, statements.newestSnapshots, [.int32(Int32(slot.index)), .uuid(campaign.uuid.bits)])
        return try Self.reading { () throws(PostgresError) in
            var lsns: [UInt64] = []
            for row in 0..<result.rowCount { lsns.append(try result.value(row, 0)) }
            return lsns
        }
    }

    func snapshot(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> RecoveredSnapshot? {
        for lsn in try await snapshotLSNs(of: campaign, slot: slot) {
            guard let state = try await stored(campaign, lsn: lsn)?.state else { continue }
            return RecoveredSnapshot(campaign: campaign, lsn: lsn, state: state)
        }
        return nil
    }

    // MARK: - Repair

    func repair(_ slot: Slot, keepThrough lsn: UInt64) async throws(JournalError) -> Int {
        let tail = try await tails([slot])[slot] ?? 0
        let statements = statements
        let limit = deadline(Self.patience)
        let range: [PostgresValue] = [.int32(Int32(slot.index)), .uint64(lsn)]
        do throws(PostgresError) {
            return try await pool.transaction(.read, deadline: limit) {
                transaction async throws(PostgresError) -> Int in
                let locked = try await transaction.execute(
                    statements.lockSlots, [.int32Array([Int32(slot.index)])], deadline: limit)
                let epoch: UInt64 = try locked.value(0, 1)
                _ = try await transaction.execute(statements.quarantine, range, deadline: limit)
                let moved = try await transaction.execute(statements.deleteAfter, range, deadline: limit)
                guard lsn < tail else { return moved.rowCount }
                _ = try await transaction.execute(
                    statements.insertFiller, Self.fillers(slot, lsn + 1...tail, epoch: epoch), deadline: limit)
                return moved.rowCount
            }
        } catch {
            throw JournalError(error)
        }
    }

    /// Empty rows for the places of those that were given up.
    private static func fillers(_ slot: Slot, _ places: ClosedRange<UInt64>, epoch: UInt64) -> [PostgresValue] {
        let rows = places.map { place in
            SealedRow(slot: slot, lsn: place, epoch: epoch, flush: 0, count: 0, campaigns: [], payload: [])
        }
        return [
            .int32(Int32(slot.index)), .uint64Array(rows.map(\.lsn)), .uint64(epoch),
            .uint64Array(rows.map(\.checksum)),
        ]
    }
}
