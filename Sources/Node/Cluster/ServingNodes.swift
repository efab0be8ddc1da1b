// Which of the living nodes take slots. Every node must answer alike, so this is a pure function of their leases.

import Journal
import Protocol

enum ServingNodes {
    /// By name. Of each name it is the newest process, unless it is about to end, or the operator wishes that it gives its
    /// slots away. Where all that are left are so asked, they serve all the same: nobody else could.
    ///
    /// - Parameter nodes: oldest first.
    static func of(_ nodes: [LeasedNode]) -> [String: LeasedNode] {
        var newest: [String: LeasedNode] = [:]
        for node in nodes { newest[node.name] = node }
        let staying = newest.filter { !$0.value.isDraining }
        let willing = staying.filter { !$0.value.isAskedToDrain }
        return willing.isEmpty ? staying : willing
    }
}

extension [SlotHolding] {
    /// Slots that are fixed to a node.
    var pins: [Slot: String] {
        var pins: [Slot: String] = [:]
        for holding in self { if let name = holding.pin { pins[holding.slot] = name } }
        return pins
    }
}
