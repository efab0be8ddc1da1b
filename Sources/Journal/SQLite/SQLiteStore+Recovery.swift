// Reading a slot back: verified snapshots, then every later row without a gap; and giving up what is damaged.

import Platform
import Protocol

extension SQLiteStore {
    func index(_ slots: [Slot]) throws(JournalError) -> [SlotIndex] {
        let connection = try connection()
        var indexes: [SlotIndex] = []
        for slot in slots {
            // Wrong deadlines only change the order in which slots are opened; recovery takes them from the states.
            var known: [CampaignID: CampaignEntry] = [:]
            for stored in try storedSnapshots(slot, connection).reversed() where stored.isComplete {
                let header = stored.header
                known[header.campaign] = CampaignEntry(
                    campaign: header.campaign, snapshotLSN: header.lsn, wakeAt: header.wakeAt, hasRowsAfter: false)
            }
            let book = try readBook(slot, connection)
            for (campaign, rows) in book.sorted where rows.removed == nil && rows.first > 0 {
                let lsn = known[campaign]?.snapshotLSN
                known[campaign] = CampaignEntry(
                    campaign: campaign, snapshotLSN: lsn, wakeAt: known[campaign]?.wakeAt,
                    hasRowsAfter: rows.last > lsn ?? 0)
            }
            let campaigns = known.values.sorted { $0.campaign < $1.campaign }
            indexes.append(SlotIndex(slot: slot, tail: try tail(slot, book, connection), campaigns: campaigns))
        }
        return indexes
    }

    func recover(_ slot: Slot) throws(JournalError) -> SlotRecovery {
        let book = try auditedBook(slot)
        let connection = try connection()
        let tail = try tail(slot, book, connection)
        var recovery = RecoveryPlan(slot: slot, tail: tail)
        for notice in book.notices { recovery.note(notice) }
        if rebuiltLeases.remove(slot) != nil {
            recovery.note("the slot's epoch in slot_lease was damaged or missing; rebuilt from rows and snapshots")
        }
        try readSnapshots(slot, book, &recovery, connection)
        let start = try recovery.startPoint(book.sorted.map { (campaign: $0.key, rows: $0.value) })
        let query = try connection.prepare(
            """
            SELECT id, epoch, flush, count, campaigns, payload, checksum FROM journal
            WHERE id BETWEEN ?1 AND ?2 ORDER BY id
            """, .integer(Self.key(slot, start + 1)), .integer(Self.key(slot, Self.lsnMask)))
        while try query.step() {
            let lsn = query.unsigned(0) & Self.lsnMask
            do throws(JournalError) {
                try recovery.rowRead(lsn: lsn, Self.row(slot, lsn, query))
            } catch {
                query.reset()
                throw error
            }
        }
        let found = try recovery.finish()
        if try newestRow(slot, connection) < tail {
            // The newest rows are gone and nobody needs them; the next one must find its predecessor all the same.
            try transaction { connection throws(JournalError) in
                try insertEmpty(slot, tail, try epoch(slot, connection), connection, now: Timestamp(milliseconds: 0))
            }
        }
        return found
    }

    /// Reads each campaign's newest intact snapshot, and compares what there is with what the book expects.
    private func readSnapshots(
        _ slot: Slot, _ book: SlotBook, _ recovery: inout RecoveryPlan, _ connection: SQLiteConnection
    ) throws(JournalError) {
        for stored in try storedSnapshots(slot, connection) {
            let (campaign, lsn) = (stored.header.campaign, stored.header.lsn)
            guard let rows = book.entries[campaign] else {
                // Had it been intact, the audit would have given it an entry.
                if stored.isComplete { recovery.note("the snapshot of campaign \(campaign) at \(lsn) is damaged") }
                continue
            }
            // What is newer than the book knows was never finished; what it knows was, whatever the flag says.
            if lsn > rows.snapshot || !stored.isComplete && lsn < rows.snapshot { continue }
            if recovery.has(campaign, newerThan: lsn) { continue }
            let state = try readSnapshot(stored)
            recovery.snapshotRead(campaign, lsn: lsn, state: state ?? [], isIntact: state != nil)
        }
        for (campaign, rows) in book.sorted where rows.removed == nil && rows.snapshot > 0 {
            recovery.snapshotExpected(campaign, lsn: rows.snapshot)
        }
    }

    /// The row under the statement; `nil` when it does not match its checksum.
    static func row(_ slot: Slot, _ lsn: UInt64, _ query: SQLiteStatement) -> SealedRow? {
        guard let flush = query.id(2), let campaigns = decodeCampaigns(query.bytes(4)), lsn > 0,
            let count = UInt32(exactly: query.integer(3))
        else { return nil }
        let row = SealedRow(
            slot: slot, lsn: lsn, epoch: query.unsigned(1), flush: flush, count: count, campaigns: campaigns,
            payload: query.bytes(5))
        return row.checksum == query.unsigned(6) ? row : nil
    }

