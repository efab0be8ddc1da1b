// Flipped bits, stores that refuse, and the lock of the data folder.

import Foundation
import Protocol
import Testing

@testable import Journal

@Suite(.timeLimit(.minutes(5)))
struct DamageTests {
    let slot = Slot(7)

    private func tamper(_ folder: Folder, _ sql: String) throws {
        let connection = try SQLiteConnection(path: folder.database, vfs: nil)
        try connection.execute(sql)
    }

    private func damaged(_ sql: String) async throws -> Result<SlotRecovery, JournalError> {
        let folder = try Folder()
        let journal = try open(.sqlite, folder)
        _ = try await journal.claim([slot])
        for lsn in UInt64(1)...6 { #expect(await journal.flush([row(lsn, epoch: 1000)]) == [.committed]) }
        for lsn in [UInt64(2), 4] { #expect(await journal.snapshot(1, lsn: lsn, epoch: 1000) == .stored) }
        // What the older snapshot holds is not to be had from rows.
        #expect(try await rows(#require(journal as? SQLiteJournal), untilOldestIs: 3) == [3, 4, 5, 6])
        await journal.close()
        try tamper(folder, sql)
        let again = try open(.sqlite, folder)
        let result: Result<SlotRecovery, JournalError>
        do { result = .success(try await again.recover(slot)) } catch { result = .failure(error) }
        await again.close()
        return result
    }

    @Test(arguments: [
        "payload = zeroblob(40)", "payload = substr(payload, 2)", "epoch = epoch + 1", "count = count + 1",
        "flush = zeroblob(16)", "campaigns = zeroblob(16)", "checksum = checksum + 1", "id = id + 100",
    ])
    func `a changed column of a needed row is found and named`(change: String) async throws {
        let result = try await damaged("UPDATE journal SET \(change) WHERE id & 0xFFFF = 5")
        guard case .failure(.damaged(let damage)) = result else {
            Issue.record("recovered \(result)")
            return
        }
        #expect(damage.lsns?.lowerBound == 5)
        #expect(damage.campaigns == [campaign(1)])
        #expect(damage.description.contains("--keep-through 4"))
    }

    @Test(arguments: [
        "UPDATE snapshot_part SET state = zeroblob(100) WHERE lsn = 4",
        "UPDATE snapshot SET epoch = epoch + 1 WHERE lsn = 4",
        "UPDATE snapshot SET wake_at = 1 WHERE lsn = 4",
        "UPDATE snapshot SET voters = 1 WHERE lsn = 4",
        "UPDATE snapshot SET checksum = checksum + 1 WHERE lsn = 4",
        "UPDATE snapshot SET bytes = 99 WHERE lsn = 4",
        "DELETE FROM snapshot_part WHERE lsn = 4",
    ])
    func `a damaged newest snapshot gives way to the older one and the journal`(sql: String) async throws {
        let recovery = try await damaged(sql).get()
        #expect(recovery.snapshots.map(\.lsn) == [2])
        #expect(recovery.rows.map(\.lsn) == [3, 4, 5, 6])
        #expect(recovery.notices.count == 1)
    }

    @Test func `a damaged entry of a campaign whose snapshot is damaged too is refused and named`() async throws {
        let folder = try Folder()
        let journal = try open(.sqlite, folder)
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(1, epoch: 1000), row(2, epoch: 1000, campaigns: [2])]).count == 2)
        for lsn in [UInt64(1), 2] { #expect(await journal.snapshot(1, lsn: lsn, epoch: 1000) == .stored) }
        await journal.close()
        try tamper(folder, "UPDATE snapshot SET checksum = 1")
        try tamper(folder, "UPDATE journal_campaign SET snapshot = 0 WHERE first = 0")
        try tamper(folder, "DELETE FROM journal WHERE id & 0xFFFF = 1")
        let again = try open(.sqlite, folder)
        var refusal: JournalError?
        do { _ = try await again.recover(slot) } catch { refusal = error }
        await again.close()
        guard case .damaged(let damage) = refusal else {
            Issue.record("recovered, or \(String(describing: refusal))")
            return
        }
        #expect(damage.campaigns == [campaign(1)])
    }

    @Test func `an older snapshot with voter data stays while the newer one is damaged`() async throws {
        let folder = try Folder()
        let journal = try open(.sqlite, folder)
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(1, epoch: 1000), row(2, epoch: 1000)]).last == .committed)
        for lsn in [UInt64(1), 2] {
            #expect(await journal.snapshot(1, lsn: lsn, epoch: 1000, voters: true) == .stored)
        }
        await journal.close()
        try tamper(folder, "UPDATE snapshot SET voters = 0 WHERE lsn = 2")
        let again = try open(.sqlite, folder)
        _ = try await again.expireVoterData(before: Timestamp(milliseconds: 2_000_000))
        #expect(try await again.recover(slot).snapshots.map(\.lsn) == [1])
        await again.close()
    }

    @Test func `two damaged snapshots are refused and name the campaign`() async throws {
        guard case .failure(.damaged(let damage)) = try await damaged("UPDATE snapshot SET checksum = 1") else {
            Issue.record("recovered")
            return
        }
        #expect(damage.campaigns == [campaign(1)] || damage.lsns != nil)
    }

    @Test func `a store locked by another connection is refused until it is free`() async throws {
        let folder = try Folder()
        await (try open(.sqlite, folder)).close()
        do {
            let other = try SQLiteConnection(path: folder.database, vfs: nil)
            try other.execute("PRAGMA locking_mode = EXCLUSIVE")
            try other.execute("BEGIN EXCLUSIVE")
            #expect(throws: JournalError.self) { try open(.sqlite, folder) }
        }
        let journal = try open(.sqlite, folder)
        #expect(try await journal.claim([slot]).count == 1)
        await journal.close()
    }

    @Test func `a newer schema is refused`() async throws {
        let folder = try Folder()
        await (try open(.sqlite, folder)).close()
        try tamper(folder, "PRAGMA user_version = 99")
        #expect(throws: JournalError.newerSchema(found: 99, known: 2)) { try open(.sqlite, folder) }
    }

    @Test func `a second lock of a folder names the holder`() throws {
        let folder = try Folder()
        let lock = try DataLock(folder: folder.path)
        #expect(throws: JournalError.locked(path: folder.path, pid: Int(getpid()))) {
            _ = try DataLock(folder: folder.path)
        }
        _ = lock
    }
}
