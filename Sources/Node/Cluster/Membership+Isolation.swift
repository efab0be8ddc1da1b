// A node that reaches too few of the others: it says so in the database, so that every node counts it out, gives its slots
// away and is not ready, until it reaches enough again. What it cannot reach it gives to all the same: the hand-over is a
// statement in the database, and whoever gets slots finds them there.

import Cluster
import Journal
import Platform

extension Membership {
    /// Looks whom this node reaches; called in every round.
    func lookAround(_ nodes: [LeasedNode]) async throws(JournalError) {
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
        // Until the database has taken it, every round says it again.
        let isAway = isDraining || isolation.isIsolated
        guard isAway != isAnnouncedAway else { return }
        try await parts.journal.announceDrain(isAway)
        isAnnouncedAway = isAway
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
