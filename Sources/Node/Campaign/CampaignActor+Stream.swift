// The campaign's stream: signals, subscriptions, and the emission of events under rising positions.

import Domain
import Platform
import Protocol

extension CampaignActor {
    // MARK: - Signals and subscriptions

    /// Signals are sequenced but not journaled, so they wait for no commit.
    func signal(
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
            gate(GatedReply(ticket: origin.ticket, reply: .failure(error)))
            return
        }
        emit(.signal(name: name, data: data), at: origin.receivedAt)
        post(.reply(origin.ticket, .signal(position)), to: origin.ticket.edge)
    }

    /// A signal under an Idempotency-Key: the key is journaled, the signal itself is not.
    func signalOnce(
        name: String, data: [UInt8], mark: IdempotencyMark, _ origin: Command
    ) throws(ClientError) {
        if let first = try state.remembered(key: mark.key, body: mark.body, at: origin.receivedAt) {
            gate(GatedReply(ticket: origin.ticket, reply: .document(status: Int(first.status), json: first.bytes)))
            return
        }
        emit(.signal(name: name, data: data), at: origin.receivedAt)
        let json = ReplyDocuments.position(position)
        remember(mark, 202, json, at: origin.receivedAt)
        gate(GatedReply(ticket: origin.ticket, reply: .document(status: 202, json: json)))
    }

    /// Answered at once, from what is committed: a subscriber waits for no flush.
    func subscribe(_ after: Position?, _ ticket: ReplyTicket) {
        let view = visible
        guard !view.isDeleted else {
            post(.joinFailed(ticket, id, ClientError(.notFound, "no such campaign")), to: ticket.edge)
            return
        }
        if let after, let missed = ring.events(after: after, current: position) {
            let subscribed = Subscribed(campaign: id, position: after, recovered: true, poll: nil)
            return join(ticket, Joined(subscribed: subscribed, missed: missed, epoch: position.epoch))
        }
        let subscribed = Subscribed(
            campaign: id, position: position, recovered: false, poll: view.poll(at: position))
        // An update that is still owed to the others gets a place behind it: whoever has been told of this one takes none
        // that stands at it for news.
        lastEmitted = position
        join(ticket, Joined(subscribed: subscribed, missed: []))
    }

    func join(_ ticket: ReplyTicket, _ joined: Joined) {
        if !subscribedEdges.contains(ticket.edge) { subscribedEdges.append(ticket.edge) }
        post(.joined(ticket, joined), to: ticket.edge)
    }

    // MARK: - Emission

    /// Sends the committed tally where an update is owed and may leave.
    func sendOwedUpdate(at monotonic: UInt64) {
        guard conflator.isOwed, conflator.mayLeave(at: monotonic), let poll = visible.poll, poll.status == .running
        else { return }
        conflator.updateSent(at: monotonic)
        // An update stands at the newest batch that it shows, unless another event has that place or a later one.
        if lastEmitted == position { position.seq += 1 }
        let event = SharedEvent(
            ServerEvent(campaign: id, position: position, at: context.clock.now(), body: .pollUpdate(poll.tally)))
        broadcast(event)
    }

    func emit(_ body: EventBody, at now: Timestamp) {
        position.seq += 1
        broadcast(SharedEvent(ServerEvent(campaign: id, position: position, at: now, body: body)))
    }

    func broadcast(_ event: SharedEvent) {
        lastEmitted = event.position
        ring.append(event, now: context.clock.monotonic().nanoseconds)
        for edge in subscribedEdges { post(.event(event), to: edge) }
    }

    func post(_ message: EdgeMessage, to edge: UInt16) {
        outgoing[Int(edge)].append(message)
    }
}
