// Snapshots in parts, the removal of campaigns, and trimming: each step in a transaction that carries the fence.

import Protocol

extension SQLiteStore {
    private func fence(_ slot: Slot, _ epoch: UInt64, _ connection: SQLiteConnection) throws(JournalError) {
        guard try self.epoch(slot, connection) == epoch else { throw .fenced(slot) }
    }

    func storePart(
        _ header: SnapshotHeader, index: Int, bytes: [UInt8], now: Timestamp
    ) throws(JournalError) {
        boundLog()
        try transaction { connection throws(JournalError) in
            try fence(header.slot, header.epoch, connection)
            let id = SQLiteValue.id(header.campaign.uuid.bits)
            if index == 0 {
                // A second snapshot at one lsn would replace a complete one before it is verified itself.
                let query = try connection.prepare(
                    "SELECT 1 FROM snapshot WHERE campaign = ?1 AND lsn = ?2 AND complete", id, .lsn(header.lsn))
                defer { query.reset() }
                if try query.step() { throw .io("campaign \(header.campaign) has a snapshot at \(header.lsn)") }
                try connection.run(
                    connection.prepare(
                        "DELETE FROM snapshot_part WHERE campaign = ?1 AND lsn = ?2", id, .lsn(header.lsn)))
                try writeHeader(header, checksum: 0, complete: false, connection, now: now)
            }
            try connection.run(
                connection.prepare(
                    "INSERT INTO snapshot_part(campaign, lsn, part, state) VALUES(?1, ?2, ?3, ?4)", id,
                    .lsn(header.lsn), .integer(Int64(index)), .bytes(bytes)))
        }
        grew(by: bytes.count)
    }

    private func writeHeader(
        _ header: SnapshotHeader, checksum: UInt64, complete: Bool, _ connection: SQLiteConnection, now: Timestamp
    ) throws(JournalError) {
        try connection.run(
            connection.prepare(
                "INSERT OR REPLACE INTO snapshot VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                .id(header.campaign.uuid.bits), .integer(Int64(header.slot.index)), .lsn(header.lsn),
                .lsn(header.epoch), .lsn(SnapshotHeader.format),
                header.wakeAt.map { .integer($0.milliseconds) } ?? .null,
                .integer(header.holdsVoterData ? 1 : 0), .integer(Int64(header.byteCount)), .lsn(checksum),
                .integer(complete ? 1 : 0), .integer(now.milliseconds)))
    }

    func readPart(_ header: SnapshotHeader, index: Int) throws(JournalError) -> [UInt8] {
        let connection = try connection()
        let query = try connection.prepare(
            "SELECT state FROM snapshot_part WHERE campaign = ?1 AND lsn = ?2 AND part = ?3",
            .id(header.campaign.uuid.bits), .lsn(header.lsn), .integer(Int64(index)))
        defer { query.reset() }
        return try query.step() ? query.bytes(0) : []
    }

    func completeSnapshot(_ header: SnapshotHeader, checksum: UInt64, now: Timestamp) throws(JournalError) {
        try transaction { connection throws(JournalError) in
            try fence(header.slot, header.epoch, connection)
            try writeHeader(header, checksum: checksum, complete: true, connection, now: now)
            let kept = try snapshotLSNs(header.campaign, connection).prefix(2)
            guard let oldest = kept.last else { return }
            try deleteSnapshots(of: header.campaign, below: oldest, connection)
            var rows = try entry(header.campaign, header.slot, connection)
            rows.snapshot = header.lsn
            if kept.count == 2, rows.last <= oldest {
                (rows.first, rows.last, rows.fromCreation) = (0, 0, false)
            }
            try writeEntry(header.campaign, header.slot, rows, connection)
        }
        grew(by: 0)
    }

    /// Deletes the slot's snapshots that nobody finished. One that the book knows as complete is kept, whatever its
    /// own flag says.
    func deleteUnfinished(_ slot: Slot, _ book: SlotBook, _ connection: SQLiteConnection) throws(JournalError) {
        let query = try connection.prepare(
            "SELECT campaign, lsn FROM snapshot WHERE slot = ?1 AND complete = 0", .integer(Int64(slot.index)))
        var unfinished: [(campaign: [UInt8], lsn: UInt64)] = []
        while try query.step() {
            let lsn = query.unsigned(1)
            if let campaign = query.campaign(0), let rows = book.entries[campaign], rows.snapshot < lsn {
                unfinished.append((query.bytes(0), lsn))
            }
        }
        for (campaign, lsn) in unfinished {
            for table in ["snapshot", "snapshot_part"] {
                try connection.run(
                    connection.prepare(
                        "DELETE FROM \(table) WHERE campaign = ?1 AND lsn = ?2", .bytes(campaign), .lsn(lsn)))
            }
        }
    }

    private func deleteSnapshots(
        of campaign: CampaignID, below lsn: UInt64, _ connection: SQLiteConnection
    ) throws(JournalError) {
        for table in ["snapshot", "snapshot_part"] {
            try connection.run(
                connection.prepare(
                    "DELETE FROM \(table) WHERE campaign = ?1 AND lsn < ?2", .id(campaign.uuid.bits), .lsn(lsn)))
        }
    }

    /// The campaign's complete snapshots, newest first.
    func snapshotLSNs(_ campaign: CampaignID, _ connection: SQLiteConnection) throws(JournalError) -> [UInt64] {
        let query = try connection.prepare(
            "SELECT lsn FROM snapshot WHERE campaign = ?1 AND complete ORDER BY lsn DESC", .id(campaign.uuid.bits))
        var lsns: [UInt64] = []
        while try query.step() { lsns.append(query.unsigned(0)) }
        return lsns
    }

