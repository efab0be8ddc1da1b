// Where each slot should be: capped rendezvous hashing with as few moves as can be. A pure function of the members and
// of who has what now, so that every node computes the same answer.
//
//   1. A pinned slot goes to its node, and counts there.
//   2. A slot stays with its owner, unless that one has more than its share: then it gives up those that rank it lowest.
//   3. Whatever has no owner goes to the node that it ranks highest of those which have room.
//
// A node's share is proportional to its weight, rounded up; weights do not enter the ranking, which would move slots
// between nodes whose weights have not changed.

public import Protocol

/// A node that may own slots.
public struct PlacementMember: Hashable, Sendable {
    /// Its stable name.
    public let name: String
    /// Its share, relative to the others; above 0.
    public let weight: Double

    /// Takes both as they are.
    public init(name: String, weight: Double = 1) {
        self.name = name
        self.weight = weight
    }
}

/// The algorithm.
public enum CappedPlacement {
    /// Slots that each member may have: its share of all, rounded up.
    public static func caps(_ members: [PlacementMember]) -> [String: Int] {
        let total = members.reduce(0) { $0 + $1.weight }
        var caps: [String: Int] = [:]
        for member in members {
            caps[member.name] = Int((Double(Slot.count) * member.weight / total).rounded(.up))
        }
        return caps
    }

    /// The home of every slot; empty names where there is no member.
    ///
    /// - Parameters:
    ///   - members: those that may own slots, each name once. Their order means nothing.
    ///   - owners: by slot, who has it now; `nil`, or a name that is no member's, where it has no owner.
    ///   - pins: slots that are fixed to a node, while that one is a member.
    /// - Returns: a name for each slot; none at all where there are no members.
    /// - Complexity: O(slots × members) for the slots that move, O(slots log slots) for the rest.
    public static func homes(
        members: [PlacementMember], owners: [String?], pins: [Slot: String] = [:]
    ) -> [String] {
        precondition(owners.count == Slot.count, "an owner for each slot, or none")
        guard !members.isEmpty else { return [] }
        let caps = caps(members)
        let names = caps.keys.sorted()
        var homes = [String?](repeating: nil, count: Slot.count)
        var room = caps
        for (slot, name) in pins where caps[name] != nil {
            homes[Int(slot.index)] = name
            room[name, default: 0] -= 1
        }
        var held: [String: [Slot]] = [:]
        for (index, owner) in owners.enumerated() where homes[index] == nil {
            if let owner, caps[owner] != nil { held[owner, default: []].append(Slot(UInt16(index))) }
        }
        for name in names {
            let kept = kept(held[name] ?? [], by: name, room: max(0, room[name] ?? 0))
            for slot in kept { homes[Int(slot.index)] = name }
            room[name, default: 0] -= kept.count
        }
        return homes.enumerated().map { index, home in
            if let home { return home }
            let ranking = Rendezvous.ranking(of: names, for: Slot(UInt16(index)))
            // Shares are rounded up, so that there is room somewhere, unless pins crowd one node.
            let chosen = ranking.first { (room[$0] ?? 0) > 0 } ?? ranking[0]
            room[chosen, default: 0] -= 1
            return chosen
        }
    }

    /// Of what a node has, what it keeps: the slots that rank it highest.
    private static func kept(_ slots: [Slot], by name: String, room: Int) -> [Slot] {
        guard slots.count > room else { return slots }
        let scored = slots.map { (score: Rendezvous.score(of: name, for: $0), slot: $0) }
        return scored.sorted { $0.score != $1.score ? $0.score > $1.score : $0.slot.index < $1.slot.index }
            .prefix(room).map(\.slot)
    }
}
