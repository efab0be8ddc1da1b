// The journal in one SQLite file: WAL, synchronous = FULL, an exclusive lock, one transaction for each flush.
//
// A failed COMMIT proves nothing: the connection is thrown away, the caller's retry finds out. What a reopened WAL
// holds may never have been synced (a killed process, a failed fsync), so each opening first copies the WAL into the
// database and syncs that, before anything found there counts as committed.
//
// Rows are keyed by `slot << 48 | lsn`: one integer key, contiguous per slot.

import CSQLite
import Protocol

/// SQLite backend of a `JournalEngine`.
final class SQLiteStore: JournalStore {
    struct Options: Sendable {
        var vfs: String?
        var synchronous = "FULL"
        /// For the tests of the tests: answers a flush before its COMMIT.
        var acknowledgesBeforeCommit = false
        /// Bytes in the WAL after which an idle moment checkpoints, and after which a busy one does.
        var idleCheckpointBytes = 2 << 20
        var forcedCheckpointBytes = 32 << 20
    }

    static let schemaVersion = SQLiteSchema.migrations.count

    private let path: String
    private let options: Options
    private var open: SQLiteConnection?
    /// Roughly what the WAL has grown by.
    private var bytesSinceCheckpoint = 0
    /// Leases that a claim had to rebuild, for the next recovery to tell.
    var rebuiltLeases: Set<Slot> = []

    init(path: String, options: Options) throws(JournalError) {
        self.path = path
        self.options = options
        _ = try connection()
    }

    /// The open connection, or a new one that passed the checks above.
    func connection() throws(JournalError) -> SQLiteConnection {
        if let open { return open }
        let fresh = try SQLiteConnection(path: path, vfs: options.vfs)
        try fresh.execute("PRAGMA locking_mode = EXCLUSIVE")
        try fresh.execute("PRAGMA journal_mode = WAL")
        try fresh.execute("PRAGMA synchronous = \(options.synchronous)")
        try fresh.execute("PRAGMA wal_autocheckpoint = 0")
        try fresh.execute("PRAGMA foreign_keys = OFF")
        try migrate(fresh)
        try Self.checkpoint(fresh)
        bytesSinceCheckpoint = 0
        open = fresh
        return fresh
    }

