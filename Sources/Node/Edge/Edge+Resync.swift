// Following again: a slot's campaigns came back under a new epoch, and whoever follows them gets the present state
// unasked, in the place of what was missed.

import Cluster
import Platform
import Protocol
import Web

extension Edge {
    /// Asks again for everything of this slot that somebody here follows.
    func resync(_ slot: Slot) {
        for topic in topics.values where topic.memberCount > 0 && Slot(of: topic.campaign) == slot {
            topic.pendingJoins += 1
            enqueue(
                Command(
                    campaign: topic.campaign, ticket: .ofEdge(index), receivedAt: receivedAt,
                    body: .subscribe(after: nil)))
        }
    }

    /// The owner answered: everybody starts over from its state.
    func resynced(_ topic: Topic, _ joined: Joined) {
        flush(topic)  // what came before is of the old epoch
        for connection in topic.allMembers { sendState(connection, joined.subscribed) }
        retireIfUnused(topic)
    }

    /// The campaign cannot be followed here now: its followers come back later, and are told then what is true.
    func resyncFailed(_ topic: Topic) {
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
