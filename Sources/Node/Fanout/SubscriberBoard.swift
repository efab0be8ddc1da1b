// How many follow which campaign: the clients of this node, counted by its edges as they come and go, and, of
// campaigns that live here, the other nodes with the clients that each has told of. Read by whoever is asked.

import Cluster
import Platform
import Protocol

/// Shared by all loops of a node; the lock is held for a few instructions.
final class SubscriberBoard: Sendable {
    /// Who follows one campaign.
    struct Count: Hashable, Sendable {
        /// Nodes with a subscription of their own, this one included where it has clients.
        var nodes = 0
        /// Their clients, as far as the nodes have told: other nodes tell once a second at most.
        var clients = 0
    }

    /// A subscription of another node, by the link that carries it.
    struct Follower: Hashable, Sendable {
        let edge: UInt16
        let link: HostedLinkID
    }

    private struct Subscription {
        let follower: Follower
        let incarnation: UInt128
        var clients = 0
    }

    private struct State {
        var clients: [CampaignID: Int] = [:]
        var subscriptions: [CampaignID: [Subscription]] = [:]
        /// Campaigns whose clients have changed, in the order of their first change, by the loop that tells of them.
        var changes: [[CampaignID]]
        var changed: Set<CampaignID> = []
    }

    private let state: Locked<State>
    private let loopCount: Int

    /// - Parameter tellingLoops: loops that tell other nodes of changes; 0 on a node without others.
    init(tellingLoops: Int) {
        loopCount = tellingLoops
        state = Locked(State(changes: Array(repeating: [], count: tellingLoops)))
    }

    // MARK: - The clients of this node

    /// Clients of this node have come to follow a campaign or, where negative, no longer do.
    func add(_ difference: Int, to campaign: CampaignID) {
        state.withLock { state in
            let count = state.clients[campaign, default: 0] + difference
            state.clients[campaign] = count == 0 ? nil : count
            guard loopCount > 0, state.changed.insert(campaign).inserted else { return }
            state.changes[Int(Slot(of: campaign).index) % loopCount].append(campaign)
        }
    }

    /// Clients of this node that follow a campaign.
    func clients(of campaign: CampaignID) -> Int { state.withLock { $0.clients[campaign] ?? 0 } }

    /// The campaigns that a loop has to tell of, since their clients have changed.
    func takeChanges(_ loop: Int) -> [CampaignID] {
        state.withLock { state in
            let changes = state.changes[loop]
            state.changes[loop] = []
            for campaign in changes { state.changed.remove(campaign) }
            return changes
        }
    }

    // MARK: - Other nodes

    /// Another node follows a campaign of this one; once for each link.
    func follows(_ campaign: CampaignID, _ follower: Follower, of incarnation: UInt128) {
        state.withLock { state in
            guard !(state.subscriptions[campaign]?.contains { $0.follower == follower } ?? false) else { return }
            state.subscriptions[campaign, default: []].append(
                Subscription(follower: follower, incarnation: incarnation))
        }
    }

    /// It has told how many clients it has. Told of what it does not follow: nothing happens.
    func tells(_ campaign: CampaignID, _ follower: Follower, clients: Int) {
        state.withLock { state in
            guard let place = state.subscriptions[campaign]?.firstIndex(where: { $0.follower == follower }) else {
                return
            }
            state.subscriptions[campaign]?[place].clients = clients
        }
    }

    /// It follows no more.
    func leaves(_ campaign: CampaignID, _ follower: Follower) {
        state.withLock { state in
            state.subscriptions[campaign]?.removeAll { $0.follower == follower }
            if state.subscriptions[campaign]?.isEmpty ?? false { state.subscriptions[campaign] = nil }
        }
    }

    /// Who follows a campaign, as the node knows that owns it.
    func count(of campaign: CampaignID) -> Count {
        state.withLock { state in
            let own = state.clients[campaign] ?? 0
            let others = state.subscriptions[campaign] ?? []
            // A node that has dialled again may stand here with its lost link for a moment.
            let nodes = Set(others.map(\.incarnation)).count
            return Count(nodes: nodes + (own > 0 ? 1 : 0), clients: others.reduce(own) { $0 + $1.clients })
        }
    }
}
