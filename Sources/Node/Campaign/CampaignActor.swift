// The owner of one campaign: its state machine, its output gate, its stream of events.
//
// It lives on its slot's loop for life and is called by the slot's shard alone, in batches:
//
//   commands ─► apply to the state, note the effect in the open records ─► seal(lsn) ─► [journal] ─► committed(lsn)
//                        │                                                                     │
//                        └ what may be seen waits in a generation ───────────────────────────► replies, events
//
// The state runs ahead of the journal; nothing of what is ahead leaves before its row is committed, rejections
// included, since they may rest on an effect that is not committed yet.

import Domain
import Platform
import Protocol

@safe actor CampaignActor {
    /// What the shard needs to know after each call.
    struct Turn: Sendable {
        /// Effects wait to be sealed into a row.
        var isDirty: Bool
        /// Bytes and votes of the open records.
        var openBytes: Int
        var openVotes: Int
        /// The state at rest, where somebody wants it.
        var capture: CapturedState?
        /// Nanoseconds until the campaign wants to be called again, if nothing else happens.
        var wakeAfter: UInt64?
    }

    nonisolated let id: CampaignID
    nonisolated let unownedExecutor: UnownedSerialExecutor
    let context: CampaignContext

    var state: Campaign
    var position: Position
    /// The position of the newest event that left.
    var lastEmitted: Position?
    var ring: EventRing
    var conflator = UpdateConflator()
    var records = RecordWriter()
    var pending: [Generation] = []
    /// Edges with subscribers, by index.
    var subscribedEdges: [UInt16] = []
    var outgoing: [[EdgeMessage]]
    /// Votes of this turn whose answers wait for nothing, by edge.
    var settledVotes: [[VoteReply]]
    var snapshots: SnapshotPolicy
    /// What may be seen while effects wait for their commit; `nil` where the state itself may be.
    var heldView: CommittedView?
    /// Who waits for a comparison with the journal.
    var verifications: [ReplyTicket] = []

    /// The newest row that concerns this campaign.
    var newestLSN: UInt64

    /// - Parameters:
    ///   - position: where its stream stands: at the start of an epoch, or where a passivated campaign left off.
    ///   - lsn: the newest row that the state holds; 0 for a campaign that begins.
    ///   - journalBytes: what recovery replayed on top of the newest snapshot.
    ///   - past: the stream's recent past, where another owner handed it over.
    init(
        state: Campaign, position: Position, lsn: UInt64, snapshotBytes: Int?, journalBytes: Int,
        past: StreamPast? = nil, context: CampaignContext
    ) {
        id = state.id
        self.state = state
        self.position = position
        lastEmitted = position.seq == 0 ? nil : position
        newestLSN = lsn
        self.context = context
        unsafe unownedExecutor = unsafe context.executor.asUnownedSerialExecutor()
        let monotonic = context.clock.monotonic().nanoseconds
        ring = past.map { EventRing($0, now: monotonic) } ?? EventRing(startingAt: position)
        // The owner before may have owed an update that followers who resume would miss.
        if past != nil, state.runningPoll != nil { conflator.tallyChanged() }
        outgoing = Array(repeating: [], count: context.transport.edgeCount)
        settledVotes = Array(repeating: [], count: context.transport.edgeCount)
        snapshots = SnapshotPolicy(
            snapshotBytes: snapshotBytes, journalBytes: journalBytes, now: monotonic)
    }

    // MARK: - Commands

    /// Applies a batch in order; answers that depend on nothing uncommitted leave at the end of the call.
    func handle(_ commands: [Command]) -> Turn {
        for index in commands.indices { handle(commands[index]) }
        return endTurn()
    }

    func handle(_ command: Command) {
        switch command.body {
        case .vote(let vote): castVote(vote, command)
        case .subscribe(let after): subscribe(after, command.ticket)
        case .leave: subscribedEdges.removeAll { $0 == command.ticket.edge }
        case .manage(.signal(let principal, let name, let data), let mark):
            signal(principal, name: name, data: data, command, mark)
        case .manage(.readCampaign, _): read(.readCampaign, command.ticket)
        case .manage(.readPolls(let limit), _): read(.readPolls(limit: limit), command.ticket)
        case .manage(.readPoll(let poll), _): read(.readPoll(poll), command.ticket)
        case .manage(let management, let mark): manage(management, mark, command)
        case .verify: verifications.append(command.ticket)
        }
    }

    func castVote(_ vote: VoteCommand, _ command: Command) {
        var voter: Hash128?
        var mark: Hash128?
        if vote.poll == state.runningPoll, let key = state.runningVoterKey {
            voter = vote.voter.map { VoterHash.voter($0, key: key) }
            mark = vote.key.map { VoterHash.mark($0, key: key) }
        }
        let bytesBefore = records.byteCount
        holdView()
        do throws(ClientError) {
            let status = try state.castVote(
                poll: vote.poll, option: vote.option, voter: voter, key: mark, channel: vote.channel,
                at: command.receivedAt, into: &records)
            context.metrics.votes(status).increment()
            if records.byteCount != bytesBefore { openGeneration { $0.noteVote() } }
            gateVote(VoteReply(ticket: command.ticket, status: status))
        } catch {
            if error.code == .pollClosed { context.metrics.lateVotes.increment() }
            context.metrics.votesRefused.increment()
            gate(GatedReply(ticket: command.ticket, reply: .failure(error)))
        }
    }

    // MARK: - Time

    /// Applies countdown marks and the end that are due, and sends an update that is owed.
    func wake(at now: Timestamp) -> Turn {
        var time = now
        // Votes read before the end may still be on their way from another loop: the end waits a moment for them.
        if let end = state.runningEndsAt, now >= end, now < Self.receiptDeadline(end) {
            time = end.advanced(byMilliseconds: -1)
        }
        applyDue(at: time)
        expireReplies()
        return endTurn()
    }

    static func receiptDeadline(_ end: Timestamp) -> Timestamp {
        end.advanced(byMilliseconds: CampaignLimits.receiptGraceMilliseconds)
    }

    func applyDue(at now: Timestamp) {
        guard let deadline = state.nextDeadline, deadline <= now else { return }
        record(state.dueEvents(at: now))
    }

    /// Nothing waits for a commit or for room at an edge, and nobody for a comparison.
    var isSettled: Bool {
        pending.isEmpty && verifications.isEmpty && outgoing.allSatisfy(\.isEmpty)
    }

    // MARK: - Turns

    /// Sends what the turn produced, one batch per edge.
    func endTurn() -> Turn {
        let monotonic = context.clock.monotonic().nanoseconds
        sendOwedUpdate(at: monotonic)
        sendOutgoing()
        let isDirty = pending.last.map { $0.lsn == nil } ?? false
        return Turn(
            isDirty: isDirty, openBytes: records.byteCount, openVotes: records.voteCount,
            capture: pending.isEmpty ? captureIfWanted(at: monotonic) : nil, wakeAfter: wakeAfter(monotonic))
    }

    func sendOutgoing() {
        for edge in settledVotes.indices where !settledVotes[edge].isEmpty {
            post(.votes(settledVotes[edge], position), to: UInt16(edge))
            settledVotes[edge] = []
        }
        for edge in outgoing.indices where !outgoing[edge].isEmpty {
            context.transport.deliver(&outgoing[edge], to: UInt16(edge))
        }
    }

    /// Nanoseconds until something is owed to somebody, whatever the campaign's own deadlines.
    func patience(_ monotonic: UInt64) -> UInt64 {
        var soonest: UInt64 = .max
        if let delay = conflator.delay(at: monotonic), delay > 0 { soonest = delay }
        if let delay = snapshots.delay(at: monotonic), delay > 0 { soonest = min(soonest, delay) }
        for generation in pending {
            if let patience = generation.patience(at: monotonic) { soonest = min(soonest, patience) }
        }
        // An edge's queue was full: what it did not take is offered again.
        if outgoing.contains(where: { !$0.isEmpty }) { soonest = min(soonest, ShardLimits.offerAgainNanoseconds) }
        return soonest
    }

    private func wakeAfter(_ monotonic: UInt64) -> UInt64? {
        var soonest = patience(monotonic)
        if var deadline = state.nextDeadline {
            if let end = state.runningEndsAt, deadline >= end { deadline = Self.receiptDeadline(end) }
            let milliseconds = max(1, deadline.milliseconds(since: context.clock.now()))
            // Looked at again each second, so that a step of the wall clock is noticed.
            soonest = min(soonest, UInt64(milliseconds) * 1_000_000, 1_000_000_000)
        }
        return soonest == .max ? nil : soonest
    }
}
