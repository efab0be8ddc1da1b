// The book of a slot: what the store remembers of each campaign there, one checksummed entry in `journal_campaign`,
// and the slot's epoch. Recovery trusts it for what no row can tell: which snapshot is the newest, which rows are
// needed. Each campaign with rows or snapshots has an entry, so a missing one shows, and is rebuilt from those.

import Platform
import Protocol

/// The entries of one slot.
struct SlotBook {
    var entries: [CampaignID: CampaignRows] = [:]
    /// Keys of entries that do not match their checksums.
    var broken: [[UInt8]] = []
    /// What was rebuilt, for the log.
    var notices: [String] = []

    /// The newest row that an entry knows of.
    var tail: UInt64 { entries.values.reduce(0) { max($0, $1.last, $1.snapshot, $1.removed ?? 0) } }

    var sorted: [(key: CampaignID, value: CampaignRows)] { entries.sorted { $0.key < $1.key } }
}

extension SQLiteStore {
    // MARK: - Leases

    func writeLease(_ slot: Slot, _ epoch: UInt64, _ connection: SQLiteConnection) throws(JournalError) {
        try connection.run(
            connection.prepare(
                "INSERT OR REPLACE INTO slot_lease(slot, epoch, checksum) VALUES(?1, ?2, ?3)",
                .integer(Int64(slot.index)), .lsn(epoch), .lsn(Self.leaseChecksum(slot, epoch))))
    }

    /// The slot's epoch; where the lease is damaged or missing, the highest that its rows and snapshots know.
    func lease(_ slot: Slot, _ connection: SQLiteConnection) throws(JournalError) -> UInt64 {
        let query = try connection.prepare(
            "SELECT epoch, checksum FROM slot_lease WHERE slot = ?1", .integer(Int64(slot.index)))
        defer { query.reset() }
        let isThere = try query.step()
        if isThere, query.unsigned(1) == Self.leaseChecksum(slot, query.unsigned(0)) { return query.unsigned(0) }
        let newest = try newestRow(slot, connection)
        // Epochs are seconds; what cannot be one was damaged too.
        let used = try connection.prepare(
            """
            SELECT max(epoch) FROM (SELECT epoch FROM journal WHERE id = ?1
                UNION ALL SELECT epoch FROM snapshot WHERE slot = ?2) WHERE epoch BETWEEN 0 AND 1 << 48
            """, .integer(Self.key(slot, newest)), .integer(Int64(slot.index)))
        defer { used.reset() }
        let epoch = try used.step() ? used.unsigned(0) : 0
        if isThere || epoch > 0 { rebuiltLeases.insert(slot) }
        return epoch
    }

    private static func leaseChecksum(_ slot: Slot, _ epoch: UInt64) -> UInt64 {
        Checksum.of(words: [2, UInt64(slot.index), epoch])
    }

    // MARK: - Entries

    private static let columns =
        "campaign, first, last, from_creation, stored_at, removed, snapshot, checksum FROM journal_campaign"

    /// The entry under the statement, without a look at its checksum.
    private static func rows(_ query: SQLiteStatement) -> CampaignRows {
        CampaignRows(
            first: query.unsigned(1), last: query.unsigned(2), fromCreation: query.integer(3) != 0,
            storedAt: Timestamp(milliseconds: query.integer(4)), removed: query.isNull(5) ? nil : query.unsigned(5),
            snapshot: query.unsigned(6))
    }

    /// A campaign's entry, an empty one where there is none. Throws `damaged`, so that a write never makes a damaged
    /// entry look whole.
    func entry(
        _ campaign: CampaignID, _ slot: Slot, _ connection: SQLiteConnection
    ) throws(JournalError) -> CampaignRows {
        let query = try connection.prepare(
            "SELECT \(Self.columns) WHERE slot = ?1 AND campaign = ?2", .integer(Int64(slot.index)),
            .id(campaign.uuid.bits))
        defer { query.reset() }
        guard try query.step() else {
            return CampaignRows(first: 0, last: 0, fromCreation: false, storedAt: Timestamp(milliseconds: 0))
        }
        let rows = Self.rows(query)
        guard rows.checksum(campaign, slot) == query.unsigned(7) else { throw Self.entryDamaged(slot, [campaign]) }
        return rows
    }

