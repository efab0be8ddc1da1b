// Reading a slot back: verified snapshots, then every later row without a gap; and giving up what is damaged.

import Protocol

extension SQLiteStore {
    func index(_ slots: [Slot]) throws(JournalError) -> [SlotIndex] {
        let connection = try connection()
        var indexes: [SlotIndex] = []
        for slot in slots {
            var known: [CampaignID: CampaignEntry] = [:]
            let query = try connection.prepare(
                "SELECT campaign, lsn, wake_at FROM snapshot WHERE slot = ?1 AND complete ORDER BY lsn",
                .integer(Int64(slot.index)))
            while try query.step() {
                guard let campaign = query.campaign(0) else { continue }
                let wakeAt = query.isNull(2) ? nil : Timestamp(milliseconds: query.integer(2))
                known[campaign] = CampaignEntry(
                    campaign: campaign, snapshotLSN: query.unsigned(1), wakeAt: wakeAt, hasRowsAfter: false)
            }
            for (campaign, rows) in try campaignRows(slot, connection) where rows.removed == nil {
                let lsn = known[campaign]?.snapshotLSN
                known[campaign] = CampaignEntry(
                    campaign: campaign, snapshotLSN: lsn, wakeAt: known[campaign]?.wakeAt,
                    hasRowsAfter: rows.last > lsn ?? 0)
            }
            let campaigns = known.values.sorted { $0.campaign < $1.campaign }
            indexes.append(SlotIndex(slot: slot, tail: try tail(slot, connection), campaigns: campaigns))
        }
        return indexes
    }

    func recover(_ slot: Slot) throws(JournalError) -> SlotRecovery {
        let connection = try connection()
        let tail = try tail(slot, connection)
        var recovery = RecoveryPlan(slot: slot, tail: tail)
        for header in try headers(slot, connection) {
            switch header {
            case .success(let (header, checksum)):
                if recovery.has(header.campaign, newerThan: header.lsn) { continue }
                let state = try state(header, checksum: checksum)
                recovery.snapshotRead(
                    header.campaign, lsn: header.lsn, state: state ?? [], isIntact: state != nil)
            case .failure(let error): throw error
            }
        }
        let campaigns = try campaignRows(slot, connection)
        let start = try recovery.startPoint(campaigns)
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
        return try recovery.finish()
    }

    func snapshot(of campaign: CampaignID, slot: Slot) throws(JournalError) -> RecoveredSnapshot? {
        for case .success(let (header, checksum)) in try headers(slot, connection(), of: campaign) {
            guard let state = try state(header, checksum: checksum) else { continue }
            return RecoveredSnapshot(campaign: campaign, lsn: header.lsn, state: state)
        }
        return nil
    }

    /// The state of a snapshot; `nil` where it does not match its checksum.
    private func state(_ header: SnapshotHeader, checksum: UInt64) throws(JournalError) -> [UInt8]? {
        var found = header.checksum
        var state: [UInt8] = []
        state.reserveCapacity(min(header.byteCount, 64 << 20))
        for part in 0..<min(header.partCount, 1 << 12) { state += try readPart(header, index: part) }
        found.add(state)
        return found.value == checksum && state.count == header.byteCount ? state : nil
    }

    /// The row under the statement; `nil` when it does not match its checksum.
    private static func row(_ slot: Slot, _ lsn: UInt64, _ query: SQLiteStatement) -> SealedRow? {
        guard let flush = query.id(2), let campaigns = decodeCampaigns(query.bytes(4)), lsn > 0,
            let count = UInt32(exactly: query.integer(3))
        else { return nil }
        let row = SealedRow(
            slot: slot, lsn: lsn, epoch: query.unsigned(1), flush: flush, count: count, campaigns: campaigns,
            payload: query.bytes(5))
        return row.checksum == query.unsigned(6) ? row : nil
    }

    /// The complete snapshots of a slot or of one campaign, newest first within each, with their stored checksums.
    private func headers(
        _ slot: Slot, _ connection: SQLiteConnection, of campaign: CampaignID? = nil
    ) throws(JournalError) -> [Result<(SnapshotHeader, UInt64), JournalError>] {
        let columns = "SELECT campaign, lsn, epoch, wake_at, voters, bytes, checksum FROM snapshot"
        let query: SQLiteStatement
        if let campaign {
            query = try connection.prepare(
                "\(columns) WHERE slot = ?1 AND campaign = ?2 AND complete ORDER BY lsn DESC",
                .integer(Int64(slot.index)), .id(campaign.uuid.bits))
        } else {
            query = try connection.prepare(
                "\(columns) WHERE slot = ?1 AND complete ORDER BY campaign, lsn DESC", .integer(Int64(slot.index)))
        }
        var found: [Result<(SnapshotHeader, UInt64), JournalError>] = []
        while try query.step() {
            guard let campaign = query.campaign(0) else {
                let finding = "the campaign id of a snapshot at \(query.unsigned(1)) is damaged"
                found.append(
                    .failure(.damaged(JournalDamage(slot: slot, lsns: nil, campaigns: [], finding: finding))))
                continue
            }
            let header = SnapshotHeader(
                campaign: campaign, slot: slot, lsn: query.unsigned(1), epoch: query.unsigned(2),
                wakeAt: query.isNull(3) ? nil : Timestamp(milliseconds: query.integer(3)),
                holdsVoterData: query.integer(4) != 0, byteCount: Int(max(0, min(query.integer(5), 1 << 40))))
            found.append(.success((header, query.unsigned(6))))
        }
        return found
    }

    func repair(_ slot: Slot, keepThrough lsn: UInt64, now: Timestamp) throws(JournalError) -> Int {
        try transaction { connection throws(JournalError) in
            let tail = try tail(slot, connection)
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
                let row = SealedRow(
                    slot: slot, lsn: empty, epoch: epoch, flush: 0, count: 0, campaigns: [], payload: [])
                try connection.run(
                    connection.prepare(
                        "INSERT INTO journal VALUES(?1, ?2, ?3, 0, ?4, ?4, ?5, ?6)",
                        .integer(Self.key(slot, empty)), .lsn(epoch), .id(0), .bytes([]), .lsn(row.checksum),
                        .integer(now.milliseconds)))
            }
            return moved
        }
    }
}
