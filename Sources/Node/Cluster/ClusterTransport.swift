// The transport of a node among others: lanes 0 to `loops` lead to the shards of this node, each lane behind them to a
// peer; answers go to the edges of this node and, behind them, to those that stand for the edges of others.

import Cluster
import Platform
import Protocol

/// The peers of a node, as its loops reach them: a place for each, taken and given back as nodes come and go.
final class PeerLanes: Sendable {
    /// Peers at a time.
    static let limit = 64

    private struct Peer {
        let hint: OwnerHint
        /// One for each loop.
        let owners: [RemoteOwner]
    }

    private let peers: Locked<[Peer?]>

    init() { peers = Locked(Array(repeating: nil, count: Self.limit)) }

    /// Takes a free place for a peer, one owner for each loop; `nil` where there is none.
    func add(_ owners: [RemoteOwner], _ hint: OwnerHint) -> Int? {
        peers.withLock { peers in
            guard let place = peers.firstIndex(where: { $0 == nil }) else { return nil }
            peers[place] = Peer(hint: hint, owners: owners)
            return place
        }
    }

    /// Gives a place back, after nothing leads there any more.
    func remove(_ place: Int) { peers.withLock { $0[place] = nil } }

    /// The peer at a place, as `loop` reaches it.
    func owner(_ place: Int, loop: Int) -> RemoteOwner? { peers.withLock { $0[place]?.owners[loop] } }

    /// Who has this place.
    func hint(_ place: Int) -> OwnerHint? { peers.withLock { $0[place]?.hint } }

    /// The place of a process.
    func place(of incarnation: UInt128) -> Int? {
        peers.withLock { $0.firstIndex { $0?.hint.incarnation == incarnation } }
    }

    /// Every peer, as one loop reaches it.
    func owners(onLoop loop: Int) -> [RemoteOwner] { peers.withLock { $0.compactMap { $0?.owners[loop] } } }
}

struct ClusterTransport: Transport {
    let local: LoopTransport
    let loopCount: Int
    let peers: PeerLanes

    var laneCount: Int { loopCount + PeerLanes.limit }
    var edgeCount: Int { local.edgeCount }

    func send(_ batch: inout [OwnerMessage], lane: Int, from edge: UInt16) -> Bool {
        guard lane >= loopCount else { return local.send(&batch, lane: lane, from: edge) }
        let messages = batch
        batch.removeAll(keepingCapacity: true)
        guard let owner = peers.owner(lane - loopCount, loop: Int(edge)) else {
            // The peer has gone since the lane was chosen.
            for message in messages { local.edges[Int(edge)].postUnbounded(.again(message)) }
            return true
        }
        // The edge and this owner live on one loop.
        owner.onLoop { $0.send(messages) }
        return true
    }

    func deliver(_ batch: inout [EdgeMessage], to edge: UInt16) { local.deliver(&batch, to: edge) }
}

/// What nodes tell each other of where a slot has gone.
struct OwnerHints: Sendable {
    let directory: ClusterDirectory
    let peers: PeerLanes

    /// Who serves the slot, where it is another node that this one knows, and since which epoch.
    func hint(of slot: Slot) -> (owner: OwnerHint, epoch: UInt64)? {
        guard case .peer(let place) = directory.owner(of: slot), let hint = peers.hint(place) else { return nil }
        return (hint, directory.epoch(of: slot))
    }

    /// Another node has said who serves the slot.
    func take(_ slot: Slot, _ owner: OwnerHint, epoch: UInt64) {
        guard epoch > directory.epoch(of: slot), let place = peers.place(of: owner.incarnation) else { return }
        directory.note(slot, .peer(place), epoch: epoch)
    }
}
