// The way of commands to the owners of campaigns, and of answers and events back to the edges. Both sides hand over
// the batch of a turn and know nothing of what carries it: in one process it is a queue per loop.

import Platform
import Protocol

/// What the edges send to the owners of campaigns.
enum OwnerMessage: Sendable {
    /// Commands of one edge and turn for one campaign, in order.
    case commands(CampaignID, [Command])
    indirect case create(CreationCommand)
}

/// Moves batches, whole or not at all and in order. Callable from every loop; never blocks.
protocol Transport: Sendable {
    /// Lanes to owners; a `Router` says which one leads to a slot.
    var laneCount: Int { get }
    /// Edges that answers may be addressed to.
    var edgeCount: Int { get }
    /// Hands a batch to the owners at the end of `lane`, and empties it; called on the loop of the edge that sends it.
    /// `false`: there is no room, nothing was taken.
    func send(_ batch: inout [OwnerMessage], lane: Int, from edge: UInt16) -> Bool
    /// Hands answers and events to an edge. Where its queue is full the batch stays with the caller, who offers it
    /// again with what came meanwhile.
    func deliver(_ batch: inout [EdgeMessage], to edge: UInt16)
}

/// The transport inside one process: each lane is the queue of a loop's shard.
struct LoopTransport: Transport {
    let shards: [Inbox<ShardMessage>]
    let edges: [Inbox<EdgeMessage>]

    var laneCount: Int { shards.count }
    var edgeCount: Int { edges.count }

    func send(_ batch: inout [OwnerMessage], lane: Int, from edge: UInt16) -> Bool {
        shards[lane].post(contentsOf: &batch, wrapping: ShardMessage.road)
    }

    func deliver(_ batch: inout [EdgeMessage], to edge: UInt16) {
        _ = edges[Int(edge)].post(contentsOf: &batch)
    }
}