    func removeCampaign(_ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64) throws(JournalError) {
        try transaction { connection throws(JournalError) in
            try fence(slot, epoch, connection)
            try deleteSnapshots(of: campaign, below: Self.lsnMask, connection)
            var rows = try entry(campaign, slot, connection)
            if rows.first == 0 { (rows.first, rows.last) = (lsn, lsn) }
            rows.removed = lsn
            rows.snapshot = 0
            try writeEntry(campaign, slot, rows, connection)
        }
        grew(by: 0)
    }

    func trim(_ slot: Slot, epoch: UInt64, limit: Int) throws(JournalError) -> Bool {
        try transaction { connection throws(JournalError) in
            try fence(slot, epoch, connection)
            let newest = try newestRow(slot, connection)
            var holds: [UInt64] = []
            for (campaign, rows) in try intactBook(slot, connection).entries {
                let lsns = try snapshotLSNs(campaign, connection)
                if let lsn = TrimRule.holdsAfter(rows, snapshots: lsns) { holds.append(lsn) }
            }
            let point = TrimRule.point(newestRow: newest, holds: holds)
            try connection.run(
                connection.prepare(
                    """
                    DELETE FROM journal WHERE id IN
                    (SELECT id FROM journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3)
                    """, .integer(Self.key(slot, 0)), .integer(Self.key(slot, point)), .integer(Int64(limit))))
            let more = connection.changes == limit
            // A row's pages are emptied, one or more each.
            grew(by: connection.changes * 4096)
            if !more {
                try connection.run(
                    connection.prepare(
                        "DELETE FROM journal_campaign WHERE slot = ?1 AND removed <= ?2",
                        .integer(Int64(slot.index)), .lsn(point)))
            }
            return more
        }
    }

    func trimHolders() throws(JournalError) -> [TrimHolder] {
        let connection = try connection()
        let query = try connection.prepare("SELECT DISTINCT slot FROM journal_campaign ORDER BY slot")
        var slots: [Slot] = []
        while try query.step() { slots.append(Slot(UInt16(truncatingIfNeeded: query.integer(0) & 0xFFF))) }
        var holders: [TrimHolder] = []
        for slot in slots {
            for (campaign, rows) in try readBook(slot, connection).sorted {
                let lsns = try snapshotLSNs(campaign, connection)
                guard let lsn = TrimRule.holdsAfter(rows, snapshots: lsns) else { continue }
                holders.append(
                    TrimHolder(slot: slot, campaign: campaign, holdsAfter: lsn, idleSince: rows.storedAt))
            }
        }
        return holders
    }

    private func newestIsIntact(
        _ campaign: CampaignID, _ connection: SQLiteConnection
    ) throws(JournalError) -> Bool {
        let query = try connection.prepare(
            "SELECT slot FROM snapshot WHERE campaign = ?1 AND complete ORDER BY lsn DESC LIMIT 1",
            .id(campaign.uuid.bits))
        guard try query.step() else { return false }
        let slot = Slot(UInt16(truncatingIfNeeded: query.integer(0) & 0xFFF))
        query.reset()
        let newest = try storedSnapshots(slot, connection).first { $0.header.campaign == campaign && $0.isComplete }
        guard let newest else { return false }
        return try readSnapshot(newest) != nil
    }

    func expireVoterData(before limit: Timestamp) throws(JournalError) -> [TrimHolder] {
        try transaction { connection throws(JournalError) in
            let old = try connection.prepare(
                """
                SELECT s.campaign, s.lsn FROM snapshot s WHERE s.complete AND s.voters AND s.stored_at < ?1
                AND EXISTS(SELECT 1 FROM snapshot n WHERE n.campaign = s.campaign AND n.complete
                    AND NOT n.voters AND n.lsn > s.lsn)
                """, .integer(limit.milliseconds))
            var expired: [(CampaignID, UInt64)] = []
            while try old.step() { if let campaign = old.campaign(0) { expired.append((campaign, old.unsigned(1))) } }
            // The newer one must be good before the older one goes.
            for (campaign, lsn) in expired where try newestIsIntact(campaign, connection) {
                try deleteSnapshots(of: campaign, below: lsn + 1, connection)
            }
            let left = try connection.prepare(
                """
                SELECT s.slot, s.campaign, s.lsn, s.stored_at FROM snapshot s
                WHERE s.complete AND s.voters AND s.stored_at < ?1
                UNION SELECT c.slot, c.campaign, c.first, c.stored_at FROM journal_campaign c
                WHERE c.removed IS NULL AND EXISTS(
                    SELECT 1 FROM journal j WHERE j.id BETWEEN c.slot << 48 | c.first AND c.slot << 48 | c.last
                    AND j.stored_at < ?1)
                ORDER BY 1, 2
                """, .integer(limit.milliseconds))
            var holders: [TrimHolder] = []
            while try left.step() {
                guard let campaign = left.campaign(1), holders.last?.campaign != campaign else { continue }
                holders.append(
                    TrimHolder(
                        slot: Slot(UInt16(truncatingIfNeeded: left.integer(0) & 0xFFF)), campaign: campaign,
                        holdsAfter: left.unsigned(2), idleSince: Timestamp(milliseconds: left.integer(3))))
            }
            return holders
        }
    }
}
