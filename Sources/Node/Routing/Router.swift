// Which lane leads to the owner of a slot. It is asked anew for each run of commands, since slots move.

import Cluster
import Protocol

/// Decides from what the directory knows; holds nothing that could grow stale.
struct Router: Sendable {
    let directory: any Directory
    /// Loops of this node; a slot lives on one of them.
    let loopCount: Int

    /// The lane to the owner; `nil` where the slot is on its way and its commands should wait.
    /// - Throws: `unavailable` where nobody is known to serve the slot.
    func lane(to slot: Slot) throws(ClientError) -> Int? {
        switch directory.owner(of: slot) {
        case .local: return loop(of: slot)
        case .peer(let place): return loopCount + place
        case .moving: return nil
        case .unknown:
            throw ClientError(
                .unavailable, "no node is known to serve this campaign now", retryAfterMilliseconds: 1000)
        }
    }

    /// The loop on which a slot of this node lives.
    func loop(of slot: Slot) -> Int { slot.shard(of: loopCount) }
}