    /// A snapshot's row, whose header is only as good as the checksum over it and the state.
    struct StoredSnapshot {
        let header: SnapshotHeader
        let checksum: UInt64
        let isComplete: Bool
    }

    /// The snapshots of a slot whose campaign ids are readable, each campaign's newest first.
    func storedSnapshots(
        _ slot: Slot, _ connection: SQLiteConnection
    ) throws(JournalError) -> [StoredSnapshot] {
        let query = try connection.prepare(
            """
            SELECT campaign, lsn, epoch, wake_at, voters, bytes, checksum, complete FROM snapshot
            WHERE slot = ?1 ORDER BY campaign, lsn DESC
            """, .integer(Int64(slot.index)))
        var found: [StoredSnapshot] = []
        while try query.step() {
            // The book still expects a snapshot whose id is damaged.
            guard let campaign = query.campaign(0) else { continue }
            let header = SnapshotHeader(
                campaign: campaign, slot: slot, lsn: query.unsigned(1), epoch: query.unsigned(2),
                wakeAt: query.isNull(3) ? nil : Timestamp(milliseconds: query.integer(3)),
                holdsVoterData: query.integer(4) != 0, byteCount: Int(max(0, min(query.integer(5), 1 << 40))))
            found.append(
                StoredSnapshot(header: header, checksum: query.unsigned(6), isComplete: query.integer(7) != 0))
        }
        return found
    }

    /// The state of a snapshot; `nil` where it and its header do not match their checksum.
    func readSnapshot(_ stored: StoredSnapshot) throws(JournalError) -> [UInt8]? {
        let header = stored.header
        var state: [UInt8] = []
        state.reserveCapacity(min(header.byteCount, 64 << 20))
        for part in 0..<header.partCount {
            let bytes = try readPart(header, index: part)
            if bytes.isEmpty { return nil }
            state += bytes
        }
        var found = header.checksum
        found.add(state)
        return found.value == stored.checksum && state.count == header.byteCount ? state : nil
    }

    func snapshot(of campaign: CampaignID, slot: Slot) throws(JournalError) -> RecoveredSnapshot? {
        for stored in try storedSnapshots(slot, connection())
        where stored.header.campaign == campaign && stored.isComplete {
            guard let state = try readSnapshot(stored) else { continue }
            return RecoveredSnapshot(campaign: campaign, lsn: stored.header.lsn, state: state)
        }
        return nil
    }

    private func insertEmpty(
        _ slot: Slot, _ lsn: UInt64, _ epoch: UInt64, _ connection: SQLiteConnection, now: Timestamp
    ) throws(JournalError) {
        let row = SealedRow(slot: slot, lsn: lsn, epoch: epoch, flush: 0, count: 0, campaigns: [], payload: [])
        try connection.run(
            connection.prepare(
                "INSERT INTO journal VALUES(?1, ?2, ?3, 0, ?4, ?4, ?5, ?6)", .integer(Self.key(slot, lsn)),
                .lsn(epoch), .id(0), .bytes([]), .lsn(row.checksum), .integer(now.milliseconds)))
    }

    private func newestIntactRow(_ slot: Slot, _ connection: SQLiteConnection) throws(JournalError) -> UInt64 {
        let query = try connection.prepare(
            """
            SELECT id, epoch, flush, count, campaigns, payload, checksum FROM journal
            WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC
            """, .integer(Self.key(slot, 0)), .integer(Self.key(slot, Self.lsnMask)))
        defer { query.reset() }
        while try query.step() {
            let lsn = query.unsigned(0) & Self.lsnMask
            if Self.row(slot, lsn, query) != nil { return lsn }
        }
        return 0
    }

    func repair(_ slot: Slot, keepThrough lsn: UInt64, now: Timestamp) throws(JournalError) -> Int {
        try transaction { connection throws(JournalError) in
            // A damaged id may claim any lsn; only what is intact says where the slot ends.
            let tail = max(try readBook(slot, connection).tail, try newestIntactRow(slot, connection))
            let from = SQLiteValue.integer(Self.key(slot, lsn + 1))
            let through = SQLiteValue.integer(Self.key(slot, Self.lsnMask))
            try connection.run(
                connection.prepare(
                    """
                    INSERT INTO journal_quarantine
                    SELECT ?3, id, epoch, flush, count, campaigns, payload, checksum, stored_at
                    FROM journal WHERE id BETWEEN ?1 AND ?2
                    """, from, through, .integer(now.milliseconds)))
            let moved = connection.changes
            try connection.run(connection.prepare("DELETE FROM journal WHERE id BETWEEN ?1 AND ?2", from, through))
            let epoch = try epoch(slot, connection)
            guard lsn < tail else { return moved }
            for empty in lsn + 1...tail {
                try insertEmpty(slot, empty, epoch, connection, now: now)
            }
            return moved
        }
    }
}
