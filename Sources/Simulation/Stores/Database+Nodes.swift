// What nodes say about themselves and each other.

import Journal
import Postgres
import Protocol

extension Database {
    /// Rows without writes.
    static func rows(_ columns: [PostgresType], _ rows: [[PostgresValue]]) -> PostgresResult {
        PostgresResult(columns: columns, rows: rows, tag: "SELECT \(rows.count)")
    }

    func nodeWork(_ name: String, _ values: [PostgresValue]) -> DatabaseWork? {
        switch (name, values.count) {
        case ("migrate.version", _):
            return DatabaseWork { (Self.rows([.int32], [[.int32(Int32(PostgresMigration.version))]]), []) }
        case ("budget", _): return DatabaseWork { (Self.rows([.int32, .int32], [[.int32(100), .int32(3)]]), []) }
        case ("lease.take", _): return takeLease(values)
        case ("lease.renew", _): return renewLease(values)
        case ("lease.release", _):
            guard case .float8(let seconds) = values[1] else { preconditionFailure(name) }
            let expires = now.advanced(byMilliseconds: Int64(seconds * 1000))
            return changeNode(values) { node in
                if !node.isDead { node.expires = expires }
                node.isDead = true
            }
        case ("nodes.drain", _):
            guard case .bool(let isDraining) = values[1] else { preconditionFailure("nodes.drain") }
            return changeNode(values) { $0.isDraining = isDraining }
        case ("nodes.living", _): return DatabaseWork { [self] in (living(), []) }
        case ("nodes.bury", _): return bury(values)
        case ("placement.version", _):
            return DatabaseWork { [self] in (Self.rows([.int64], [[.uint64(tables.placementVersion)]]), []) }
        case ("placement.next", _):
            guard case .uint64(let seen) = values[0] else { preconditionFailure(name) }
            return DatabaseWork(locks: [RowLock(key: .placement, mode: .noKeyUpdate)]) { [self] in
                let next = max(tables.placementVersion, seen) + 1
                return (Self.rows([.int64], [[.uint64(next)]]), [{ $0.placementVersion = next }])
            }
        default: return nil
        }
    }

    private func takeLease(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .uuid(let incarnation) = values[0], case .text(let name) = values[1],
            case .text(let address) = values[2], case .float8(let weight) = values[3],
            case .float8(let seconds) = values[4]
        else { preconditionFailure("lease.take") }
        return DatabaseWork { [self] in
            let row = NodeRow(
                incarnation: incarnation, name: name, address: address, weight: weight, started: now,
                expires: now.advanced(byMilliseconds: Int64(seconds * 1000)))
            return (PostgresResult(tag: "INSERT 0 1"), [{ $0.nodes.append(row) }])
        }
    }

    private func renewLease(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .uuid(let incarnation) = values[0], case .float8(let seconds) = values[1] else {
            preconditionFailure("lease.renew")
        }
        return DatabaseWork(locks: [RowLock(key: .node(incarnation), mode: .noKeyUpdate)]) { [self] in
            guard tables.isAlive(incarnation) else { return (Self.rows([.int32], []), []) }
            let expires = now.advanced(byMilliseconds: Int64(seconds * 1000))
            return (
                Self.rows([.int32], [[.int32(1)]]),
                [
                    { tables in
                        if let node = tables.node(incarnation) { tables.nodes[node].expires = expires }
                    }
                ]
            )
        }
    }

    private func changeNode(_ values: [PostgresValue], _ change: @escaping @Sendable (inout NodeRow) -> Void)
        -> DatabaseWork
    {
        guard case .uuid(let incarnation) = values[0] else { preconditionFailure("a node's incarnation") }
        return DatabaseWork(locks: [RowLock(key: .node(incarnation), mode: .noKeyUpdate)]) {
            (
                PostgresResult(tag: "UPDATE 1"),
                [
                    { tables in
                        if let node = tables.node(incarnation) { change(&tables.nodes[node]) }
                    }
                ]
            )
        }
    }

    private func living() -> PostgresResult {
        let nodes = tables.nodes.filter { !$0.isDead }
        return Self.rows(
            [.uuid, .text, .text, .float8, .bool, .bool, .timestamp, .bool, .timestamp],
            nodes.map {
                [
                    .uuid($0.incarnation), .text($0.name), .text($0.address), .float8($0.weight),
                    .bool($0.isDraining), .bool($0.expires < now), .timestamp($0.started),
                    .bool($0.isAskedToDrain), .timestamp($0.expires),
                ]
            })
    }

    private func bury(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .uuidArray(let accused) = values[0] else { preconditionFailure("nodes.bury") }
        func lapsed() -> [UInt128] {
            tables.nodes.filter { !$0.isDead && $0.expires < now }.map(\.incarnation).filter(accused.contains)
        }
        let wanted = lapsed()
        return DatabaseWork(locks: wanted.map { RowLock(key: .node($0), mode: .noKeyUpdate) }) {
            let dead = lapsed().filter { wanted.contains($0) }
            return (
                Self.rows([.uuid], dead.map { [.uuid($0)] }),
                dead.isEmpty
                    ? []
                    : [
                        { tables in
                            for incarnation in dead {
                                if let node = tables.node(incarnation) { tables.nodes[node].isDead = true }
                            }
                        }
                    ]
            )
        }
    }
}
