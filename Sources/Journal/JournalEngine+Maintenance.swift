// What the engine does between flushes: one part of a snapshot, one removal or one step of trimming at a time.

import Platform
import Protocol

extension JournalEngine {
    /// One part of a snapshot, one removal or one step of trimming; `false` when none is due.
    func step(_ core: inout Core, _ effects: inout [@Sendable () -> Void]) -> Bool {
        if core.writing != nil {
            advance(&core, &effects)
            return true
        }
        if let slot = core.trims.last {
            trim(slot, &core)
            return true
        }
        guard let due = core.waiting.firstIndex(where: { Self.isDue($0, core) }) else { return false }
        let work = core.waiting.remove(at: due)
        inbox.withLock { $0.maintenanceCount -= 1 }
        let (slot, epoch) = Self.owner(work)
        guard core.claims[slot]?.epoch == epoch else {
            effects.append(Self.finish(work, .failed(.fenced(slot))))
            return true
        }
        switch work {
        case .snapshot(let job, let completion):
            let state = job.encode()
            let header = SnapshotHeader(
                campaign: job.campaign, slot: slot, lsn: job.lsn, epoch: epoch, wakeAt: job.wakeAt,
                holdsVoterData: job.holdsVoterData, byteCount: state.count)
            core.writing = Writing(
                header: header, state: state, completion: completion, readBack: header.checksum)
        case .removal(let campaign, _, let lsn, _, _):
            do throws(JournalError) {
                try core.store.removeCampaign(campaign, slot: slot, lsn: lsn, epoch: epoch)
                core.trims.append(slot)
                effects.append(Self.finish(work, .stored))
            } catch {
                effects.append(Self.finish(work, .failed(error)))
            }
        }
        return true
    }

    /// One step; a slot that fails waits for `retryTrims`, so that a broken disk is not asked again and again.
    private func trim(_ slot: Slot, _ core: inout Core) {
        guard let claim = core.claims[slot] else {
            core.trims.removeLast()
            return
        }
        do throws(JournalError) {
            if try core.store.trim(slot, epoch: claim.epoch, limit: Self.trimStepRows) { return }
        } catch {
            figures.withLock { figures in
                figures.trimFailures += 1
                figures.lastTrimError = error
            }
            core.failedTrims.insert(slot)
            core.trimFailedAt = nanoseconds()
        }
        core.trims.removeLast()
    }

    /// Trims once more where it failed, after a pause; called by each turn, so an idle journal waits for its next work.
    func retryTrims(_ core: inout Core) {
        guard !core.failedTrims.isEmpty, nanoseconds() &- core.trimFailedAt >= Self.trimPauseNanoseconds else { return }
        for slot in core.failedTrims.sorted() where !core.trims.contains(slot) { core.trims.append(slot) }
        core.failedTrims = []
    }

    private func advance(_ core: inout Core, _ effects: inout [@Sendable () -> Void]) {
        guard var writing = core.writing else { return }
        core.writing = nil
        let header = writing.header
        do throws(JournalError) {
            if writing.written < header.partCount {
                let start = writing.written * SnapshotHeader.partBytes
                let end = min(start + SnapshotHeader.partBytes, header.byteCount)
                let part = Array(writing.state[start..<end])
                try core.store.storePart(header, index: writing.written, bytes: part, now: now())
                writing.written += 1
                core.writing = writing
            } else if writing.verified < header.partCount {
                writing.readBack.add(try core.store.readPart(header, index: writing.verified))
                writing.verified += 1
                core.writing = writing
            } else {
                var expected = header.checksum
                expected.add(writing.state)
                guard expected.value == writing.readBack.value else {
                    throw .io("the snapshot of campaign \(header.campaign) did not read back as written")
                }
                try core.store.completeSnapshot(header, checksum: expected.value, now: now())
                figures.withLock { $0.snapshots += 1 }
                if !core.trims.contains(header.slot) { core.trims.append(header.slot) }
                let completion = writing.completion
                effects.append { completion(.stored) }
            }
        } catch {
            let completion = writing.completion
            effects.append { completion(.failed(error)) }
        }
    }

    private static func isDue(_ work: Maintenance, _ core: Core) -> Bool {
        let (slot, epoch) = owner(work)
        guard let claim = core.claims[slot], claim.epoch == epoch else { return true }
        switch work {
        case .snapshot(let job, _): return claim.tail >= job.lsn
        case .removal(_, _, let lsn, _, _): return claim.tail >= lsn
        }
    }

    private static func owner(_ work: Maintenance) -> (Slot, UInt64) {
        switch work {
        case .snapshot(let job, _): (job.slot, job.epoch)
        case .removal(_, let slot, _, let epoch, _): (slot, epoch)
        }
    }

    static func finish(_ work: Maintenance, _ outcome: SnapshotOutcome) -> @Sendable () -> Void {
        switch work {
        case .snapshot(_, let completion): { completion(outcome) }
        case .removal(_, _, _, _, let completion): { completion(outcome) }
        }
    }
}
