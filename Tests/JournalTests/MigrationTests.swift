// A database as version 1 of the schema left it.

import Platform
import Protocol
import Testing

@testable import Journal

@Suite(.timeLimit(.minutes(1)))
struct MigrationTests {
    let slot = Slot(7)

    /// Rows 1 to 5, the last of campaign 3 alone; snapshots of campaign 1 at 2 and 4 and of campaign 2 at 2 and 3,
    /// whose rows are forgotten; a snapshot of campaign 1 at 5 that was never finished.
    private func version1(_ folder: Folder) throws {
        let connection = try SQLiteConnection(path: folder.database, vfs: nil)
        try connection.execute("PRAGMA journal_mode = WAL")
        try connection.execute(SQLiteSchema.migrations[0])
        try connection.execute("PRAGMA user_version = 1")
        try connection.execute("INSERT INTO slot_lease VALUES(7, 2000)")
        for (lsn, campaigns) in [(UInt64(1), [1, 2]), (2, [1, 2]), (3, [1]), (4, [1]), (5, [3])] {
            let row = row(lsn, epoch: 1000, campaigns: campaigns)
            try connection.run(
                connection.prepare(
                    "INSERT INTO journal VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 1)",
                    .integer(SQLiteStore.key(slot, lsn)), .lsn(row.epoch), .id(row.flush), .integer(Int64(row.count)),
                    .bytes(SQLiteStore.encode(row.campaigns)), .bytes(row.payload), .lsn(row.checksum)))
        }
        for (number, first, last) in [(1, UInt64(1), UInt64(4)), (3, 5, 5)] {
            try connection.run(
                connection.prepare(
                    "INSERT INTO journal_campaign VALUES(7, ?1, ?2, ?3, 1, 1, NULL)",
                    .id(campaign(number).uuid.bits), .lsn(first), .lsn(last)))
        }
        for (number, lsn) in [(1, UInt64(2)), (1, 4), (2, 2), (2, 3), (1, 5)] {
            let header = SnapshotHeader(
                campaign: campaign(number), slot: slot, lsn: lsn, epoch: 1000, wakeAt: nil, holdsVoterData: false,
                byteCount: 3)
            var checksum = header.checksum
            checksum.add([1, 2, 3])
            let id = SQLiteValue.id(campaign(number).uuid.bits)
            try connection.run(
                connection.prepare(
                    "INSERT INTO snapshot VALUES(?1, 7, ?2, 1000, 1, NULL, 0, 3, ?3, ?4, 1)", id, .lsn(lsn),
                    .lsn(lsn == 5 ? 0 : checksum.value), .integer(lsn == 5 ? 0 : 1)))
            try connection.run(
                connection.prepare("INSERT INTO snapshot_part VALUES(?1, ?2, 0, x'010203')", id, .lsn(lsn)))
        }
    }

    private func count(_ folder: Folder, _ what: String) throws -> Int64 {
        let connection = try SQLiteConnection(path: folder.database, vfs: nil)
        let query = try connection.prepare("SELECT count(*) FROM \(what)")
        var count: Int64 = 0
        while try query.step() { count = query.integer(0) }
        return count
    }

    @Test func `a database of version 1 is sealed and recovered`() async throws {
        let folder = try Folder()
        try version1(folder)
        for epoch in UInt64(2001)...2002 {
            let journal = try open(.sqlite, folder)
            #expect(try await journal.claim([slot]) == [SlotClaim(slot: slot, epoch: epoch, tail: 5)])
            let recovery = try await journal.recover(slot)
            #expect(recovery.snapshots.map(\.campaign) == [campaign(1), campaign(2)])
            #expect(recovery.snapshots.map(\.lsn) == [4, 3])
            #expect(recovery.rows.map(\.lsn) == [5])
            #expect(recovery.notices.isEmpty)
            await journal.close()
        }
        #expect(try count(folder, "snapshot WHERE NOT complete") == 0)
        #expect(try count(folder, "snapshot_part") == 4)
        #expect(try count(folder, "journal_campaign WHERE checksum = 0") == 0)
    }

    @Test func `a campaign of version 1 that only has snapshots is missed when they are gone`() async throws {
        let folder = try Folder()
        try version1(folder)
        await (try open(.sqlite, folder)).close()
        try SQLiteConnection(path: folder.database, vfs: nil)
            .execute(
                "DELETE FROM snapshot WHERE lsn = 3 OR (lsn = 2 AND campaign = (SELECT max(campaign) FROM snapshot))")
        let journal = try open(.sqlite, folder)
        var refusal: JournalError?
        do { _ = try await journal.recover(slot) } catch { refusal = error }
        await journal.close()
        guard case .damaged(let damage) = refusal else {
            Issue.record("recovered, or \(String(describing: refusal))")
            return
        }
        #expect(damage.campaigns == [campaign(2)])
        #expect(damage.description.contains("Restore a backup"))
    }
}
