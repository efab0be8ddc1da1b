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
            gate(.answer(origin.ticket, .failure(error)))
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
            gate(.answer(origin.ticket, .document(status: Int(first.status), json: first.bytes)))
            return
        }
        emit(.signal(name: name, data: data), at: origin.receivedAt)
        let json = ReplyDocuments.position(position)
        remember(mark, 202, json, at: origin.receivedAt)
        gate(.answer(origin.ticket, .document(status: 202, json: json)))
    }

    func subscribe(_ after: Position?, _ ticket: ReplyTicket) {
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

    func join(_ ticket: ReplyTicket, _ joined: Joined) {
        if !subscribedEdges.contains(ticket.edge) { subscribedEdges.append(ticket.edge) }
        post(.joined(ticket, joined), to: ticket.edge)
    }

    // MARK: - Emission

    func emitUpdate(_ tally: TallyView, at now: Timestamp, monotonic: UInt64) {
        conflator.updateSent(at: monotonic)
        // An update stands at the newest batch that it shows, unless another event has that place or a later one.
        if lastEmitted == position { position.seq += 1 }
        let event = SharedEvent(ServerEvent(campaign: id, position: position, at: now, body: .pollUpdate(tally)))
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
