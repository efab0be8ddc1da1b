// Captured states on their way to the journal, and comparisons of what lives with what a replay gives.

import Cluster
import Domain
import Journal
import Platform
import Protocol

/// What became of a snapshot.
struct SnapshotAnswer: Sendable {
    let campaign: CampaignID
    /// Bytes that were stored and verified; `nil` where it failed.
    let bytes: Int?
}

extension Shard {
    /// Uses a capture whose every row is committed.
    func take(_ capture: CapturedState, _ entry: HostedCampaign, lsn: UInt64) {
        if capture.isForSnapshot { storeSnapshot(capture.state, entry.slot.ledger, lsn: lsn) }
        for ticket in capture.verifications { verify(capture.state, entry.slot.ledger.slot, lsn: lsn, ticket) }
    }

    private func storeSnapshot(_ state: Campaign, _ ledger: SlotLedger, lsn: UInt64) {
        let inbox = inbox
        let id = state.id
        let bytes = state.approximateSnapshotBytes
        let job = SnapshotJob(
            campaign: id, slot: ledger.slot, lsn: lsn, epoch: ledger.epoch, wakeAt: state.nextDeadline,
            holdsVoterData: state.holdsVoterData,
            encode: {
                var bytes: [UInt8] = []
                bytes.reserveCapacity(state.approximateSnapshotBytes)
                state.encodeSnapshot(into: &bytes)
                return bytes
            })
        context.metrics.snapshots.increment()
        context.journal.submitSnapshot(job) { outcome in
            switch outcome {
            case .stored: inbox.postUnbounded(.snapshotStored(SnapshotAnswer(campaign: id, bytes: bytes)))
            case .failed: inbox.postUnbounded(.snapshotStored(SnapshotAnswer(campaign: id, bytes: nil)))
            }
        }
    }

    func snapshotAnswered(_ outcome: SnapshotAnswer) async {
        guard let entry = campaigns[outcome.campaign] else { return }
        if outcome.bytes == nil { context.metrics.snapshotFailures.increment() }
        noteTurn(entry, await entry.actor.snapshotAnswered(bytes: outcome.bytes))
    }

    func wantSnapshots(_ wanted: [CampaignID]) async {
        for id in wanted {
            if let entry = campaigns[id] {
                noteTurn(entry, await entry.actor.wantSnapshot())
            } else if case .open(let slot)? = slots[Slot(of: id)] {
                _ = wake(id, in: slot, for: .snapshotWanted([id]))
            }
        }
    }

    // MARK: - Verification

    /// Replays the journal off the loop and compares; the answer comes back through the inbox.
    private func verify(_ live: Campaign, _ slot: Slot, lsn: UInt64, _ ticket: ReplyTicket) {
        guard verifications.count < ShardLimits.verificationsLimit else {
            let error = ClientError(.overloaded, "too many verifications are running", retryAfterMilliseconds: 5000)
            return post(.reply(ticket, .failure(error)), to: ticket.edge)
        }
        nextVerification += 1
        let number = nextVerification
        let journal = context.journal
        let inbox = inbox
        verifications[number] = Task.detached(executorPreference: context.beside) {
            let reply = await Self.compare(live, slot, lsn: lsn, journal)
            inbox.postUnbounded(.verified(number, ticket, reply))
        }
    }

    private static func compare(
        _ live: Campaign, _ slot: Slot, lsn: UInt64, _ journal: any Journal
    ) async -> Reply {
        do {
            let recovery = try await journal.recover(slot)
            if recovery.snapshots.contains(where: { $0.campaign == live.id && $0.lsn > lsn }) {
                return .failure(
                    ClientError(.unavailable, "a snapshot was stored meanwhile: ask again", retryAfterMilliseconds: 100)
                )
            }
            let replayed = try SlotReplay.campaigns(of: recovery, slot: slot, through: lsn)
            let other = replayed.first { $0.state.id == live.id }?.state
            let report = VerifyReport(
                lsn: lsn, votes: live.countedVotes, liveHash: live.stateHash, replayHash: other?.stateHash)
            return .document(status: 200, json: report.json())
        } catch {
            return .failure(ClientError(.internalError, "the journal cannot be replayed: \(error)"))
        }
    }
}

/// The outcome of a comparison of a live campaign with a replay of its journal.
struct VerifyReport: Sendable {
    let lsn: UInt64
    let votes: UInt64
    let liveHash: UInt64
    /// `nil` where the replay knows no such campaign.
    let replayHash: UInt64?

    func json() -> [UInt8] {
        var output: [UInt8] = []
        JSONWriter.raw("{\"ok\":", to: &output)
        JSONWriter.boolean(liveHash == replayHash, to: &output)
        JSONWriter.raw(",\"lsn\":", to: &output)
        JSONWriter.integer(lsn, to: &output)
        JSONWriter.raw(",\"votes\":", to: &output)
        JSONWriter.integer(votes, to: &output)
        JSONWriter.raw(",\"liveHash\":", to: &output)
        JSONWriter.string(Self.hex(liveHash), to: &output)
        JSONWriter.raw(",\"replayHash\":", to: &output)
        JSONWriter.string(replayHash.map(Self.hex), to: &output)
        JSONWriter.raw("}", to: &output)
        return output
    }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
