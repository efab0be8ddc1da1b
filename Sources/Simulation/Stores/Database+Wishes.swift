// What the operator wishes: that a node gives its slots away, or that a slot lives on a certain node.

import Postgres
import Protocol

extension Database {
    func wishWork(_ name: String, _ values: [PostgresValue]) -> DatabaseWork? {
        switch (name, values.first) {
        case ("wish.drain", .text(let node)?):
            guard case .bool(let isAsked) = values[1] else { preconditionFailure(name) }
            return askToDrain(node, isAsked)
        case ("wish.pin", .int32(let slot)?):
            guard case .text(let node) = values[1] else { preconditionFailure(name) }
            return changePin(slot, to: node)
        case ("wish.unpin", .int32(let slot)?): return changePin(slot, to: nil)
        default: return nil
        }
    }

    /// Of several processes of that name the newest is meant.
    private func askToDrain(_ name: String, _ isAsked: Bool) -> DatabaseWork {
        let columns: [PostgresType] = [.uuid, .bool, .bool]
        guard let wanted = tables.nodes.last(where: { $0.name == name && !$0.isDead })?.incarnation else {
            return DatabaseWork { (Self.rows(columns, []), []) }
        }
        return DatabaseWork(locks: [RowLock(key: .node(wanted), mode: .noKeyUpdate)]) { [self] in
            guard let place = tables.node(wanted) else { return (Self.rows(columns, []), []) }
            let node = tables.nodes[place]
            return (
                Self.rows(
                    columns, [[.uuid(wanted), .bool(node.isAskedToDrain != isAsked), .bool(node.isDraining)]]),
                [
                    { tables in
                        if let node = tables.node(wanted) { tables.nodes[node].isAskedToDrain = isAsked }
                    }
                ]
            )
        }
    }

    /// - Parameter node: `nil` sets the slot free.
    private func changePin(_ slot: Int32, to node: String?) -> DatabaseWork {
        DatabaseWork(locks: [RowLock(key: .placement, mode: .noKeyUpdate)]) { [self] in
            guard tables.pins[slot] != node else { return (Self.rows([.int64], []), []) }
            return (
                Self.rows([.int64], [[.uint64(tables.pinChanges + 1)]]),
                [
                    { tables in
                        tables.pins[slot] = node
                        tables.pinChanges += 1
                    }
                ]
            )
        }
    }
}
