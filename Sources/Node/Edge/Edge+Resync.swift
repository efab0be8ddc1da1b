// Following again: a slot's campaigns are served by another owner or under a new epoch. The edge asks the owner for what
// its followers have missed; where that is not known any more they get the present state, unasked.

import Cluster
import Platform
import Protocol
import Web

extension Edge {
    /// Asks again for everything of this slot that somebody here follows.
    func resync(_ slot: Slot) {
        for topic in topics.values where topic.memberCount > 0 && Slot(of: topic.campaign) == slot {
            guard topic.resyncingSince == nil else { continue }
            let now = context.clock.now()
            topic.resyncingSince = now
            followAgain(topic, since: now)
        }
    }

    /// A newcomer was answered by an owner that the others have not heard of yet. They are told its state: what it has said
    /// before is past them, and events of a new epoch must not come before that epoch's beginning.
    func startOver(_ topic: Topic) {
        topic.startsOver = true
        guard topic.resyncingSince == nil else { return }
        let now = context.clock.now()
        topic.resyncingSince = now
        followAgain(topic, since: now)
    }

    private func followAgain(_ topic: Topic, since: Timestamp) {
        topic.pendingJoins += 1
        enqueue(
            Command(
                campaign: topic.campaign, ticket: .ofEdge(index), receivedAt: since,
                body: .subscribe(after: topic.resumption)))
    }

    /// The owner answered: everybody gets what was missed, or starts over from its state.
    func resynced(_ topic: Topic, _ joined: Joined) {
        flush(topic)  // what came before is of the old epoch
        if topic.startsOver, joined.subscribed.recovered {
            // It was asked for before it was known that the followers start over.
            return followAgain(topic, since: topic.resyncingSince ?? context.clock.now())
        }
        topic.startsOver = false
        topic.resyncingSince = nil
        if joined.subscribed.recovered {
            for event in joined.missed { eventArrived(event) }
        } else {
            topic.position = joined.subscribed.position
            for connection in topic.allMembers { sendState(connection, joined.subscribed) }
        }
        retireIfUnused(topic)
    }

    /// The campaign cannot be followed here now. For a while that is taken for a move; then its followers are sent away,
    /// come back later, and are told then what is true.
    func resyncFailed(_ topic: Topic, _ error: ClientError) {
        if let since = topic.resyncingSince, error.code.isRetryable, topic.memberCount > 0,
            context.clock.now().milliseconds(since: since) < ParkingLimits.followersMilliseconds
        {
            topic.pendingJoins += 1
            return park(
                .commands(
                    topic.campaign,
                    [
                        Command(
                            campaign: topic.campaign, ticket: .ofEdge(index), receivedAt: since,
                            body: .subscribe(after: topic.resumption))
                    ]))
        }
        topic.resyncingSince = nil
        topic.startsOver = false
        for connection in topic.allMembers {
            switch connection.phase {
            case .webSocket: closeWebSocket(connection, 4503, "unavailable")
            case .eventStream:
                unsubscribeAll(connection)
                closeAfterWriting(connection)
            case .http, .closing: break
            }
        }
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
