// How slots change hands.

import Postgres
import Protocol

extension Database {
    /// What a change of owner locks its rows with. Planted, it takes only what its update takes by itself, and a flush
    /// takes the weakest lock there is: neither waits for the other.
    private var ownerLock: RowLockMode { plant == .keyShare ? .noKeyUpdate : .update }
    var fenceLock: RowLockMode { plant == .keyShare ? .keyShare : .share }

    func slotWork(_ name: String, _ values: [PostgresValue]) -> DatabaseWork? {
        switch name {
        case "nodes.holdings":
            return DatabaseWork { [self] in (holdings(), []) }
        case "nodes.version":
            return DatabaseWork { [self] in (Self.rows([.int64], [[.uint64(tables.ownershipVersion)]]), []) }
        case "nodes.owned":
            guard case .int32Array(let slots) = values[0], case .uuid(let owner) = values[1] else {
                preconditionFailure(name)
            }
            return DatabaseWork { [self] in
                let owned = slots.filter { tables.leases[Int($0)].owner == owner }
                let rows = owned.map { slot -> [PostgresValue] in
                    [.int32(slot), .uint64(tables.leases[Int(slot)].epoch), .uint64(tables.tail(slot))]
                }
                return (Self.rows([.int32, .int64, .int64], rows), [])
            }
        case "claim.self":
            guard case .uuid(let node) = values[0] else { preconditionFailure(name) }
            return DatabaseWork(locks: [RowLock(key: .node(node), mode: .share)]) { [self] in
                (Self.rows([.int32], tables.isAlive(node) ? [[.int32(1)]] : []), [])
            }
        case "claim.lock":
            guard case .int32Array(let slots) = values[0] else { preconditionFailure(name) }
            return DatabaseWork(locks: slots.sorted().map { RowLock(key: .slot($0), mode: ownerLock) }) { [self] in
                let rows = slots.sorted().map { slot -> [PostgresValue] in
                    let row = tables.leases[Int(slot)]
                    return [.int32(slot), .uint64(row.epoch), row.owner.map { .uuid($0) } ?? .null]
                }
                return (Self.rows([.int32, .int64, .uuid], rows), [])
            }
        case "claim.owners":
            guard case .uuidArray(let owners) = values[0], case .float8(let seconds) = values[1] else {
                preconditionFailure(name)
            }
            return DatabaseWork { [self] in
                let rows = tables.nodes.filter { owners.contains($0.incarnation) }.map { node -> [PostgresValue] in
                    let silence = Double(now.milliseconds - node.expires.milliseconds) + 1000 * seconds
                    return [.uuid(node.incarnation), .bool(node.isDead), .float8(silence)]
                }
                return (Self.rows([.uuid, .bool, .float8], rows), [])
            }
        case "claim.take": return claim(values)
        case "claim.tails":
            guard case .int32Array(let slots) = values[0] else { preconditionFailure(name) }
            return DatabaseWork { [self] in
                (Self.rows([.int32, .int64], slots.map { [.int32($0), .uint64(tables.tail($0))] }), [])
            }
        case "claim.log", "nodes.report": return DatabaseWork { (PostgresResult(tag: "INSERT 0 1"), []) }
        case "nodes.cede": return cede(values)
        default: return nil
        }
    }

    /// Made once for each change of hands: every node asks for it.
    private func holdings() -> PostgresResult {
        if let known = knownHoldings, known.version == tables.ownershipVersion { return known.result }
        let rows = tables.leases.enumerated().map { slot, row -> [PostgresValue] in
            [
                .int32(Int32(slot)), .uint64(row.epoch), row.owner.map { .uuid($0) } ?? .null,
                tables.pins[Int32(slot)].map { .text($0) } ?? .null,
            ]
        }
        let result = Self.rows([.int32, .int64, .uuid, .text], rows)
        knownHoldings = (tables.ownershipVersion, result)
        return result
    }

    /// Of whatever epoch a slot had, the next one.
    private func nextEpoch(_ slot: Int32) -> UInt64 {
        max(tables.leases[Int(slot)].epoch + 1, UInt64(now.milliseconds / 1000))
    }

    private func change(_ slots: [Int32], to owner: UInt128) -> (epochs: [UInt64], write: TableWrite) {
        let epochs = slots.map { nextEpoch($0) }
        return (
            epochs,
            { [weak self] tables in
                for (slot, epoch) in zip(slots, epochs) {
                    let before = tables.leases[Int(slot)]
                    tables.epochSum += epoch - before.epoch
                    let after = LeaseRow(epoch: epoch, owner: owner)
                    tables.leases[Int(slot)] = after
                    self?.watcher?.ownerChanged(slot, from: before, to: after, tables)
                }
            }
        )
    }

    private func claim(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .int32Array(let slots) = values[0], case .uuid(let owner) = values[1] else {
            preconditionFailure("claim.take")
        }
        // The rows are locked already, by the statement before.
        return DatabaseWork { [self] in
            let (epochs, write) = change(slots, to: owner)
            return (Self.rows([.int32, .int64], zip(slots, epochs).map { [.int32($0), .uint64($1)] }), [write])
        }
    }

    private func cede(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .int32Array(let slots) = values[0], case .uint64Array(let epochs) = values[1],
            case .uuid(let owner) = values[2], case .uuid(let target) = values[3]
        else { preconditionFailure("nodes.cede") }
        func held() -> [Int32] { zip(slots, epochs).filter { tables.isHeld($0, $1, by: owner) }.map(\.0) }
        let wanted = held()
        var locks = wanted.sorted().map { RowLock(key: .slot($0), mode: ownerLock) }
        locks.append(RowLock(key: .node(target), mode: .share))
        return DatabaseWork(locks: locks) { [self] in
            let moved = tables.isAlive(target) ? held().filter { wanted.contains($0) } : []
            guard !moved.isEmpty else { return (Self.rows([.int32, .int64], []), []) }
            onCession?(target, moved)
            let (epochs, write) = change(moved, to: target)
            return (Self.rows([.int32, .int64], zip(moved, epochs).map { [.int32($0), .uint64($1)] }), [write])
        }
    }
}
