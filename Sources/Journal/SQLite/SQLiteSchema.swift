// The tables, and the steps from each version to the next: forward only, in one transaction.

/// SQL of the schema.
enum SQLiteSchema {
    /// Step i leads from version i to version i + 1.
    static let migrations = [
        """
        CREATE TABLE slot_lease(slot INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
        CREATE TABLE journal(
            id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, flush BLOB NOT NULL, count INTEGER NOT NULL,
            campaigns BLOB NOT NULL, payload BLOB NOT NULL, checksum INTEGER NOT NULL, stored_at INTEGER NOT NULL);
        CREATE TABLE journal_campaign(
            slot INTEGER NOT NULL, campaign BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
            from_creation INTEGER NOT NULL, stored_at INTEGER NOT NULL, removed INTEGER,
            PRIMARY KEY(slot, campaign)) WITHOUT ROWID;
        CREATE TABLE snapshot(
            campaign BLOB NOT NULL, slot INTEGER NOT NULL, lsn INTEGER NOT NULL, epoch INTEGER NOT NULL,
            format INTEGER NOT NULL, wake_at INTEGER, voters INTEGER NOT NULL, bytes INTEGER NOT NULL,
            checksum INTEGER NOT NULL, complete INTEGER NOT NULL, stored_at INTEGER NOT NULL,
            PRIMARY KEY(campaign, lsn)) WITHOUT ROWID;
        CREATE INDEX snapshot_slot ON snapshot(slot, complete, lsn);
        CREATE TABLE snapshot_part(
            campaign BLOB NOT NULL, lsn INTEGER NOT NULL, part INTEGER NOT NULL, state BLOB NOT NULL,
            PRIMARY KEY(campaign, lsn, part));
        CREATE TABLE journal_quarantine(
            quarantined_at INTEGER NOT NULL, id INTEGER NOT NULL, epoch INTEGER, flush BLOB, count INTEGER,
            campaigns BLOB, payload BLOB, checksum INTEGER, stored_at INTEGER);
        """,
        // `SQLiteStore.sealBooks` fills the new columns in the same transaction.
        """
        ALTER TABLE slot_lease ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE journal_campaign ADD COLUMN snapshot INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE journal_campaign ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
        """,
    ]
}