    /// Throws `damaged` where a campaign without an entry has a snapshot after all: a new entry would hide it.
    func requireNoSnapshot(
        _ campaign: CampaignID, _ slot: Slot, _ connection: SQLiteConnection
    ) throws(JournalError) {
        if try snapshotLSNs(campaign, connection).isEmpty { return }
        throw Self.entryDamaged(slot, [campaign])
    }

    func writeEntry(
        _ campaign: CampaignID, _ slot: Slot, _ rows: CampaignRows, _ connection: SQLiteConnection
    ) throws(JournalError) {
        try connection.run(
            connection.prepare(
                """
                INSERT OR REPLACE INTO journal_campaign
                (slot, campaign, first, last, from_creation, stored_at, removed, snapshot, checksum)
                VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                """, .integer(Int64(slot.index)), .id(campaign.uuid.bits), .lsn(rows.first), .lsn(rows.last),
                .integer(rows.fromCreation ? 1 : 0), .integer(rows.storedAt.milliseconds),
                rows.removed.map { .lsn($0) } ?? .null, .lsn(rows.snapshot),
                .lsn(rows.checksum(campaign, slot))))
    }

    private static func entryDamaged(_ slot: Slot, _ campaigns: [CampaignID]) -> JournalError {
        .damaged(
            JournalDamage(
                slot: slot, lsns: nil, campaigns: campaigns,
                finding: "an entry of journal_campaign is damaged or missing; a restart rebuilds it from rows"))
    }

    // MARK: - Whole books

    /// All entries of a slot; those that do not match their checksums are set apart.
    func readBook(_ slot: Slot, _ connection: SQLiteConnection) throws(JournalError) -> SlotBook {
        let query = try connection.prepare(
            "SELECT \(Self.columns) WHERE slot = ?1", .integer(Int64(slot.index)))
        var book = SlotBook()
        while try query.step() {
            let rows = Self.rows(query)
            if let campaign = query.campaign(0), rows.checksum(campaign, slot) == query.unsigned(7) {
                book.entries[campaign] = rows
            } else {
                book.broken.append(query.bytes(0))
            }
        }
        return book
    }

    /// The book of a slot whose entries all match; throws `damaged` otherwise.
    func intactBook(_ slot: Slot, _ connection: SQLiteConnection) throws(JournalError) -> SlotBook {
        let book = try readBook(slot, connection)
        guard book.broken.isEmpty else { throw Self.entryDamaged(slot, []) }
        return book
    }

    /// The book, after each campaign that rows or snapshots mention was looked up in it; what is missing or damaged
    /// is rebuilt from rows and snapshots that match their own checksums.
    func auditedBook(_ slot: Slot) throws(JournalError) -> SlotBook {
        let connection = try connection()
        var book = try readBook(slot, connection)
        let unknown = try unknownCampaigns(slot, book, connection)
        if book.broken.isEmpty, unknown.isEmpty { return book }
        for (campaign, lsns) in unknown.sorted(by: { $0.key < $1.key }) {
            if let rows = try rebuilt(campaign, slot, lsns, connection) {
                book.entries[campaign] = rows
                book.notices.append(
                    "the entry of campaign \(campaign) in journal_campaign was damaged or missing; "
                        + "rebuilt from its rows and snapshots")
            } else if !book.broken.isEmpty {
                // Two faults: the lost entry may be this campaign's, and nothing is left to rebuild it from.
                throw .damaged(
                    JournalDamage(
                        slot: slot, lsns: nil, campaigns: [campaign],
                        finding: "an entry of journal_campaign and what it could be rebuilt from are damaged"))
            } else {
                book.notices.append("no intact row or snapshot knows campaign \(campaign); it was left out")
            }
        }
        for _ in book.broken { book.notices.append("an entry of journal_campaign was damaged and is deleted") }
        let (found, broken) = (book, book.broken)
        try transaction { connection throws(JournalError) in
            for key in broken {
                try connection.run(
                    connection.prepare(
                        "DELETE FROM journal_campaign WHERE slot = ?1 AND campaign = ?2", .integer(Int64(slot.index)),
                        .bytes(key)))
            }
            for campaign in unknown.keys {
                if let rows = found.entries[campaign] { try writeEntry(campaign, slot, rows, connection) }
            }
        }
        return book
    }

