// Subscriptions and the fan-out. The edge follows a campaign once, however many of its connections do; an event comes
// once and leaves to all of them as the same bytes.

import Platform
import Protocol
import Web

extension Edge {
    func subscribe(_ connection: Connection, _ id: RequestID?, _ request: SubscriptionRequest) {
        let known = connection.subscriptions.firstIndex { $0.topic.campaign == request.campaign }
        if known == nil, connection.subscriptions.count >= Limits.subscriptionsPerConnectionLimit {
            let error = ClientError(
                .badRequest, "a connection has at most \(Limits.subscriptionsPerConnectionLimit) subscriptions")
            return sendMessage(connection, .error(id: id, campaign: request.campaign, error))
        }
        if let known, connection.subscriptions[known].place < 0 {
            let error = ClientError(.conflict, "a subscription to this campaign is being answered")
            return sendMessage(connection, .error(id: id, campaign: request.campaign, error))
        }
        if let known {
            // A repeated wish starts over from the position that it names.
            leaveTopic(connection.subscriptions[known])
            connection.subscriptions.remove(at: known)
        }
        follow(connection, request.campaign, variant: connection.webSocket?.variant ?? .sse, request: id)
        send(connection, request.campaign, .subscribe(after: request.after), request: id)
    }

    /// Notes that the connection wants to follow; its place in the topic comes with the owner's answer.
    func follow(
        _ connection: Connection, _ campaign: CampaignID, variant: WireVariant, request: RequestID? = nil
    ) {
        let topic: Topic
        if let existing = topics[campaign] {
            topic = existing
        } else {
            topic = Topic(campaign: campaign)
            topics[campaign] = topic
        }
        topic.pendingJoins += 1
        connection.subscriptions.append(Subscription(topic: topic, variant: variant, request: request, place: -1))
    }

    func unsubscribe(_ connection: Connection, _ campaign: CampaignID) {
        guard let index = connection.subscriptions.firstIndex(where: { $0.topic.campaign == campaign }) else { return }
        let subscription = connection.subscriptions.remove(at: index)
        leaveTopic(subscription)
        retireIfUnused(subscription.topic)
    }

    func unsubscribeAll(_ connection: Connection) {
        let all = connection.subscriptions
        connection.subscriptions = []
        for subscription in all {
            leaveTopic(subscription)
            retireIfUnused(subscription.topic)
        }
    }

    private func leaveTopic(_ subscription: Subscription) {
        if subscription.place >= 0 {
            // What was broadcast before goes to everybody who was there before.
            flush(subscription.topic)
            subscription.topic.remove(subscription.variant, at: subscription.place)
            context.metrics.subscriptions.add(-1)
            context.subscribers.add(-1, to: subscription.topic.campaign)
        }
    }

    /// The last subscriber is gone: the owner need not send here any more.
    func retireIfUnused(_ topic: Topic) {
        guard topic.isUnused, topics[topic.campaign] === topic else { return }
        topics[topic.campaign] = nil
        enqueue(Command(campaign: topic.campaign, ticket: .ofEdge(index), receivedAt: receivedAt, body: .leave))
    }

    // MARK: - Answers

    func joinedArrived(_ ticket: ReplyTicket, _ joined: Joined) {
        let campaign = joined.subscribed.campaign
        guard let topic = topics[campaign] else { return }
        topic.pendingJoins -= 1
        if ticket.isOfEdge { return resynced(topic, joined) }
        guard let connection = connection(ticket) else { return retireIfUnused(topic) }
        guard !mustWait(ticket, joined, topic) else { return }
        connection.outstanding -= 1
        guard let index = awaited(connection, topic, ticket) else {
            let error = ClientError(.conflict, "the subscription was given up before its answer")
            sendMessage(connection, .error(id: ticket.request, campaign: campaign, error))
            if connection.isReadingPaused { resumeReading(connection) }
            return retireIfUnused(topic)
        }
        flush(topic)  // earlier events of this turn are not for the newcomer
        topic.noteSeen(joined.newest)
        topic.follow(joined.epoch)
        let variant = connection.subscriptions[index].variant
        connection.subscriptions[index].place = topic.add(connection, variant)
        context.metrics.subscriptions.add(1)
        context.subscribers.add(1, to: campaign)
        if connection.phase == .eventStream {
            beginEventStream(connection, joined)
        } else {
            sendMessage(connection, .subscribed(id: ticket.request, joined.subscribed))
        }
        for event in joined.missed { send(connection, event, event.frame(variant)) }
        if connection.isReadingPaused { resumeReading(connection) }
    }

