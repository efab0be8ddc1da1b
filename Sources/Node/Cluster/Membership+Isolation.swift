// A node that reaches too few of the others: it says so in the database, so that every node counts it out, gives its slots
// away and is not ready, until it reaches enough again. What it cannot reach it gives to all the same: the hand-over is a
// statement in the database, and whoever gets slots finds them there.
//
// One that does not reach the database either learns nothing of all that: others serve its slots as soon as its lease has
// ended, and what its own clients follow here stands still. They are sent away, to come back elsewhere.

import Cluster
import Journal
import Platform
import Protocol

extension Membership {
    /// Looks whom this node reaches; called in every round.
    func lookAround(_ nodes: [LeasedNode]) async throws(JournalError) {
        lastNamed = nodes
        isSendingAway = false
        look(at: nodes)
        // Until the database has taken it, every round says it again.
        let isAway = isDraining || isolation.isIsolated
        guard isAway != isAnnouncedAway else { return }
        try await parts.journal.announceDrain(isAway)
        isAnnouncedAway = isAway
    }

    /// Looks whom this node reaches of those that the database named last; called where it does not answer.
    ///
    /// Where it is the database alone, followers stay: the others are without it, too. Else those of this node's own slots
    /// ask again, as those of other nodes' slots do whose links have closed: either somebody answers them while a move may
    /// last, or they are told to go.
    func lookAroundUntold() {
        // Before the first answer nobody is known, and who knows nobody would take itself for all of them.
        guard !lastNamed.isEmpty else { return }
        look(at: lastNamed)
        guard !isolation.reachesHalf, !isSendingAway, now >= parts.journal.leaseDeadline else { return }
        isSendingAway = true
        parts.log.warn("cluster.cut_off", [("slots", .integer(held.served.count))])
        for slot in held.served.sorted() {
            for edge in parts.edges { edge.postUnbounded(.resync(slot)) }
        }
    }

    private func look(at nodes: [LeasedNode]) {
        let reached = parts.routes.reached
        // A dead node's lease runs on for a moment; a lapsed one says that its node may be gone.
        let living = nodes.filter { !$0.hasLapsed || $0.incarnation == parts.identity.incarnation }
        let wasIsolated = isolation.isIsolated
        let mayHaveTaken = isolation.mayTake
        isolation.looked(
            name: parts.identity.name, living: Set(living.map(\.name)),
            reached: Set(living.filter { reached.contains($0.incarnation) }.map(\.name)), now: now)
        if isolation.mayTake != mayHaveTaken { isBusy = true }
        parts.onIsolation(!isolation.mayTake)
        if isolation.isIsolated != wasIsolated { logIsolation(living.count, reached.count) }
    }

    private func logIsolation(_ living: Int, _ reached: Int) {
        let counts: [(StaticString, LogValue)] = [("nodes", .integer(living)), ("reached", .integer(reached))]
        if isolation.isIsolated {
            parts.log.warn("cluster.isolated", counts)
        } else {
            parts.log.info("cluster.reconnected", counts)
        }
    }
}