    /// The campaigns that rows or snapshots mention and the book does not know, with the rows.
    private func unknownCampaigns(
        _ slot: Slot, _ book: SlotBook, _ connection: SQLiteConnection
    ) throws(JournalError) -> [CampaignID: [UInt64]] {
        var unknown: [CampaignID: [UInt64]] = [:]
        let snapshots = try connection.prepare(
            "SELECT DISTINCT campaign FROM snapshot WHERE slot = ?1 AND complete", .integer(Int64(slot.index)))
        while try snapshots.step() {
            if let campaign = snapshots.campaign(0), book.entries[campaign] == nil { unknown[campaign] = [] }
        }
        let rows = try connection.prepare(
            "SELECT id, campaigns FROM journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
            .integer(Self.key(slot, 0)), .integer(Self.key(slot, Self.lsnMask)))
        while try rows.step() {
            for campaign in Self.decodeCampaigns(rows.bytes(1)) ?? [] where book.entries[campaign] == nil {
                unknown[campaign, default: []].append(rows.unsigned(0) & Self.lsnMask)
            }
        }
        return unknown
    }

    /// A campaign's entry from the rows that mention it and its snapshots, as far as they are intact.
    private func rebuilt(
        _ campaign: CampaignID, _ slot: Slot, _ lsns: [UInt64], _ connection: SQLiteConnection
    ) throws(JournalError) -> CampaignRows? {
        var rows = CampaignRows(first: 0, last: 0, fromCreation: false, storedAt: Timestamp(milliseconds: 0))
        for lsn in lsns {
            let query = try connection.prepare(
                """
                SELECT id, epoch, flush, count, campaigns, payload, checksum, stored_at FROM journal WHERE id = ?1
                """, .integer(Self.key(slot, lsn)))
            defer { query.reset() }
            guard try query.step(), Self.row(slot, lsn, query) != nil else { continue }
            if rows.first == 0 { rows.first = lsn }
            rows.last = lsn
            rows.storedAt = Timestamp(milliseconds: query.integer(7))
        }
        for stored in try storedSnapshots(slot, connection) where stored.header.campaign == campaign {
            guard try readSnapshot(stored) != nil else { continue }
            rows.snapshot = max(rows.snapshot, stored.header.lsn)
        }
        // A live campaign without a snapshot still has all its rows; a replay that misses the first one says so.
        rows.fromCreation = rows.snapshot == 0
        return rows.first == 0 && rows.snapshot == 0 ? nil : rows
    }

    // MARK: - The step from version 1

    /// Computes what version 1 did not keep: the newest snapshot of each campaign, and all checksums.
    func sealBooks(_ connection: SQLiteConnection) throws(JournalError) {
        try connection.execute(
            """
            INSERT OR IGNORE INTO journal_campaign(slot, campaign, first, last, from_creation, stored_at)
            SELECT slot, campaign, 0, 0, 0, max(stored_at) FROM snapshot WHERE complete GROUP BY slot, campaign;
            UPDATE journal_campaign SET snapshot = coalesce((SELECT max(lsn) FROM snapshot s WHERE s.complete
                AND s.slot = journal_campaign.slot AND s.campaign = journal_campaign.campaign), 0);
            """)
        let entries = try connection.prepare("SELECT \(Self.columns.replacing("FROM", with: ", slot FROM"))")
        var found: [(CampaignID, Slot, CampaignRows)] = []
        while try entries.step() {
            let slot = Slot(UInt16(truncatingIfNeeded: entries.integer(8) & 0xFFF))
            if let campaign = entries.campaign(0) { found.append((campaign, slot, Self.rows(entries))) }
        }
        for (campaign, slot, rows) in found { try writeEntry(campaign, slot, rows, connection) }
        let leases = try connection.prepare("SELECT slot, epoch FROM slot_lease")
        var epochs: [(Slot, UInt64)] = []
        while try leases.step() {
            epochs.append((Slot(UInt16(truncatingIfNeeded: leases.integer(0) & 0xFFF)), leases.unsigned(1)))
        }
        for (slot, epoch) in epochs { try writeLease(slot, epoch, connection) }
    }
}