    /// The subscription that an answer is for; `nil` where it was given up, even if a newer one waits for its own.
    private func awaited(_ connection: Connection, _ topic: Topic, _ ticket: ReplyTicket) -> Int? {
        connection.subscriptions.firstIndex {
            $0.topic === topic && $0.place < 0 && $0.request == ticket.request
        }
    }

    func joinFailed(_ ticket: ReplyTicket, _ campaign: CampaignID, _ error: ClientError) {
        if let topic = topics[campaign] {
            topic.pendingJoins -= 1
            if ticket.isOfEdge { return resyncFailed(topic, error) }
            if let connection = connection(ticket),
                let index = awaited(connection, topic, ticket)
            {
                connection.subscriptions.remove(at: index)
            }
            retireIfUnused(topic)
        }
        guard let connection = connection(ticket) else { return }
        connection.outstanding -= 1
        switch connection.phase {
        case .webSocket: sendMessage(connection, .error(id: ticket.request, campaign: campaign, error))
        case .eventStream: failEventStream(connection, error)
        case .http, .closing: break
        }
        if connection.isReadingPaused { resumeReading(connection) }
    }

    // MARK: - Fan-out

    func eventArrived(_ event: SharedEvent) {
        // While the followers ask again, what happens is in the answer: an event that came before would hide what it brings.
        guard let topic = topics[event.campaign], topic.resyncingSince == nil else { return }
        // Nor does a live event lead into another owner's epoch: what came before it there is not known here.
        guard !topic.isAhead(event.position.epoch) else { return resync(topic) }
        show(event, in: topic)
    }

    func show(_ event: SharedEvent, in topic: Topic) {
        // One that comes late, from an owner that is none any more, or once more after a loss.
        guard topic.noteEvent(event.position) else { return }
        if topic.turnEvents.isEmpty { touchedTopics.append(topic) }
        topic.turnEvents.append(event)
    }

    /// Writes what this turn's batch of events brought.
    func flushTopics() {
        guard !touchedTopics.isEmpty else { return }
        let touched = touchedTopics
        touchedTopics.removeAll(keepingCapacity: true)
        for topic in touched { flush(topic) }
    }

    func flush(_ topic: Topic) {
        guard !topic.turnEvents.isEmpty else { return }
        let events = topic.turnEvents
        topic.turnEvents.removeAll(keepingCapacity: true)
        for variant in WireVariant.allCases where !topic.members[variant.rawValue].isEmpty {
            let frames = events.map { $0.frame(variant) }
            let joined = frames.count == 1 ? frames[0] : SharedBytes(joining: frames)
            let members = topic.members[variant.rawValue]
            context.metrics.deliveries.add(UInt64(members.count * events.count))
            for connection in members where connection.phase != .closing {
                if connection.stream.isBlocked || !connection.lane.isEmpty {
                    for (event, frame) in zip(events, frames) { wait(connection, event, frame) }
                } else if connection.tail.isEmpty {
                    unsafe joined.withUnsafeBytes { unsafe connection.stream.write($0) }
                    noteBlocked(connection)
                } else {
                    // Replies of this turn go first, and the events ride along in the same write.
                    append(connection) { output in
                        unsafe joined.withUnsafeBytes { unsafe output.append(contentsOf: $0) }
                    }
                }
            }
        }
    }

    /// One event to one connection, as after a resume.
    private func send(_ connection: Connection, _ event: SharedEvent, _ frame: SharedBytes) {
        context.metrics.deliveries.increment()
        if connection.stream.isBlocked || !connection.lane.isEmpty {
            wait(connection, event, frame)
        } else {
            append(connection) { output in
                unsafe frame.withUnsafeBytes { unsafe output.append(contentsOf: $0) }
            }
        }
    }

    private func wait(_ connection: Connection, _ event: SharedEvent, _ frame: SharedBytes) {
        guard connection.phase != .closing else { return }
        // Replies of this turn were there first.
        if !connection.tail.isEmpty {
            let bytes = SharedBytes(connection.tail)
            releaseTail(connection)
            guard connection.lane.push(bytes) else { return cutSlowConsumer(connection) }
        }
        let isTaken =
            event.isConflatable
            ? connection.lane.pushUpdate(frame, of: event.campaign) : connection.lane.push(frame)
        if !isTaken { cutSlowConsumer(connection) }
    }
}
