// Where every slot is at home, from what the database says of nodes and owners. A newcomer is looked at for a while before
// slots move to it; one whose name is known from an earlier process gets them back at once.
//
// Three questions differ in whom they count among those who take slots:
//
//   given    to whom this node gives what it has         known names, and strangers that have settled
//   offered  what others would offer to this node        known names, and this node, however new it is
//   free     who takes what nobody serves                settled processes alone

import Cluster
import Journal
import Protocol

/// A name for each slot, or none at all where nobody takes any.
struct Homes: Sendable, Equatable {
    var given: [String] = []
    var offered: [String] = []
    var free: [String] = []
}

/// A pure machine; times are monotonic nanoseconds.
struct HomePlanner {
    /// How long a newcomer is looked at: one that starts and fails gets no slots.
    static let settleTime: UInt64 = 2_000_000_000

    /// The owners of all slots, as they were read.
    struct Owners {
        /// While it stands still, so do they; see `PostgresJournal.ownershipVersion`.
        let version: UInt64
        let holdings: [SlotHolding]
    }

    private struct Question: Equatable {
        let takers: [PlacementMember]
        let names: [UInt128: String]
        let version: UInt64
    }

    private let me: UInt128
    /// When each living process was first seen.
    private var firstSeen: [UInt128: UInt64] = [:]
    /// Names that were members once.
    private var knownNames: Set<String> = []
    /// The answers of the last plan, which most plans repeat.
    private var answers: [(question: Question, homes: [String])] = []

    init(me: UInt128) { self.me = me }

    /// Takes in who lives.
    mutating func look(_ nodes: [LeasedNode], at now: UInt64) {
        var seen: [UInt128: UInt64] = [:]
        for node in nodes { seen[node.incarnation] = firstSeen[node.incarnation] ?? now }
        firstSeen = seen
    }

    /// Whether a node has been here for too short a time to get slots.
    func awaitsNewcomer(among nodes: [LeasedNode]) -> Bool {
        nodes.contains { !knownNames.contains($0.name) && !$0.isDraining }
    }

    /// The homes of all slots.
    ///
    /// - Parameters:
    ///   - nodes: oldest first, as they were looked at last.
    ///   - isLeaving: this node is to have no slots.
    mutating func plan(_ owners: Owners, among nodes: [LeasedNode], isLeaving: Bool, at now: UInt64) -> Homes {
        let names = Dictionary(uniqueKeysWithValues: nodes.map { ($0.incarnation, $0.name) })
        // Who owns slots was let in by those who were here before this process.
        knownNames.formUnion(owners.holdings.compactMap { $0.owner.flatMap { names[$0] } })
        let serving = ServingNodes.of(nodes)
        let takers = serving.values.filter { !($0.incarnation == me && isLeaving) }
        let settled = takers.filter { isSettled($0, isAlone: serving.count == 1, at: now) }
        knownNames.formUnion(settled.map(\.name))
        let known = takers.filter { knownNames.contains($0.name) }
        let offered = takers.filter { $0.incarnation == me || knownNames.contains($0.name) }
        let before = answers
        answers = []
        func homes(_ takers: [LeasedNode]) -> [String] {
            let members = takers.map { PlacementMember(name: $0.name, weight: $0.weight) }.sorted { $0.name < $1.name }
            let question = Question(takers: members, names: names, version: owners.version)
            if let answer = answers.first(where: { $0.question == question }) { return answer.homes }
            let homes =
                before.first { $0.question == question }?.homes
                ?? CappedPlacement.homes(
                    members: members, owners: owners.holdings.map { $0.owner.flatMap { names[$0] } },
                    pins: owners.holdings.pins)
            answers.append((question, homes))
            return homes
        }
        return Homes(given: homes(known), offered: homes(offered), free: homes(settled))
    }

    /// Whether this process has been here for long enough. A name that has come back may be that of a process which ends
    /// and starts again and again: slots that nobody serves do not wait for it, they move to it later, as to anybody.
    private func isSettled(_ node: LeasedNode, isAlone: Bool, at now: UInt64) -> Bool {
        isAlone || now >= (firstSeen[node.incarnation] ?? now) + Self.settleTime
    }
}
