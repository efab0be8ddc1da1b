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

    /// Runs rows and snapshots with the power cut just before the given call; what was acked by then must be there.
    private func damageByCut(at call: Int32, seed: UInt64) async throws -> (Damage, calls: Int32) {
        faultvfs_reset()
        faultvfs_crash_at(call, "cut.db", seed)
        let journal = try open("a.db", SQLiteStore.Options())
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
        let calls = faultvfs_calls()
        await journal.close()
        var damage = Damage()
        if call <= calls { await compare("cut.db", acked, &damage) }
        return (damage, calls)
    }

    @Test(arguments: [UInt64(0), 1, 2])
    func `a power cut in the middle of anything loses nothing that was acked`(seed: UInt64) async throws {
        var call: Int32 = 1
        var last: Int32 = 1
        while call <= last {
            let (damage, calls) = try await damageByCut(at: call, seed: seed)
            #expect(damage == Damage(), "cut before call \(call), seed \(seed)")
            last = calls
            call += 1
        }
        #expect(last > 40, "too few calls to cut at: \(last)")
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
