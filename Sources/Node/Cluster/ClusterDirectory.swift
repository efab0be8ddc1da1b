// What this node knows of who serves which slot. Written by membership, asked on every loop for each run of commands.

import Cluster
import Platform
import Protocol

final class ClusterDirectory: Directory {
    /// For each slot 0 where nobody is known, 1 for this node, and from 2 on the lanes of peers.
    private let owners: Locked<ContiguousArray<UInt16>>

    init() { owners = Locked(ContiguousArray(repeating: 0, count: Slot.count)) }

    func owner(of slot: Slot) -> SlotOwner {
        switch owners.withLock({ $0[Int(slot.index)] }) {
        case 0: .moving
        case 1: .local
        case let place: .peer(Int(place) - 2)
        }
    }

    /// Nothing at the start: slots are claimed as their home is decided.
    var home: [Slot] { [] }

    /// Notes who serves slots.
    func note(_ slots: some Sequence<Slot>, _ owner: SlotOwner) {
        let code: UInt16 =
            switch owner {
            case .local: 1
            case .peer(let place): UInt16(place) + 2
            case .moving, .unknown: 0
            }
        owners.withLock { owners in for slot in slots { owners[Int(slot.index)] = code } }
    }
}
