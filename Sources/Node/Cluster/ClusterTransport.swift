// The transport of a node among others: lanes 0 to `loops` lead to the shards of this node, each lane behind them to a
// peer; answers go to the edges of this node and, behind them, to those that stand for the edges of others.

import Cluster
import Platform

/// The peers of a node, as its loops reach them: a place for each, taken and given back as nodes come and go.
final class PeerLanes: Sendable {
    /// Peers at a time.
    static let limit = 64

    private let owners: Locked<[[RemoteOwner]?]>

    init() { owners = Locked(Array(repeating: nil, count: Self.limit)) }

    /// Takes a free place for a peer, one owner for each loop; `nil` where there is none.
    func add(_ peer: [RemoteOwner]) -> Int? {
        owners.withLock { owners in
            guard let place = owners.firstIndex(where: { $0 == nil }) else { return nil }
            owners[place] = peer
            return place
        }
    }

    /// Gives a place back, after nothing leads there any more.
    func remove(_ place: Int) { owners.withLock { $0[place] = nil } }

    /// The peer at a place, as `loop` reaches it.
    func owner(_ place: Int, loop: Int) -> RemoteOwner? { owners.withLock { $0[place]?[loop] } }
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
        owner.assumeIsolated { $0.send(messages) }
        return true
    }

    func deliver(_ batch: inout [EdgeMessage], to edge: UInt16) { local.deliver(&batch, to: edge) }
}
