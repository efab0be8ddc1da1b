// Power cuts and failing calls, on a VFS that keeps only what was synced.

import CFaultVFS
import Protocol
import Testing

@testable import Journal

/// Serialized: the VFS is one for the process.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct FaultTests {
    let slot = Slot(7)

    private func open(_ path: String, _ options: SQLiteStore.Options) throws -> SQLiteJournal {
        var options = options
        options.vfs = "fault"
        return try SQLiteJournal(path: path, options: options, now: at(1000), nanoseconds: monotonic)
    }

    /// Commits rows, cuts the power after each, and counts the acked rows that are gone.
    private func lostAfterPowerCuts(_ options: SQLiteStore.Options, seeds: ClosedRange<UInt64>) async throws -> Int {
        faultvfs_reset()
        let journal = try open("a.db", options)
        _ = try await journal.claim([slot])
        var lost = 0
        for lsn in UInt64(1)...8 {
            #expect(await journal.flush([row(lsn, epoch: 1000, bytes: 6000)]) == [.committed])
            if lsn == 4 { _ = await journal.snapshot(1, lsn: 2, epoch: 1000, bytes: 100_000) }
            for seed in seeds {
                let name = "cut\(seed % 4).db"
                for suffix in ["", "-wal"] { faultvfs_forget(name + suffix) }
                faultvfs_crash("a.db", name, seed)
                do {
                    let left = try open(name, SQLiteStore.Options())
                    let recovery = try? await left.recover(slot)
                    if recovery?.tail != lsn { lost += 1 }
                    await left.close()
                } catch { lost += 1 }
            }
        }
        await journal.close()
        return lost
    }

    @Test func `every acked row survives a power cut with whatever part of unsynced writes`() async throws {
        #expect(try await lostAfterPowerCuts(SQLiteStore.Options(), seeds: 0...5) == 0)
    }

    @Test func `the same check sees the loss without syncs`() async throws {
        #expect(try await lostAfterPowerCuts(SQLiteStore.Options(synchronous: "OFF"), seeds: 0...0) > 0)
    }

    @Test func `the same check sees an ack before its commit`() async throws {
        #expect(try await lostAfterPowerCuts(SQLiteStore.Options(acknowledgesBeforeCommit: true), seeds: 0...0) > 0)
    }

    @Test(arguments: [false, true])
    func `whichever call fails, retries succeed once it stops and no acked row is lost`(lasting: Bool) async throws {
        for failing in Int32(1)...40 {
            faultvfs_reset()
            let journal = try open("a.db", SQLiteStore.Options())
            _ = try await journal.claim([slot])
            faultvfs_fail(failing, lasting ? 1 : 0)
            for lsn in UInt64(1)...4 {
                var outcome = await journal.flush([row(lsn, epoch: 1000, bytes: 6000)])
                if case .failed = outcome[0] {
                    if lasting {
                        #expect(await journal.flush([row(lsn, epoch: 1000, bytes: 6000)]) != [.committed])
                    }
                    faultvfs_fail(0, 0)
                    outcome = await journal.flush([row(lsn, epoch: 1000, bytes: 6000)])
                }
                #expect(outcome == [.committed], "call \(failing), row \(lsn)")
                faultvfs_crash("a.db", "b\(failing).\(lsn).db", 0)
                faultvfs_forget("b\(failing).\(lsn).db-journal")
                let left = try? open("b\(failing).\(lsn).db", SQLiteStore.Options())
                if left == nil { faultvfs_fail(0, 0) }
                let again = try left ?? open("b\(failing).\(lsn).db", SQLiteStore.Options())
                #expect(try await again.recover(slot).tail == lsn, "call \(failing), row \(lsn)")
                await again.close()
            }
            await journal.close()
        }
    }
}
