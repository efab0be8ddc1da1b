// Links to the other nodes: made when a node is first seen alive, closed when it is no more.

import Cluster
import Journal
import Platform

extension Membership {
    /// Makes links to nodes that are new, and lets go of those that are gone.
    func meet(_ nodes: [LeasedNode]) async {
        let living = Set(nodes.map(\.incarnation))
        for (incarnation, peer) in peers.filter({ !living.contains($0.key) }) {
            // A link that waits for a name to be resolved takes its time to close; whoever takes over does not wait.
            retired.postUnbounded(peer)
            peers[incarnation] = nil
            departure.interrupt()
        }
        for node in nodes {
            guard node.incarnation != parts.identity.incarnation, peers[node.incarnation] == nil,
                let (host, port) = Self.address(node.address)
            else { continue }
            await add(node, host, port)
        }
    }

    func hearRetired() async {
        while let peers = await retired.next(recycling: []) {
            for peer in peers { await remove(peer) }
        }
    }

    private static func address(_ text: String) -> (String, UInt16)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        let host = text[..<colon]
        return (String(host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host), port)
    }

    private func add(_ node: LeasedNode, _ host: String, _ port: UInt16) async {
        var owners: [RemoteOwner] = []
        var links: [Link] = []
        for (index, shared) in parts.linkLoops.enumerated() {
            let owner = RemoteOwner(
                index, loop: shared.loop, edges: parts.edges, clock: parts.clock,
                hints: OwnerHints(directory: parts.directory, peers: parts.peers),
                onNewerTable: { [sightings = parts.sightings] in sightings.post($0) })
            let link = Link(
                to: host, port: port, expecting: node.name, incarnation: node.incarnation, shared: shared,
                handler: owner)
            owners.append(owner)
            links.append(link)
        }
        for (owner, link) in zip(owners, links) { await owner.use(link, among: owners) }
        guard let place = parts.peers.add(owners, OwnerHint(name: node.name, incarnation: node.incarnation)) else {
            parts.log.error("cluster.too_many_peers", [("peer", .string(node.name))])
            return
        }
        peers[node.incarnation] = Peer(place: place, links: links, owners: owners)
        for link in links { await link.open() }
        parts.log.info("cluster.peer_met", [("peer", .string(node.name)), ("address", .string(node.address))])
    }

    func remove(_ peer: Peer) async {
        for link in peer.links { await link.close() }
        parts.peers.remove(peer.place)
        for owner in peer.owners { await owner.leave() }
    }
}