    private static func checkpoint(_ connection: SQLiteConnection) throws(JournalError) {
        let result = try connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)")
        var busy = false
        while try result.step() { busy = result.integer(0) != 0 }
        if busy { throw .busy("the write-ahead log could not be copied into the database") }
    }

    private func migrate(_ connection: SQLiteConnection) throws(JournalError) {
        let query = try connection.prepare("PRAGMA user_version")
        var found = 0
        while try query.step() { found = Int(query.integer(0)) }
        if found > Self.schemaVersion { throw .newerSchema(found: found, known: Self.schemaVersion) }
        guard found < Self.schemaVersion else { return }
        try connection.execute("BEGIN IMMEDIATE")
        for version in found..<Self.schemaVersion { try connection.execute(SQLiteSchema.migrations[version]) }
        if found < 2 { try sealBooks(connection) }
        try connection.execute("PRAGMA user_version = \(Self.schemaVersion)")
        try connection.execute("COMMIT")
    }

    /// Runs `body` in one transaction. On any error nothing is assumed: rolled back, and the connection dropped.
    func transaction<T>(
        _ body: (SQLiteConnection) throws(JournalError) -> T
    ) throws(JournalError) -> T {
        let connection = try connection()
        do throws(JournalError) {
            if !connection.inTransaction { try connection.execute("BEGIN IMMEDIATE") }
            let result = try body(connection)
            try connection.execute("COMMIT")
            return result
        } catch {
            try? connection.execute("ROLLBACK")
            open = nil
            throw error
        }
    }

    func claim(_ slots: [Slot], now: Timestamp) throws(JournalError) -> [SlotClaim] {
        try transaction { connection throws(JournalError) in
            var claims: [SlotClaim] = []
            for slot in slots.sorted() {
                let known = try lease(slot, connection)
                let epoch = max(known + 1, UInt64(max(0, now.milliseconds / 1000)))
                try writeLease(slot, epoch, connection)
                let book = try readBook(slot, connection)
                try deleteUnfinished(slot, book, connection)
                claims.append(SlotClaim(slot: slot, epoch: epoch, tail: try tail(slot, book, connection)))
            }
            return claims
        }
    }

    func flush(_ rows: [SealedRow], now: Timestamp) -> [FlushOutcome] {
        boundLog()
        if options.acknowledgesBeforeCommit { return flushTooEarly(rows, now: now) }
        do throws(JournalError) {
            return try transaction { connection throws(JournalError) in
                try insert(rows, connection, now: now)
            }
        } catch {
            return Array(repeating: .failed(error), count: rows.count)
        }
    }

    private func flushTooEarly(_ rows: [SealedRow], now: Timestamp) -> [FlushOutcome] {
        do throws(JournalError) {
            let connection = try connection()
            if connection.inTransaction { try connection.execute("COMMIT") }
            try connection.execute("BEGIN IMMEDIATE")
            return try insert(rows, connection, now: now)
        } catch {
            return Array(repeating: .failed(error), count: rows.count)
        }
    }

    private func insert(
        _ rows: [SealedRow], _ connection: SQLiteConnection, now: Timestamp
    ) throws(JournalError) -> [FlushOutcome] {
        var outcomes: [FlushOutcome] = []
        outcomes.reserveCapacity(rows.count)
        for row in rows {
            // Recovery sees to it that the newest row is the tail.
            let tail = try newestRow(row.slot, connection)
            if row.lsn <= tail {
                outcomes.append(try holds(row, connection) ? .committed : .fenced)
            } else if try epoch(row.slot, connection) != row.epoch {
                outcomes.append(.fenced)
            } else if row.lsn != tail + 1 {
                outcomes.append(.failed(.outOfOrder(row.slot, lsn: row.lsn, tail: tail)))
            } else {
                try insert(row, connection, now: now)
                outcomes.append(.committed)
            }
        }
        return outcomes
    }

    private func insert(_ row: SealedRow, _ connection: SQLiteConnection, now: Timestamp) throws(JournalError) {
        try connection.run(
            connection.prepare(
                """
                INSERT INTO journal(id, epoch, flush, count, campaigns, payload, checksum, stored_at)
                VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                """, .integer(Self.key(row.slot, row.lsn)), .lsn(row.epoch), .id(row.flush),
                .integer(Int64(row.count)), .bytes(Self.encode(row.campaigns)), .bytes(row.payload),
                .lsn(row.checksum), .integer(now.milliseconds)))
        for campaign in row.campaigns {
            var rows = try entry(campaign, row.slot, connection)
            if rows.first == 0 {
                if rows.snapshot == 0 { try requireNoSnapshot(campaign, row.slot, connection) }
                rows.first = row.lsn
                rows.fromCreation = rows.snapshot == 0
            }
            rows.last = row.lsn
            rows.storedAt = now
            try writeEntry(campaign, row.slot, rows, connection)
        }
        grew(by: row.payload.count)
    }

    /// Counts what a transaction added to the WAL, with its share of pages that are not full.
    func grew(by bytes: Int) { bytesSinceCheckpoint += bytes + 8192 }

    /// Whether our earlier attempt at this row committed.
    private func holds(_ row: SealedRow, _ connection: SQLiteConnection) throws(JournalError) -> Bool {
        let query = try connection.prepare(
            "SELECT flush, checksum FROM journal WHERE id = ?1", .integer(Self.key(row.slot, row.lsn)))
        defer { query.reset() }
        return try query.step() && query.id(0) == row.flush && query.unsigned(1) == row.checksum
    }

    func epoch(_ slot: Slot, _ connection: SQLiteConnection) throws(JournalError) -> UInt64 {
        let query = try connection.prepare(
            "SELECT epoch FROM slot_lease WHERE slot = ?1", .integer(Int64(slot.index)))
        defer { query.reset() }
        return try query.step() ? query.unsigned(0) : 0
    }

    func newestRow(_ slot: Slot, _ connection: SQLiteConnection) throws(JournalError) -> UInt64 {
        let query = try connection.prepare(
            "SELECT max(id) FROM journal WHERE id BETWEEN ?1 AND ?2", .integer(Self.key(slot, 0)),
            .integer(Self.key(slot, Self.lsnMask)))
        defer { query.reset() }
        guard try query.step() else { return 0 }
        return query.unsigned(0) & Self.lsnMask
    }

    /// The newest lsn that any record of the slot knows, whether its row is still there or not.
    func tail(_ slot: Slot, _ book: SlotBook, _ connection: SQLiteConnection) throws(JournalError) -> UInt64 {
        max(try newestRow(slot, connection), book.tail)
    }

    func idle() {
        guard bytesSinceCheckpoint >= options.idleCheckpointBytes else { return }
        checkpointNow()
    }

    /// Copies the WAL into the database as far as it goes; what fails is tried again.
    private func checkpointNow() {
        guard let connection = open, !connection.inTransaction else { return }
        bytesSinceCheckpoint = 0
        do throws(JournalError) {
            try connection.run(connection.prepare("PRAGMA wal_checkpoint(PASSIVE)"))
        } catch {
            // What committed stays in the WAL; a new connection tries again before it is used.
            open = nil
        }
    }

    /// Bounds the WAL where no moment is idle.
    func boundLog() {
        if bytesSinceCheckpoint >= options.forcedCheckpointBytes { checkpointNow() }
    }

    func close() {
        checkpointNow()
        open = nil
    }

    static let lsnMask: UInt64 = (1 << 48) - 1

    static func key(_ slot: Slot, _ lsn: UInt64) -> Int64 { Int64(slot.index) << 48 | Int64(lsn & lsnMask) }

    static func encode(_ campaigns: [CampaignID]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 * campaigns.count)
        for campaign in campaigns {
            if case .bytes(let id) = SQLiteValue.id(campaign.uuid.bits) { bytes += id }
        }
        return bytes
    }

    /// `nil` where the bytes cannot be a list of campaigns.
    static func decodeCampaigns(_ bytes: [UInt8]) -> [CampaignID]? {
        guard bytes.count % 16 == 0 else { return nil }
        var campaigns: [CampaignID] = []
        for start in stride(from: 0, to: bytes.count, by: 16) {
            guard let bits = Array(bytes[start..<start + 16]).wideInteger, let uuid = UUIDv7(bits: bits) else {
                return nil
            }
            campaigns.append(CampaignID(uuid))
        }
        return campaigns
    }
}
