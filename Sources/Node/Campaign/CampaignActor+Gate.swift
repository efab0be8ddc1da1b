// The output gate: effects are noted for the journal, and whatever may be seen of them waits for the commit of the row
// that carries them.

import Domain
import Platform
import Protocol

extension CampaignActor {
    // MARK: - Effects and the gate

    /// Applies decided events and notes them for the journal and for the subscribers.
    func record(_ events: [CampaignEvent]) {
        if !events.isEmpty { holdView() }
        for event in events {
            state.evolve(event)
            records.append(event, campaign: id)
            let step = state.step(for: event, position: position)
            openGeneration { generation in
                if let step { generation.steps.append(step) }
            }
            if case .pollEnd? = step { snapshots.pollClosed() }
            if case .deleted? = step { snapshots.pollClosed() }
        }
    }

    func openGeneration(_ body: (inout Generation) -> Void) {
        if pending.last?.lsn != nil || pending.isEmpty {
            pending.append(Generation())
        }
        body(&pending[pending.count - 1])
    }

    /// As `gate`, for the answers of the road of a vote: they wait in bulk, by edge, and leave in bulk.
    func gateVote(_ reply: VoteReply) {
        let edge = Int(reply.ticket.edge)
        guard !pending.isEmpty else {
            settledVotes[edge].append(reply)
            return
        }
        noteWaiting()
        pending[pending.count - 1].append(reply, edge: edge, of: outgoing.count)
    }

    /// Holds an answer back until everything that it may rest on is committed; at once where nothing is pending.
    func gate(_ reply: GatedReply) {
        guard pending.isEmpty else {
            noteWaiting()
            pending[pending.count - 1].replies.append(reply)
            return
        }
        release(reply)
    }

    private func noteWaiting() {
        guard pending[pending.count - 1].waitingSince == nil else { return }
        pending[pending.count - 1].waitingSince = context.clock.monotonic().nanoseconds
    }

    private func release(_ reply: GatedReply) { post(.reply(reply.ticket, reply.reply), to: reply.ticket.edge) }

    /// What may be seen now: the state itself, or what was kept of it before effects that are not committed yet.
    var visible: CommittedView { heldView ?? CommittedView(of: state, position: position) }

    /// Keeps what may be seen, before the first effect of a quiet campaign is applied.
    func holdView() {
        if pending.isEmpty, heldView == nil { heldView = CommittedView(of: state, position: position) }
    }

    /// Takes the open records for the row `lsn`. What waits for them is released by `committed`.
    func seal(_ lsn: UInt64) -> (records: [UInt8], votes: Int, capture: CapturedState?) {
        precondition(pending.last.map { $0.lsn == nil } ?? false, "campaign \(id) sealed without open effects")
        let votes = records.voteCount
        let bytes = records.take()
        let now = context.clock.monotonic().nanoseconds
        pending[pending.count - 1].lsn = lsn
        newestLSN = lsn
        pending[pending.count - 1].view = CommittedView(of: state, position: position)
        snapshots.journaled(bytes: bytes.count, now: now)
        return (bytes, votes, captureIfWanted(at: now))
    }

    /// A copy of the state for a snapshot or a verification. Copying shares the tables, so it costs next to nothing.
    func captureIfWanted(at now: UInt64) -> CapturedState? {
        let isSnapshotDue = snapshots.isDue(at: now)
        guard isSnapshotDue || !verifications.isEmpty else { return nil }
        if isSnapshotDue { snapshots.captured() }
        let capture = CapturedState(state: state, isForSnapshot: isSnapshotDue, verifications: verifications)
        verifications = []
        return capture
    }

    /// The snapshot that was captured is stored, or could not be.
    func snapshotAnswered(bytes: Int?) -> Turn {
        let now = context.clock.monotonic().nanoseconds
        if let bytes { snapshots.stored(bytes: bytes, now: now) } else { snapshots.failed(now: now) }
        return endTurn()
    }

    /// Somebody needs a fresh snapshot of this campaign.
    func wantSnapshot() -> Turn {
        snapshots.wanted()
        return endTurn()
    }

    /// The row `lsn` is committed: its effects become visible.
    func committed(_ lsn: UInt64) -> Turn {
        let now = context.clock.now()
        while let first = pending.first, let sealed = first.lsn, sealed <= lsn {
            pending.removeFirst()
            heldView = first.view
            release(first, at: now)
        }
        if pending.isEmpty { heldView = nil }
        return endTurn()
    }

    func release(_ generation: Generation, at now: Timestamp) {
        for step in generation.steps {
            switch step {
            case .votes:
                position.seq += 1
                conflator.tallyChanged()
            case .pollStart(var poll):
                poll.position = Position(epoch: position.epoch, seq: position.seq + 1)
                conflator.superseded()
                emit(.pollStart(poll), at: now)
            case .countdown(let poll, let secondsLeft):
                emit(.pollCountdown(id: poll, secondsLeft: secondsLeft), at: now)
            case .pollEnd(var poll):
                poll.position = Position(epoch: position.epoch, seq: position.seq + 1)
                conflator.superseded()
                emit(.pollEnd(poll), at: now)
            case .updated(let view):
                emit(.campaignUpdated(view), at: now)
            case .deleted:
                emit(.campaignDeleted(id), at: now)
            }
        }
        sendOwedUpdate(at: context.clock.monotonic().nanoseconds)
        for (edge, votes) in generation.votes.enumerated() where !votes.isEmpty {
            post(.votes(votes, position), to: UInt16(edge))
        }
        for reply in generation.replies { release(reply) }
    }

    // MARK: - Commits that do not come

    /// A commit that does not come leaves the outcome unknown, and says so in time.
    func expireReplies() {
        let now = context.clock.monotonic().nanoseconds
        for index in pending.indices where pending[index].patience(at: now) == 0 {
            let expired = pending[index]
            pending[index].replies = []
            pending[index].votes = []
            pending[index].waitingSince = nil
            refuseAll(expired, ClientError(.timeout, "the journal did not confirm in time: the outcome is unknown"))
        }
    }

    /// The slot is no longer ours: whatever waits gets an answer, nothing of it is shown.
    func abandon(_ error: ClientError) {
        for generation in pending {
            refuseAll(generation, ClientError(.timeout, "the slot moved: the outcome is unknown"))
        }
        pending = []
        heldView = nil
        verifications.forEach { post(.reply($0, .failure(error)), to: $0.edge) }
        sendOutgoing()
    }

    func refuseAll(_ generation: Generation, _ error: ClientError) {
        for reply in generation.replies { refuse(reply, error) }
        for votes in generation.votes {
            for vote in votes { post(.reply(vote.ticket, .failure(error)), to: vote.ticket.edge) }
        }
    }

    private func refuse(_ reply: GatedReply, _ error: ClientError) {
        post(.reply(reply.ticket, .failure(error)), to: reply.ticket.edge)
    }
}
