// Why a slot is where it is. The algorithm keeps no history, so the answer is what holds now: how its owner ranks for
// the slot, how much the owner may have, and whether those that rank higher had room.

public import Protocol

/// Why a slot has its owner.
public struct PlacementReason: Hashable, Sendable {
    /// What decides.
    public enum Cause: Hashable, Sendable {
        /// It is fixed to this node.
        case pinned
        /// No member ranks higher for it.
        case ranksFirst
        /// Members rank higher, and each of them has its whole share.
        case othersFull
        /// A member that ranks higher has room, but a slot stays with its owner while that one is within its share.
        case stays
        /// It is about to move to this node.
        case leaves(String)
    }

    /// The owner's place among the members for this slot, from 1; `nil` where it is no member, as one that drains.
    public let rank: Int?
    /// Slots that the owner may have; `nil` where it is no member.
    public let cap: Int?
    /// Slots that the owner has.
    public let load: Int
    /// Members at this moment.
    public let memberCount: Int
    /// What decides.
    public let cause: Cause

    /// Whether the slot is fixed to its owner.
    public var isPinned: Bool { cause == .pinned }

    /// Looks at a slot that has an owner.
    ///
    /// - Parameters:
    ///   - slot: which one.
    ///   - members: those that may own slots, each name once.
    ///   - owners: by slot, who has it now.
    ///   - pins: slots that are fixed to a node, while that one is a member.
    /// - Returns: `nil` where the slot has no owner.
    /// - Complexity: as `CappedPlacement.homes`.
    public init?(of slot: Slot, members: [PlacementMember], owners: [String?], pins: [Slot: String] = [:]) {
        guard let owner = owners[Int(slot.index)] else { return nil }
        let caps = CappedPlacement.caps(members)
        var loads: [String: Int] = [:]
        for case let name? in owners { loads[name, default: 0] += 1 }
        let ranking = Rendezvous.ranking(of: members.map(\.name), for: slot)
        let place = ranking.firstIndex(of: owner)
        rank = place.map { $0 + 1 }
        cap = caps[owner]
        load = loads[owner] ?? 0
        memberCount = members.count
        let homes = CappedPlacement.homes(members: members, owners: owners, pins: pins)
        if !homes.isEmpty, homes[Int(slot.index)] != owner {
            cause = .leaves(homes[Int(slot.index)])
        } else if pins[slot] == owner, place != nil {
            cause = .pinned
        } else if place == 0 {
            cause = .ranksFirst
        } else {
            let higher = ranking[..<(place ?? 0)]
            cause = higher.allSatisfy { (loads[$0] ?? 0) >= (caps[$0] ?? 0) } ? .othersFull : .stays
        }
    }
}

extension PlacementReason: CustomStringConvertible {
    /// One sentence for people.
    public var description: String {
        switch cause {
        case .pinned: "the slot is pinned to this node"
        case .ranksFirst: "this node ranks first for the slot"
        case .othersFull: "every node that ranks higher for the slot has its whole share"
        case .stays: "a slot stays with its owner while that one has no more than its share"
        case .leaves(let name):
            rank == nil ? "its owner takes no slots any more: it moves to \(name)" : "it is about to move to \(name)"
        }
    }
}
