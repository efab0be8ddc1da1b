// What the operator wishes of this node, as its rounds find it in the database, and what it tells who asks.

import Cluster
import Journal
import Platform
import Protocol

extension Membership {
    /// Looks whether this node is to take no slots. It stays up and forwards, but clients should be sent elsewhere.
    func heed(_ nodes: [LeasedNode]) {
        let me = parts.identity.incarnation
        let isAsked = nodes.contains { $0.incarnation == me && $0.isAskedToDrain }
        parts.onDrain(isAsked && ServingNodes.of(nodes)[parts.identity.name]?.incarnation != me)
    }

    /// A wish has been written: this node acts on it now, and tells the others by the table.
    func wishesChanged() {
        isUnpublished = true
        alarm.interrupt()
    }

    /// Where in their move the slots are that this node is giving away or opening.
    var steps: [Slot: MoveStep] {
        var steps: [Slot: MoveStep] = [:]
        for slot in opening.slots { steps[slot] = .opening }
        for slot in held.ceding.keys { steps[slot] = .releasing }
        return steps
    }

    /// Who is behind the places of the directory.
    var peersByPlace: [Int: UInt128] {
        Dictionary(peers.map { ($0.value.place, $0.key) }) { first, _ in first }
    }

    /// The peers, as one loop reaches them.
    var contacts: [PeerContact] {
        peers.sorted { $0.key < $1.key }.compactMap { incarnation, peer in
            peer.owners.first.map { PeerContact(incarnation: incarnation, owner: $0) }
        }
    }
}

/// A peer that can be asked something.
struct PeerContact: Sendable {
    let incarnation: UInt128
    let owner: RemoteOwner
}
