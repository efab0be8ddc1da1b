// The rare commands: creating, changing, launching, cancelling, reading; and the replies that are remembered under an
// Idempotency-Key, journaled in the row of their effect.

import Domain
import Platform
import Protocol

extension CampaignActor {
    func manage(_ command: ManagementCommand, _ mark: IdempotencyMark?, _ origin: Command) {
        applyDue(at: origin.receivedAt)
        do {
            if let mark, let first = try state.remembered(key: mark.key, body: mark.body, at: origin.receivedAt) {
                gate(GatedReply(ticket: origin.ticket, reply: .document(status: Int(first.status), json: first.bytes)))
                return
            }
        } catch {
            gate(GatedReply(ticket: origin.ticket, reply: .failure(error)))
            return
        }
        let reply: Reply
        var isRemembered = mark != nil
        do throws(ClientError) {
            reply = try execute(command, at: origin.receivedAt)
        } catch {
            reply = .document(status: error.code.httpStatus, json: ReplyDocuments.failure(error))
            // These rest on who asked, not on the state: remembering them would let strangers push out the owner's keys.
            if error.code == .forbidden || error.code == .notFound { isRemembered = false }
        }
        if isRemembered, let mark, case .document(let status, let json) = reply {
            remember(mark, status, json, at: origin.receivedAt)
        }
        gate(GatedReply(ticket: origin.ticket, reply: reply))
    }

    /// Journals the first final reply to an Idempotency-Key in the row of its effect.
    func remember(_ mark: IdempotencyMark, _ status: Int, _ json: [UInt8], at now: Timestamp) {
        record([.replyRemembered(key: mark.key, body: mark.body, at: now, status: UInt16(status), bytes: json)])
    }

    /// Decides and applies one rare command.
    func execute(_ command: ManagementCommand, at now: Timestamp) throws(ClientError) -> Reply {
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
            let checked = try NewPoll(
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
        case .readCampaign, .readPolls, .readPoll, .signal:
            preconditionFailure("reads and signals do not pass through the journal")
        }
    }

    // MARK: - Reads

    /// Answers from what is committed, at once, also while the journal is away.
    func read(_ command: ManagementCommand, _ ticket: ReplyTicket) {
        let view = visible
        guard !view.isDeleted else {
            return post(.reply(ticket, .failure(ClientError(.notFound, "no such campaign"))), to: ticket.edge)
        }
        switch command {
        case .readCampaign: answer(ticket, ReplyDocuments.campaign(view.campaign))
        case .readPolls(let limit): answer(ticket, ReplyDocuments.polls(committedPolls(view, limit: limit)))
        case .readPoll(let poll):
            guard let found = committedPoll(poll, view) else {
                let error = ClientError(.notFound, "no such poll in this campaign")
                return post(.reply(ticket, .failure(error)), to: ticket.edge)
            }
            answer(ticket, ReplyDocuments.poll(found))
        case .create, .update, .delete, .launch, .cancel, .signal: preconditionFailure("not a read: \(command)")
        }
    }

    private func answer(_ ticket: ReplyTicket, _ json: [UInt8]) {
        post(.reply(ticket, .document(status: 200, json: json)), to: ticket.edge)
    }

    private func committedPoll(_ poll: PollID, _ view: CommittedView) -> PollView? {
        if let latest = view.poll(at: position), latest.tally.id == poll { return latest }
        // Every other poll ended long ago, unless it is one that only uncommitted effects know of.
        guard let found = state.pollView(poll, position: position), !isUncommitted(found, view) else { return nil }
        return found
    }

    private func committedPolls(_ view: CommittedView, limit: Int) -> [PollView] {
        guard heldView != nil else { return state.history(limit: limit, position: position) }
        var polls = state.history(limit: limit + 1, position: position).filter {
            $0.tally.id != view.poll?.tally.id && !isUncommitted($0, view)
        }
        if let latest = view.poll(at: position) { polls.insert(latest, at: 0) }
        return Array(polls.prefix(limit))
    }

    /// Ids of polls ascend with their launch: what is newer than the newest committed poll is not committed.
    private func isUncommitted(_ poll: PollView, _ view: CommittedView) -> Bool {
        heldView != nil && (view.poll.map { poll.startedAt > $0.startedAt } ?? true)
    }

    func requireAlive() throws(ClientError) {
        if state.isDeleted { throw ClientError(.notFound, "no such campaign") }
    }

    func pollDocument(_ poll: PollID, status: Int) throws(ClientError) -> Reply {
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
        gate(GatedReply(ticket: ticket, reply: .document(status: 201, json: json)))
        return endTurn()
    }

    /// Answers a repeated keyed creation with the first reply, or refuses another body under the same key.
    func repeatCreation(_ mark: IdempotencyMark, at now: Timestamp, _ ticket: ReplyTicket) -> Turn {
        do {
            let first = try state.remembered(key: mark.key, body: mark.body, at: now)
            let json = first?.bytes ?? ReplyDocuments.campaign(state.view)
            gate(GatedReply(ticket: ticket, reply: .document(status: 201, json: json)))
        } catch {
            gate(GatedReply(ticket: ticket, reply: .failure(error)))
        }
        return endTurn()
    }
}
