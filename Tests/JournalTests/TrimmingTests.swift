// Trimming that fails is counted and tried again; large snapshots do not let the write-ahead log grow.

import Foundation
import Platform
import Protocol
import Testing

@testable import Journal

@Suite(.timeLimit(.minutes(1)))
struct TrimmingTests {
    let slot = Slot(7)

    @Test func `a trim that fails is counted and tried again after a second`() async throws {
        let folder = try Folder()
        let clock = Locked(UInt64(0))
        let journal = try SQLiteJournal(
            path: folder.database, options: SQLiteStore.Options(idleCheckpointBytes: 1), now: at(1000),
            nanoseconds: { clock.withLock { $0 } })
        _ = try await journal.claim([slot])
        for lsn in UInt64(1)...4 { #expect(await journal.flush([row(lsn, epoch: 1000)]) == [.committed]) }
        /// A trigger stands for a disk that refuses: it fails the deletion of rows and nothing else.
        func execute(_ sql: String) async throws {
            try await journal.engine.ask { core in
                attempt { () throws(JournalError) in
                    guard let store = core.store as? SQLiteStore else { return }
                    try store.connection().execute(sql)
                }
            }
        }
        try await execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON journal BEGIN SELECT raise(ABORT, 'refused'); END")
        #expect(await journal.snapshot(1, lsn: 2, epoch: 1000) == .stored)
        #expect(await journal.snapshot(1, lsn: 3, epoch: 1000) == .stored)
        // Each question is a turn, and a turn ends with a step of what is due.
        _ = try await journal.index([slot])
        _ = try await journal.index([slot])
        #expect(journal.statistics.trimFailures == 1)
        #expect(journal.statistics.lastTrimError != nil)
        #expect(await journal.flush([row(5, epoch: 1000)]) == [.committed])
        #expect(journal.statistics.trimFailures == 1)
        try await execute("DROP TRIGGER refuse")
        clock.withLock { $0 += JournalEngine.trimPauseNanoseconds }
        #expect(try await rows(journal, untilOldestIs: 3) == [3, 4, 5])
        #expect(journal.statistics.trimFailures == 1)
        await journal.close()
    }

    @Test func `snapshots count toward the bound of the log`() async throws {
        let folder = try Folder()
        let store = try SQLiteStore(
            path: folder.database, options: SQLiteStore.Options(synchronous: "OFF", forcedCheckpointBytes: 4 << 20))
        _ = try store.claim([slot], now: Timestamp(milliseconds: 1_000_000))
        let header = SnapshotHeader(
            campaign: campaign(1), slot: slot, lsn: 1, epoch: 1000, wakeAt: nil, holdsVoterData: false,
            byteCount: 40 << 20)
        for part in 0..<header.partCount {
            let bytes = [UInt8](repeating: 1, count: SnapshotHeader.partBytes)
            try store.storePart(header, index: part, bytes: bytes, now: Timestamp(milliseconds: 1_000_000))
        }
        let log = try FileManager.default.attributesOfItem(atPath: folder.database + "-wal")
        #expect((log[.size] as? Int ?? .max) < 8 << 20)
        store.close()
    }
}
