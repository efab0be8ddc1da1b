// Power cuts and failing calls, on a VFS that keeps only what was synced.

import CFaultVFS
import Protocol
import Testing

@testable import Journal

/// Serialized: the VFS is one for the process.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct FaultTests {
    let slot = Slot(7)

    private func open(_ path: String, _ options: SQLiteStore.Options) throws -> SQLiteJournal {
        var options = options
        options.vfs = "fault"
        return try SQLiteJournal(path: path, options: options, now: at(1000), nanoseconds: monotonic)
    }

    /// What was left after power cuts, compared with what had been acknowledged.
    struct Damage: Equatable {
        /// Acknowledged rows that were gone from a journal which opened as if nothing had happened.
        var lost = 0
        /// Rows that came back with another content.
        var changed = 0
        /// Journals that could not be opened or recovered.
        var unusable = 0
    }

    /// Compares what recovery finds with the rows that were acknowledged.
    private func compare(_ name: String, _ acked: [SealedRow], _ damage: inout Damage) async {
        guard let left = try? open(name, SQLiteStore.Options()) else {
            damage.unusable += 1
            return
        }
        if let recovery = try? await left.recover(slot) {
            if recovery.tail < acked.last?.lsn ?? 0 { damage.lost += 1 }
            for row in recovery.rows {
                if let original = acked.first(where: { $0.lsn == row.lsn }), original != row { damage.changed += 1 }
            }
        } else {
            damage.unusable += 1
        }
        await left.close()
    }

    /// Commits rows, cuts the power after each, and compares.
    private func damageByPowerCuts(_ options: SQLiteStore.Options, seeds: ClosedRange<UInt64>) async throws -> Damage {
        faultvfs_reset()
        let journal = try open("a.db", options)
        _ = try await journal.claim([slot])
        var damage = Damage()
        var acked: [SealedRow] = []
        for lsn in UInt64(1)...8 {
            let sealed = row(lsn, epoch: 1000, bytes: 6000)
            #expect(await journal.flush([sealed]) == [.committed])
            acked.append(sealed)
            if lsn == 4 { _ = await journal.snapshot(1, lsn: 2, epoch: 1000, bytes: 100_000) }
            for seed in seeds {
                let name = "cut\(seed % 4).db"
                for suffix in ["", "-wal"] { faultvfs_forget(name + suffix) }
                faultvfs_crash("a.db", name, seed)
                await compare(name, acked, &damage)
            }
        }
        await journal.close()
        return damage
    }

    @Test func `every acked row survives a power cut with whatever part of unsynced writes`() async throws {
        #expect(try await damageByPowerCuts(SQLiteStore.Options(), seeds: 0...5) == Damage())
    }

    @Test func `the same check sees the loss without syncs`() async throws {
        #expect(try await damageByPowerCuts(SQLiteStore.Options(synchronous: "OFF"), seeds: 0...0).lost > 0)
    }

    @Test func `the same check sees an ack before its commit`() async throws {
        #expect(try await damageByPowerCuts(SQLiteStore.Options(acknowledgesBeforeCommit: true), seeds: 0...0).lost > 0)
    }

    /// What a power cut just before one call left.
    private struct Cut {
        var damage = Damage()
        /// Calls of the whole run.
        var calls: Int32
        /// The cut was inside a checkpoint, with this many rows acked by then.
        var rowsInCheckpoint: Int?
    }

    /// Runs rows and snapshots with the power cut just before the given call; what was acked by then must be there.
    private func cut(before call: Int32, seed: UInt64, _ options: SQLiteStore.Options) async throws -> Cut {
        faultvfs_reset()
        faultvfs_crash_at(call, "cut.db", seed)
        let journal = try open("a.db", options)
        _ = try await journal.claim([slot])
        var acked: [SealedRow] = []
        for lsn in UInt64(1)...6 {
            let sealed = row(lsn, epoch: 1000, bytes: 6000)
            let callsAtAck = await withCheckedContinuation { continuation in
                _ = journal.submit([sealed]) { outcomes in
                    continuation.resume(returning: outcomes[0].outcome == .committed ? faultvfs_calls() : .max)
                }
            }
            if callsAtAck < call { acked.append(sealed) }
            if lsn == 3 || lsn == 5 { _ = await journal.snapshot(1, lsn: lsn, epoch: 1000, bytes: 40_000) }
        }
        await journal.close()
        var result = Cut(calls: faultvfs_calls())
        if call <= result.calls { await compare("cut.db", acked, &result.damage) }
        if faultvfs_cut_in_database() != 0 { result.rowsInCheckpoint = acked.count }
        return result
    }

    /// Cuts before every call of the run; returns the acked rows of each cut that was inside a checkpoint.
    private func cutEverywhere(seed: UInt64, _ options: SQLiteStore.Options) async throws -> [Int] {
        var inCheckpoints: [Int] = []
        var call: Int32 = 1
        var last: Int32 = 1
        while call <= last {
            let cut = try await cut(before: call, seed: seed, options)
            #expect(cut.damage == Damage(), "cut before call \(call), seed \(seed)")
            if let rows = cut.rowsInCheckpoint { inCheckpoints.append(rows) }
            last = cut.calls
            call += 1
        }
        #expect(last > 40, "too few calls to cut at: \(last)")
        return inCheckpoints
    }

    @Test(arguments: [UInt64(0), 1, 2])
    func `a power cut in the middle of anything loses nothing that was acked`(seed: UInt64) async throws {
        _ = try await cutEverywhere(seed: seed, SQLiteStore.Options())
    }

    @Test(arguments: [UInt64(0), 1])
    func `a power cut inside a checkpoint loses nothing that was acked`(seed: UInt64) async throws {
        let options = SQLiteStore.Options(idleCheckpointBytes: 1, forcedCheckpointBytes: 20_000)
        let rows = try await cutEverywhere(seed: seed, options)
        // Several checkpoints were cut, some after one row, some after most; when exactly a moment is idle varies.
        #expect(Set(rows.filter { $0 > 0 }).count > 3, "\(rows)")
        #expect(rows.count > 30, "\(rows)")
    }

    /// A flush whose failure is expected is repeated once nothing fails any more; returns how many calls failed.
    private func failures(from failing: Int32, lasting: Bool) async throws -> Int32 {
        faultvfs_reset()
        let options = SQLiteStore.Options(idleCheckpointBytes: 1)
        let journal = try open("a.db", options)
        _ = try await journal.claim([slot])
        faultvfs_fail(failing, lasting ? 1 : 0)
        var fired: Int32 = 0
        for lsn in UInt64(1)...4 {
            let sealed = row(lsn, epoch: 1000, bytes: 6000)
            var outcome = await journal.flush([sealed])
            if case .failed = outcome[0] {
                if lasting { #expect(await journal.flush([sealed]) != [.committed]) }
                fired = faultvfs_fired()
                #expect(fired > 0, "call \(failing), row \(lsn)")
                faultvfs_fail(0, 0)
                outcome = await journal.flush([sealed])
            }
            #expect(outcome == [.committed], "call \(failing), row \(lsn)")
            let name = "b\(lsn).db"
            for suffix in ["", "-wal"] { faultvfs_forget(name + suffix) }
            faultvfs_crash("a.db", name, 0)
            let left = try open(name, SQLiteStore.Options())
            #expect(try await left.recover(slot).tail == lsn, "call \(failing), row \(lsn)")
            await left.close()
        }
        await journal.close()
        return max(fired, faultvfs_fired())
    }

    @Test(arguments: [false, true])
    func `whichever call fails, retries succeed once it stops and no acked row is lost`(lasting: Bool) async throws {
        var failing: Int32 = 1
        while true {
            let fired = try await failures(from: failing, lasting: lasting)
            if fired == 0 { break }  // the run has fewer calls than that
            if !lasting { #expect(fired == 1, "call \(failing)") }
            failing += 1
        }
        #expect(failing > 40, "too few calls to fail: \(failing - 1)")
    }
}
