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
    private let context: CampaignContext

    private(set) var state: Campaign
    private(set) var position: Position
    /// The position of the newest event that left.
    private var lastEmitted: Position?
    private var ring: EventRing
    private var conflator = UpdateConflator()
    private var records = RecordWriter()
    private var pending: [Generation] = []
    /// Edges with subscribers, by index.
    private var subscribedEdges: [UInt16] = []
    private var outgoing: [[EdgeMessage]]
    /// Votes of this turn whose answers wait for nothing, by edge.
    private var settledVotes: [[VoteReply]]
    private var snapshots: SnapshotPolicy
    /// Who waits for a comparison with the journal.
    private var verifications: [ReplyTicket] = []

    /// - Parameter journalBytes: what recovery replayed on top of the newest snapshot.
    init(
        state: Campaign, epoch: UInt64, snapshotBytes: Int?, journalBytes: Int, context: CampaignContext
    ) {
        id = state.id
        self.state = state
        self.context = context
        unsafe unownedExecutor = unsafe context.executor.asUnownedSerialExecutor()
        position = Position(epoch: epoch, seq: 0)
        ring = EventRing(startingAt: position)
        outgoing = Array(repeating: [], count: context.edges.count)
        settledVotes = Array(repeating: [], count: context.edges.count)
        snapshots = SnapshotPolicy(
            snapshotBytes: snapshotBytes, journalBytes: journalBytes, now: context.clock.monotonic().nanoseconds)
    }

    // MARK: - Commands

    /// Applies a batch in order; answers that depend on nothing uncommitted leave at the end of the call.
    func handle(_ commands: [Command]) -> Turn {
        for index in commands.indices { handle(commands[index]) }
        return endTurn()
    }

    private func handle(_ command: Command) {
        switch command.body {
        case .vote(let vote): castVote(vote, command)
        case .subscribe(let after): subscribe(after, command.ticket)
        case .leave: subscribedEdges.removeAll { $0 == command.ticket.edge }
        case .manage(.signal(let principal, let name, let data), let mark):
            signal(principal, name: name, data: data, command, mark)
        case .manage(let management, let mark): manage(management, mark, command)
        case .verify: verifications.append(command.ticket)
        }
    }

    private func castVote(_ vote: VoteCommand, _ command: Command) {
        var voter: Hash128?
        var mark: Hash128?
        if vote.poll == state.runningPoll, let key = state.runningVoterKey {
            voter = vote.voter.map { VoterHash.voter($0, key: key) }
            mark = vote.key.map { VoterHash.mark($0, key: key) }
        }
        let bytesBefore = records.byteCount
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
            gate(.answer(command.ticket, .failure(error)))
        }
    }

    private func manage(_ command: ManagementCommand, _ mark: IdempotencyMark?, _ origin: Command) {
        applyDue(at: origin.receivedAt)
        do {
            if let mark, let first = try state.remembered(key: mark.key, body: mark.body, at: origin.receivedAt) {
                gate(.answer(origin.ticket, .document(status: Int(first.status), json: first.bytes)))
                return
            }
        } catch {
            gate(.answer(origin.ticket, .failure(error)))
            return
        }
        let reply: Reply
        do {
            reply = try execute(command, at: origin.receivedAt)
        } catch {
            reply = .document(status: error.code.httpStatus, json: ReplyDocuments.failure(error))
        }
        if let mark, case .document(let status, let json) = reply {
            remember(mark, status, json, at: origin.receivedAt)
        }
        gate(.answer(origin.ticket, reply))
    }

    /// Journals the first final reply to an Idempotency-Key in the row of its effect.
    private func remember(_ mark: IdempotencyMark, _ status: Int, _ json: [UInt8], at now: Timestamp) {
        record([.replyRemembered(key: mark.key, body: mark.body, at: now, status: UInt16(status), bytes: json)])
    }

    /// Decides and applies one rare command.
    private func execute(_ command: ManagementCommand, at now: Timestamp) throws(ClientError) -> Reply {
        switch command {
        case .create:
            // The shard created this campaign with the event that began it; only the answer is left to make.
            return .document(status: 201, json: ReplyDocuments.campaign(state.view))
        case .update(let principal, let patch):
            try principal.requireManagement(ofOwner: state.ownerId)
            let description: String?? =
                switch patch.description {
                case .keep: nil
                case .set(let text): .some(text)
                case .clear: .some(nil)
                }
            record(try state.decide(.update(name: patch.name, description: description), at: now))
            return .document(status: 200, json: ReplyDocuments.campaign(state.view))
        case .delete(let principal):
            try principal.requireManagement(ofOwner: state.ownerId)
            record(try state.decide(.delete, at: now))
            return .document(status: 204, json: [])
        case .launch(let principal, let draft):
            try principal.requireManagement(ofOwner: state.ownerId)
            let poll = PollID(UUIDv7(at: now, random: context.random.next128()))
            let secret = context.random.next128()
            let checked = try Domain.PollDraft(
                question: draft.question, options: draft.options, durationSeconds: draft.durationSeconds,
                type: draft.type)
            let voterKey = Hash128(
                high: UInt64(truncatingIfNeeded: secret >> 64), low: UInt64(truncatingIfNeeded: secret))
            record(try state.decide(.launch(id: poll, checked, voterKey: voterKey), at: now))
            context.metrics.pollsLaunched.increment()
            return try pollDocument(poll, status: 201)
        case .cancel(let principal, let poll):
            try principal.requireManagement(ofOwner: state.ownerId)
            record(try state.decide(.cancel(poll), at: now))
            return try pollDocument(poll, status: 200)
        case .readCampaign:
            try requireAlive()
            return .document(status: 200, json: ReplyDocuments.campaign(state.view))
        case .readPolls(let limit):
            try requireAlive()
            return .document(
                status: 200, json: ReplyDocuments.polls(state.history(limit: limit, position: position)))
        case .readPoll(let poll):
            try requireAlive()
            return try pollDocument(poll, status: 200)
        case .signal:
            preconditionFailure("signals do not pass through the journal")
        }
    }

    private func requireAlive() throws(ClientError) {
        if state.isDeleted { throw ClientError(.notFound, "no such campaign") }
    }

    private func pollDocument(_ poll: PollID, status: Int) throws(ClientError) -> Reply {
        guard let view = state.pollView(poll, position: position) else {
            throw ClientError(.notFound, "no such poll in this campaign")
        }
        return .document(status: status, json: ReplyDocuments.poll(view))
    }

    // MARK: - Creation

    /// Journals the event that began this campaign and answers its creator.
    func begin(_ created: CampaignEvent, _ mark: IdempotencyMark?, _ ticket: ReplyTicket) -> Turn {
        records.append(created, campaign: id)
        openGeneration { _ in }
        let json = ReplyDocuments.campaign(state.view)
        if let mark { remember(mark, 201, json, at: state.createdAt) }
        gate(.answer(ticket, .document(status: 201, json: json)))
        return endTurn()
    }

    /// Answers a repeated keyed creation with the first reply, or refuses another body under the same key.
    func repeatCreation(_ mark: IdempotencyMark, at now: Timestamp, _ ticket: ReplyTicket) -> Turn {
        do {
            let first = try state.remembered(key: mark.key, body: mark.body, at: now)
            let json = first?.bytes ?? ReplyDocuments.campaign(state.view)
            gate(.answer(ticket, .document(status: 201, json: json)))
        } catch {
            gate(.answer(ticket, .failure(error)))
        }
        return endTurn()
    }

    // MARK: - Signals and subscriptions

    /// Signals are sequenced but not journaled, so they wait for no commit.
    private func signal(
        _ principal: Principal, name: String, data: [UInt8], _ origin: Command, _ mark: IdempotencyMark?
    ) {
        do throws(ClientError) {
            try requireAlive()
            try principal.requireManagement(ofOwner: state.ownerId)
            if let mark {
                try signalOnce(name: name, data: data, mark: mark, origin)
                return
            }
        } catch {
            gate(.answer(origin.ticket, .failure(error)))
            return
        }
        emit(.signal(name: name, data: data), at: origin.receivedAt)
        post(.reply(origin.ticket, .signal(position)), to: origin.ticket.edge)
    }

    /// A signal under an Idempotency-Key: the key is journaled, the signal itself is not.
    private func signalOnce(
        name: String, data: [UInt8], mark: IdempotencyMark, _ origin: Command
    ) throws(ClientError) {
        if let first = try state.remembered(key: mark.key, body: mark.body, at: origin.receivedAt) {
            gate(.answer(origin.ticket, .document(status: Int(first.status), json: first.bytes)))
            return
        }
        emit(.signal(name: name, data: data), at: origin.receivedAt)
        let json = ReplyDocuments.position(position)
        remember(mark, 202, json, at: origin.receivedAt)
        gate(.answer(origin.ticket, .document(status: 202, json: json)))
    }

    private func subscribe(_ after: Position?, _ ticket: ReplyTicket) {
        guard !state.isDeleted else {
            post(.joinFailed(ticket, id, ClientError(.notFound, "no such campaign")), to: ticket.edge)
            return
        }
        if let after, let missed = ring.events(after: after, current: position) {
            let subscribed = Subscribed(campaign: id, position: after, recovered: true, poll: nil)
            join(ticket, Joined(subscribed: subscribed, missed: missed))
            return
        }
        gate(.join(ticket, state.latestPoll(position: position), position))
    }

    private func join(_ ticket: ReplyTicket, _ joined: Joined) {
        if !subscribedEdges.contains(ticket.edge) { subscribedEdges.append(ticket.edge) }
        post(.joined(ticket, joined), to: ticket.edge)
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

    private static func receiptDeadline(_ end: Timestamp) -> Timestamp {
        end.advanced(byMilliseconds: CampaignLimits.receiptGraceMilliseconds)
    }

    private func applyDue(at now: Timestamp) {
        guard let deadline = state.nextDeadline, deadline <= now else { return }
        record(state.dueEvents(at: now))
    }

    /// A commit that does not come leaves the outcome unknown, and says so in time.
    private func expireReplies() {
        let now = context.clock.monotonic().nanoseconds
        for index in pending.indices where pending[index].age(at: now) >= CampaignLimits.replyNanosecondsLimit {
            let expired = pending[index]
            pending[index].replies = []
            pending[index].votes = []
            refuseAll(expired, ClientError(.timeout, "the journal did not confirm in time: the outcome is unknown"))
        }
    }

    /// The slot is no longer ours: whatever waits gets an answer, nothing of it is shown.
    func abandon(_ error: ClientError) {
        for generation in pending {
            refuseAll(generation, ClientError(.timeout, "the slot moved: the outcome is unknown"))
        }
        pending = []
        verifications.forEach { post(.reply($0, .failure(error)), to: $0.edge) }
        sendOutgoing()
    }

    private func refuseAll(_ generation: Generation, _ error: ClientError) {
        for reply in generation.replies { refuse(reply, error) }
        for votes in generation.votes {
            for vote in votes { post(.reply(vote.ticket, .failure(error)), to: vote.ticket.edge) }
        }
    }

    private func refuse(_ reply: GatedReply, _ error: ClientError) {
        switch reply {
        case .answer(let ticket, _): post(.reply(ticket, .failure(error)), to: ticket.edge)
        case .join(let ticket, _, _): post(.joinFailed(ticket, id, error), to: ticket.edge)
        }
    }

    // MARK: - Effects and the gate

    /// Applies decided events and notes them for the journal and for the subscribers.
    private func record(_ events: [CampaignEvent]) {
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

    private func openGeneration(_ body: (inout Generation) -> Void) {
        if pending.last?.lsn != nil || pending.isEmpty {
            pending.append(Generation(openedAt: context.clock.monotonic().nanoseconds))
        }
        body(&pending[pending.count - 1])
    }

    /// As `gate`, for the answers of the road of a vote: they wait in bulk, by edge, and leave in bulk.
    private func gateVote(_ reply: VoteReply) {
        let edge = Int(reply.ticket.edge)
        guard !pending.isEmpty else {
            settledVotes[edge].append(reply)
            return
        }
        pending[pending.count - 1].append(reply, edge: edge, of: outgoing.count)
    }

    /// Holds an answer back until everything that it may rest on is committed; at once where nothing is pending.
    private func gate(_ reply: GatedReply) {
        guard pending.isEmpty else {
            pending[pending.count - 1].replies.append(reply)
            return
        }
        release(reply)
    }

    private func release(_ reply: GatedReply) {
        switch reply {
        case .answer(let ticket, let answer):
            post(.reply(ticket, answer), to: ticket.edge)
        case .join(let ticket, let poll, let at):
            // Events that left since the view was taken follow it, so that nothing is missed in between.
            let missed = ring.events(after: at, current: position) ?? []
            let subscribed = Subscribed(campaign: id, position: at, recovered: false, poll: poll)
            join(ticket, Joined(subscribed: subscribed, missed: missed))
        }
    }

    /// Takes the open records for the row `lsn`. What waits for them is released by `committed`.
    func seal(_ lsn: UInt64) -> (records: [UInt8], votes: Int, capture: CapturedState?) {
        precondition(pending.last.map { $0.lsn == nil } ?? false, "campaign \(id) sealed without open effects")
        let votes = records.voteCount
        let bytes = records.take()
        let now = context.clock.monotonic().nanoseconds
        pending[pending.count - 1].lsn = lsn
        if votes > 0, conflator.mayLeave(at: now) {
            pending[pending.count - 1].tally = state.tally
        }
        snapshots.journaled(bytes: bytes.count, now: now)
        return (bytes, votes, captureIfWanted(at: now))
    }

    /// A copy of the state for a snapshot or a verification. Copying shares the tables, so it costs next to nothing.
    private func captureIfWanted(at now: UInt64) -> CapturedState? {
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
            release(first, at: now)
        }
        return endTurn()
    }

    private func release(_ generation: Generation, at now: Timestamp) {
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
        if let tally = generation.tally, conflator.isOwed {
            let monotonic = context.clock.monotonic().nanoseconds
            emitUpdate(tally, at: now, monotonic: monotonic)
        }
        for (edge, votes) in generation.votes.enumerated() where !votes.isEmpty {
            post(.votes(votes, position), to: UInt16(edge))
        }
        for reply in generation.replies { release(reply) }
    }

    // MARK: - Emission

    private func emitUpdate(_ tally: TallyView, at now: Timestamp, monotonic: UInt64) {
        conflator.updateSent(at: monotonic)
        // An update stands at the newest batch that it shows, unless another event has that place or a later one.
        if lastEmitted == position { position.seq += 1 }
        let event = SharedEvent(ServerEvent(campaign: id, position: position, at: now, body: .pollUpdate(tally)))
        broadcast(event)
    }

    private func emit(_ body: EventBody, at now: Timestamp) {
        position.seq += 1
        broadcast(SharedEvent(ServerEvent(campaign: id, position: position, at: now, body: body)))
    }

    private func broadcast(_ event: SharedEvent) {
        lastEmitted = event.position
        ring.append(event, now: context.clock.monotonic().nanoseconds)
        for edge in subscribedEdges { post(.event(event), to: edge) }
    }

    private func post(_ message: EdgeMessage, to edge: UInt16) {
        outgoing[Int(edge)].append(message)
    }

    /// Sends what the turn produced, one batch per edge.
    private func endTurn() -> Turn {
        let monotonic = context.clock.monotonic().nanoseconds
        if pending.isEmpty, conflator.isOwed, conflator.mayLeave(at: monotonic), let tally = state.tally {
            emitUpdate(tally, at: context.clock.now(), monotonic: monotonic)
        }
        sendOutgoing()
        let isDirty = pending.last.map { $0.lsn == nil } ?? false
        return Turn(
            isDirty: isDirty, openBytes: records.byteCount, openVotes: records.voteCount,
            capture: pending.isEmpty ? captureIfWanted(at: monotonic) : nil, wakeAfter: wakeAfter(monotonic))
    }

    private func sendOutgoing() {
        for edge in settledVotes.indices where !settledVotes[edge].isEmpty {
            post(.votes(settledVotes[edge], position), to: UInt16(edge))
            settledVotes[edge] = []
        }
        for edge in outgoing.indices where !outgoing[edge].isEmpty {
            context.edges[edge].deliver(&outgoing[edge])
        }
    }

    private func wakeAfter(_ monotonic: UInt64) -> UInt64? {
        var soonest: UInt64 = .max
        if let delay = conflator.delay(at: monotonic), delay > 0 { soonest = delay }
        if let delay = snapshots.delay(at: monotonic), delay > 0 { soonest = min(soonest, delay) }
        if let oldest = pending.first {
            let age = oldest.age(at: monotonic)
            if age < CampaignLimits.replyNanosecondsLimit {
                soonest = min(soonest, CampaignLimits.replyNanosecondsLimit - age)
            }
        }
        if var deadline = state.nextDeadline {
            if let end = state.runningEndsAt, deadline >= end { deadline = Self.receiptDeadline(end) }
            let milliseconds = max(1, deadline.milliseconds(since: context.clock.now()))
            // Looked at again each second, so that a step of the wall clock is noticed.
            soonest = min(soonest, UInt64(milliseconds) * 1_000_000, 1_000_000_000)
        }
        return soonest == .max ? nil : soonest
    }
}
