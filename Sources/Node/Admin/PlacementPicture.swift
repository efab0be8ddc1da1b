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
        /// It gives its slots away.
        case draining
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
    var isMember: Bool { state == .live || state == .lapsed }
}

struct PlacementPicture: Sendable {
    /// A slot on its way.
    struct Move: Sendable, Equatable {
        enum Step: String, Sendable {
            /// Its owner has yet to give it away.
            case waiting
            /// This node is giving it away now.
            case releasing
            /// Nobody has it; its new owner is to claim it.
            case unowned
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
    /// Slots that this node is giving away.
    let releasing: Set<Slot>
    /// Which of the nodes this one is; `nil` where it has been declared dead.
    let here: Int?

    /// A node that is alone.
    init(alone node: PlacementNode) {
        version = 0
        nodes = [node]
        owners = Array(repeating: 0, count: Slot.count)
        epochs = []
        releasing = []
        here = 0
    }

    /// What the database says, and what this node is doing.
    init(
        version: UInt64, nodes leased: [LeasedNode], holdings: [SlotHolding], releasing: Set<Slot>, here: UInt128
    ) {
        var newest: [String: Int] = [:]
        var places: [UInt128: Int] = [:]
        for (place, node) in leased.enumerated() {
            newest[node.name] = place
            places[node.incarnation] = place
        }
        self.version = version
        nodes = leased.enumerated().map { place, node in
            let state: PlacementNode.State =
                node.isDraining
                ? .draining : newest[node.name] != place ? .replaced : node.hasLapsed ? .lapsed : .live
            return PlacementNode(
                name: node.name, incarnation: Self.text(node.incarnation),
                address: node.address.isEmpty ? nil : node.address, weight: node.weight, state: state)
        }
        owners = holdings.map { $0.owner.flatMap { places[$0] } }
        epochs = holdings.map(\.epoch)
        self.releasing = releasing
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
        let homes = CappedPlacement.homes(members: members, owners: ownerNames)
        return homes.compactMap { places[$0] }
    }

    /// What is on its way, in the order of the slots.
    var moves: [Move] {
        homes.enumerated().compactMap { index, home in
            let owner = owners[index]
            guard owner != home else { return nil }
            let slot = Slot(UInt16(index))
            let step: Move.Step = owner == nil ? .unowned : releasing.contains(slot) ? .releasing : .waiting
            return Move(slot: slot, from: owner, to: home, step: step)
        }
    }

    /// Why a slot is where it is; `nil` where nobody has it.
    func reason(of slot: Slot) -> PlacementReason? {
        PlacementReason(of: slot, members: members, owners: ownerNames)
    }
}
