// What would become of the slots if nodes came and went: the same algorithm that the nodes act by, asked beforehand.
// Nothing is done; whoever then does it gets exactly these moves, unless something else changes first.

public import Protocol

/// The moves that follow from changes of the membership.
public struct PlacementPlan: Sendable {
    /// A change of the membership.
    public enum Change: Hashable, Sendable {
        /// A node that is no member comes.
        case join(PlacementMember)
        /// A member is gone at once: its slots are taken over.
        case leave(String)
        /// A member gives its slots away in good order.
        case drain(String)
    }

    /// Why there is no plan.
    public enum Fault: Error, Hashable, Sendable {
        /// Who joins is a member already.
        case alreadyMember(String)
        /// Who leaves is no member.
        case notMember(String)
        /// No member would be left.
        case nobodyLeft
        /// More nodes than a table may have.
        case tooManyMembers
    }

    /// A slot that would change hands.
    public struct Move: Hashable, Sendable {
        /// The slot.
        public let slot: Slot
        /// Who has it now; `nil` for nobody.
        public let from: String?
        /// Who would have it.
        public let to: String
        /// Whether its owner gives it away; otherwise it is taken over from one that is gone.
        public let isHandOff: Bool
    }

    /// The members after the changes, in the order of their names.
    public let members: [PlacementMember]
    /// The home of every slot after the changes.
    public let homes: [String]
    /// What moves, in the order of the slots. Moves that are due without the changes are among them.
    public let moves: [Move]

    /// Plans.
    ///
    /// - Parameters:
    ///   - members: those that may own slots now, each name once.
    ///   - owners: by slot, who has it now; also a node that is no member, as one that drains.
    ///   - pins: slots that are fixed to a node, while that one is a member.
    ///   - changes: what is to happen, all at once. A node may not be named twice.
    /// - Throws: what makes the changes impossible.
    /// - Complexity: as `CappedPlacement.homes`.
    public init(
        members: [PlacementMember], owners: [String?], pins: [Slot: String] = [:], changes: [Change] = []
    ) throws(Fault) {
        var weights: [String: Double] = [:]
        for member in members { weights[member.name] = member.weight }
        var gone: Set<String> = []
        for change in changes {
            switch change {
            case .join(let member):
                guard weights[member.name] == nil, !gone.contains(member.name) else {
                    throw .alreadyMember(member.name)
                }
                weights[member.name] = member.weight
            case .leave(let name):
                guard weights.removeValue(forKey: name) != nil else { throw .notMember(name) }
                gone.insert(name)
            case .drain(let name):
                guard weights.removeValue(forKey: name) != nil else { throw .notMember(name) }
            }
        }
        guard !weights.isEmpty else { throw .nobodyLeft }
        guard weights.count <= PlacementTable.membersLimit else { throw .tooManyMembers }
        let after = weights.map { PlacementMember(name: $0.key, weight: $0.value) }.sorted { $0.name < $1.name }
        let homes = CappedPlacement.homes(members: after, owners: owners, pins: pins)
        self.members = after
        self.homes = homes
        moves = homes.indices.compactMap { index in
            let owner = owners[index]
            guard owner != homes[index] else { return nil }
            let isHandOff = owner.map { !gone.contains($0) } ?? false
            return Move(slot: Slot(UInt16(index)), from: owner, to: homes[index], isHandOff: isHandOff)
        }
    }

    /// Slots by node, as the plan leaves them; members without any have 0.
    public var loads: [String: Int] {
        var loads: [String: Int] = [:]
        for member in members { loads[member.name] = 0 }
        for home in homes { loads[home, default: 0] += 1 }
        return loads
    }
}
