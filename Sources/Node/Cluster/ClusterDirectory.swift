// What this node knows of who serves which slot. Written by membership, asked on every loop for each run of commands.

import Cluster
import Platform
import Protocol

final class ClusterDirectory: Directory {
    /// For each slot 0 where nobody is known, 1 for this node, and from 2 on the lanes of peers.
    private let owners: Locked<ContiguousArray<UInt16>>
    /// The highest epoch that was heard of, for each slot.
    private let epochs: Locked<ContiguousArray<UInt64>>

    init() {
        owners = Locked(ContiguousArray(repeating: 0, count: Slot.count))
        epochs = Locked(ContiguousArray(repeating: 0, count: Slot.count))
    }

    func owner(of slot: Slot) -> SlotOwner {
        switch owners.withLock({ $0[Int(slot.index)] }) {
        case 0: .moving
        case 1: .local
        case let place: .peer(Int(place) - 2)
        }
    }

    /// Nothing at the start: slots are claimed as their home is decided.
    var home: [Slot] { [] }

    /// How many slots are served here, by peers, and by nobody that this node knows of.
    var counts: (here: Int, elsewhere: Int, nowhere: Int) {
        owners.withLock { owners in
            let (here, nowhere) = (owners.count { $0 == 1 }, owners.count { $0 == 0 })
            return (here, owners.count - here - nowhere, nowhere)
        }
    }

    /// Notes who serves slots.
    func note(_ slots: some Sequence<Slot>, _ owner: SlotOwner) {
        let code = Self.code(owner)
        owners.withLock { owners in for slot in slots { owners[Int(slot.index)] = code } }
    }

    /// Notes who serves a slot under an epoch, unless a higher one was heard of: an epoch has one owner.
    func note(_ slot: Slot, _ owner: SlotOwner, epoch: UInt64) {
        let isNews = epochs.withLock { epochs in
            guard epoch >= epochs[Int(slot.index)] else { return false }
            epochs[Int(slot.index)] = epoch
            return true
        }
        if isNews { note([slot], owner) }
    }

    /// Notes what the database has as the slots' epochs.
    func note(epochs known: [UInt64]) {
        epochs.withLock { epochs in
            for (index, epoch) in known.enumerated() { epochs[index] = max(epochs[index], epoch) }
        }
    }

    /// The highest epoch that was heard of.
    func epoch(of slot: Slot) -> UInt64 { epochs.withLock { $0[Int(slot.index)] } }

    private static func code(_ owner: SlotOwner) -> UInt16 {
        switch owner {
        case .local: 1
        case .peer(let place): UInt16(place) + 2
        case .moving, .unknown: 0
        }
    }
}
