// What a node knows of placement at one moment, put together from the database and its own memory: the ground of every
// admin query. A pure value; nodes are numbered by their place in `nodes`.

import Cluster
import Journal
import Protocol

/// A living node.
struct PlacementNode: Sendable, Equatable {
    enum State: String, Sendable {
        /// It takes slots.
        case live
        /// It gives its slots away: for reasons of its own, or because the operator wishes so.
        case draining
        /// It has given its slots away because the operator wishes so, and stays without any until it is taken back.
        case drained
        /// A newer process of its name takes its slots.
        case replaced
        /// It takes slots, but has not renewed its lease in time and may be declared dead.
        case lapsed
    }

    let name: String
    /// The process as UUID text; `nil` for a node without a shared database.
    let incarnation: String?
    /// Where other nodes dial it.
    let address: String?
    let weight: Double
    let state: State
    /// Whether slots have their home there.
    let isMember: Bool
    /// The operator wishes that it has no slots.
    var isAskedToDrain = false
    /// It gives its slots away for reasons of its own: it is about to end, or reaches too few of the others.
    var isLeaving = false
}

struct PlacementPicture: Sendable {
    /// A slot on its way.
    struct Move: Sendable, Equatable {
        enum Step: String, Sendable {
            /// Its owner has yet to give it away.
            case waiting
            /// Its owner is letting go of it.
            case releasing
            /// Nobody has it; its new owner is to claim it.
            case unowned
            /// Its owner has yet to read its content.
            case opening
        }

        let slot: Slot
        let from: Int?
        let to: Int
        let step: Step
    }

    /// The newest version of the table that was given out; 0 where there is no table.
    let version: UInt64
    /// The living nodes, oldest first.
    let nodes: [PlacementNode]
    /// By slot, who has it; `nil` for nobody that lives.
    let owners: [Int?]
    /// By slot; empty where epochs are not in the database.
    let epochs: [UInt64]
    /// Slots that are fixed to a node, which need not live.
    let pins: [Slot: String]
    /// What the nodes that were asked are doing with slots.
    let steps: [Slot: MoveStep]
    /// Which of the nodes this one is; `nil` where it has been declared dead.
    let here: Int?

    /// A node that is alone.
    init(alone node: PlacementNode) {
        version = 0
        nodes = [node]
        owners = Array(repeating: 0, count: Slot.count)
        epochs = []
        pins = [:]
        steps = [:]
        here = 0
    }

    /// What the database says, and what nodes are doing.
    init(
        version: UInt64, nodes leased: [LeasedNode], holdings: [SlotHolding], steps: [Slot: MoveStep], here: UInt128
    ) {
        var newest: [String: Int] = [:]
        var places: [UInt128: Int] = [:]
        for (place, node) in leased.enumerated() {
            newest[node.name] = place
            places[node.incarnation] = place
        }
        let owners = holdings.map { $0.owner.flatMap { places[$0] } }
        let serving = Set(ServingNodes.of(leased).values.map(\.incarnation))
        let holders = Set(owners.compactMap { $0 })
        self.version = version
        nodes = leased.enumerated().map { place, node in
            let isMember = serving.contains(node.incarnation)
            let state: PlacementNode.State
            if node.isDraining {
                state = .draining
            } else if newest[node.name] != place {
                state = .replaced
            } else if !isMember {
                state = holders.contains(place) ? .draining : .drained
            } else {
                state = node.hasLapsed ? .lapsed : .live
            }
            return PlacementNode(
                name: node.name, incarnation: Self.text(node.incarnation),
                address: node.address.isEmpty ? nil : node.address, weight: node.weight, state: state,
                isMember: isMember, isAskedToDrain: node.isAskedToDrain, isLeaving: node.isDraining)
        }
        self.owners = owners
        epochs = holdings.map(\.epoch)
        pins = holdings.pins
        self.steps = steps
        self.here = places[here]
    }

    /// A UUID as the database shows it.
    static func text(_ bits: UInt128) -> String {
        let digits = String(bits, radix: 16)
        let all = Array((String(repeating: "0", count: 32 - digits.count) + digits).utf8)
        let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(decoding: all[$0], as: UTF8.self) }
        return parts.joined(separator: "-")
    }

    // MARK: - What follows

    /// Those that may own slots.
    var members: [PlacementMember] {
        nodes.filter(\.isMember).map { PlacementMember(name: $0.name, weight: $0.weight) }
    }

    /// By slot, the name of who has it.
    var ownerNames: [String?] { owners.map { $0.map { nodes[$0].name } } }

    /// Slots by node.
    var loads: [Int] {
        var loads = Array(repeating: 0, count: nodes.count)
        for case let owner? in owners { loads[owner] += 1 }
        return loads
    }

    /// By slot, the node that should have it; empty where no node takes slots.
    var homes: [Int] {
        var places: [String: Int] = [:]
        for (place, node) in nodes.enumerated() where node.isMember { places[node.name] = place }
        let homes = CappedPlacement.homes(members: members, owners: ownerNames, pins: pins)
        return homes.compactMap { places[$0] }
    }

    /// What is on its way, in the order of the slots.
    var moves: [Move] {
        homes.enumerated().compactMap { index, home in
            let owner = owners[index]
            let slot = Slot(UInt16(index))
            guard owner != home else {
                return steps[slot] == .opening ? Move(slot: slot, from: nil, to: home, step: .opening) : nil
            }
            let step: Move.Step = owner == nil ? .unowned : steps[slot] == .releasing ? .releasing : .waiting
            return Move(slot: slot, from: owner, to: home, step: step)
        }
    }

    /// Why a slot is where it is; `nil` where nobody has it.
    func reason(of slot: Slot) -> PlacementReason? {
        PlacementReason(of: slot, members: members, owners: ownerNames, pins: pins)
    }

    /// The newest process of a name.
    func newest(_ name: String) -> PlacementNode? { nodes.last { $0.name == name } }
}
