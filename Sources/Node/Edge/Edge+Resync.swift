// Following again: a slot's campaigns are served by another owner or under a new epoch. The edge asks the owner for what
// its followers have missed; where that is not known any more they get the present state, unasked.

import Cluster
import Platform
import Protocol
import Web

extension Edge {
    /// Asks again for everything of this slot that somebody here follows.
    func resync(_ slot: Slot) {
        for topic in topics.values where topic.memberCount > 0 && Slot(of: topic.campaign) == slot { resync(topic) }
    }

    /// Asks for what the followers of a campaign have missed.
    func resync(_ topic: Topic) {
        guard topic.resyncingSince == nil else { return }
        let since = context.clock.now()
        topic.resyncingSince = since
        topic.pendingJoins += 1
        enqueue(resync(of: topic, since: since))
    }

    private func resync(of topic: Topic, since: Timestamp) -> Command {
        Command(
            campaign: topic.campaign, ticket: .ofEdge(index), receivedAt: since,
            body: .subscribe(after: topic.position))
    }

    private func wish(of join: Topic.WaitingJoin, _ topic: Topic) -> Command {
        Command(
            campaign: topic.campaign, ticket: join.ticket, receivedAt: context.clock.now(),
            body: .subscribe(after: join.after))
    }

    /// Asks once more, a moment later: by then the way to the owner may be known.
    private func askLater(_ command: Command, _ topic: Topic) {
        topic.pendingJoins += 1
        park(.commands(topic.campaign, [command]))
    }

    /// Whether a newcomer has to wait: its answer is older than what has come since, by another way; or it is ahead of what
    /// the others have had, and they are about to ask for that, or must now, since they have not heard yet that the
    /// campaign has another owner.
    func mustWait(_ ticket: ReplyTicket, _ joined: Joined, _ topic: Topic) -> Bool {
        let subscribed = joined.subscribed
        let join = Topic.WaitingJoin(ticket: ticket, after: subscribed.recovered ? subscribed.position : nil)
        if topic.isPast(joined) {
            askLater(wish(of: join, topic), topic)
            return true
        }
        guard topic.memberCount > 0, let position = topic.position, joined.newest > position,
            topic.resyncingSince != nil || topic.isAhead(joined.epoch)
        else { return false }
        resync(topic)
        topic.pendingJoins += 1
        topic.waitingJoins.append(join)
        return true
    }

    private func admitWaiting(_ topic: Topic) {
        let waiting = topic.waitingJoins
        topic.waitingJoins = []
        for join in waiting { enqueue(wish(of: join, topic)) }
    }

    /// The owner answered: everybody gets what was missed, or starts over from its state.
    func resynced(_ topic: Topic, _ joined: Joined) {
        if let since = topic.resyncingSince, topic.memberCount > 0, topic.isPast(joined) {
            return askLater(resync(of: topic, since: since), topic)
        }
        topic.resyncingSince = nil
        flush(topic)  // what came before is of the old epoch
        topic.follow(joined.epoch)
        if joined.subscribed.recovered {
            for event in joined.missed { show(event, in: topic) }
        } else {
            topic.position = joined.subscribed.position
            for connection in topic.allMembers { sendState(connection, joined.subscribed) }
        }
        admitWaiting(topic)
        retireIfUnused(topic)
    }

    /// The campaign cannot be followed here now. For a while that is taken for a move; then its followers are sent away,
    /// come back later, and are told then what is true.
    func resyncFailed(_ topic: Topic, _ error: ClientError) {
        if let since = topic.resyncingSince, error.code.isRetryable, topic.memberCount > 0,
            context.clock.now().milliseconds(since: since) < ParkingLimits.followersMilliseconds
        {
            return askLater(resync(of: topic, since: since), topic)
        }
        topic.resyncingSince = nil
        for connection in topic.allMembers {
            switch connection.phase {
            case .webSocket: closeWebSocket(connection, 4503, "unavailable")
            case .eventStream:
                unsubscribeAll(connection)
                closeAfterWriting(connection)
            case .http, .closing: break
            }
        }
        admitWaiting(topic)
        retireIfUnused(topic)
    }

    private func sendState(_ connection: Connection, _ subscribed: Subscribed) {
        switch connection.phase {
        case .webSocket: sendMessage(connection, .subscribed(id: nil, subscribed))
        case .eventStream: appendSnapshot(connection, subscribed)
        case .http, .closing: break
        }
    }
}
