// What owners write: rows of the journal, snapshots, and what goes again.

import Postgres
import Protocol

extension Database {
    func journalWork(_ name: String, _ values: [PostgresValue]) -> DatabaseWork? {
        switch name {
        case "journal.flush": return flush(values)
        case "journal.lookup": return lookUp(values)
        case "snapshot.store": return storeSnapshot(values)
        case "snapshot.complete", "snapshot.prune", "campaign.remove", "journal.trim", "campaign.forget":
            return fenced(values) { [self] slot in fencedChange(name, slot, values) }
        default: return nil
        }
    }

    // MARK: - Flush

    private struct Row {
        let slot: Int32
        let lsn: UInt64
        let row: JournalRow
    }

    private func batch(_ values: [PostgresValue]) -> [Row] {
        guard case .int32Array(let slots) = values[0], case .uint64Array(let lsns) = values[1],
            case .uint64Array(let epochs) = values[2], case .uuidArray(let flushes) = values[3],
            case .int32Array(let counts) = values[4], case .bytesArray(let campaigns) = values[5],
            case .bytesArray(let payloads) = values[6], case .uint64Array(let checksums) = values[7]
        else { preconditionFailure("journal.flush") }
        return slots.indices.map { index in
            Row(
                slot: slots[index], lsn: lsns[index],
                row: JournalRow(
                    epoch: epochs[index], flush: flushes[index], count: counts[index], campaigns: campaigns[index],
                    payload: payloads[index], checksum: checksums[index], storedAt: now))
        }
    }

    private func flush(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .uuid(let owner) = values[8] else { preconditionFailure("journal.flush") }
        let rows = batch(values)
        func held() -> [Row] { rows.filter { tables.isHeld($0.slot, $0.row.epoch, by: owner) } }
        // What the statement's own snapshot shows is what it tries to lock; what is true then is looked at again.
        let wanted = held().sorted { ($0.slot, $0.lsn) < ($1.slot, $1.lsn) }
        var locks: [RowLock] = []
        for row in wanted where locks.last.map({ $0.key != .slot(row.slot) }) ?? true {
            locks.append(RowLock(key: .slot(row.slot), mode: fenceLock))
        }
        // Two inserts of one key wait for each other.
        for row in wanted { locks.append(RowLock(key: .journal(slot: row.slot, lsn: row.lsn), mode: .update)) }
        let keys = Set(wanted.map { RowKey.journal(slot: $0.slot, lsn: $0.lsn) })
        return DatabaseWork(locks: locks) { [self] in
            let inserted = held().filter { row in
                keys.contains(.journal(slot: row.slot, lsn: row.lsn))
                    && tables.journal[Int(row.slot)][row.lsn] == nil
            }
            let result = Self.rows(
                [.int32, .int64, .uuid], inserted.map { [.int32($0.slot), .uint64($0.lsn), .uuid($0.row.flush)] })
            guard !inserted.isEmpty else { return (result, []) }
            return (result, [insertion(of: inserted)])
        }
    }

    private func insertion(of rows: [Row]) -> TableWrite {
        { [weak self] tables in
            for row in rows {
                tables.journal[Int(row.slot)][row.lsn] = row.row
                self?.watcher?.rowCommitted(row.slot, row.lsn, row.row, tables)
            }
        }
    }

    private func lookUp(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .int32Array(let slots) = values[0], case .uint64Array(let lsns) = values[1] else {
            preconditionFailure("journal.lookup")
        }
        return DatabaseWork { [self] in
            var rows: [[PostgresValue]] = []
            for (slot, lsn) in zip(slots, lsns) {
                guard let row = tables.journal[Int(slot)][lsn] else { continue }
                rows.append([.int32(slot), .uint64(lsn), .uuid(row.flush), .uint64(row.checksum)])
            }
            return (Self.rows([.int32, .int64, .uuid, .int64], rows), [])
        }
    }

    // MARK: - Under the fence

    typealias Change = (result: PostgresResult, writes: [TableWrite])

    /// Runs only while slot, epoch and owner (the first three values) are as they were.
    private func fenced(_ values: [PostgresValue], _ change: @escaping (Int32) -> Change) -> DatabaseWork {
        guard case .int32(let slot) = values[0], case .uint64(let epoch) = values[1], case .uuid(let owner) = values[2]
        else { preconditionFailure("a fence") }
        guard tables.isHeld(slot, epoch, by: owner) else { return DatabaseWork { (Self.rows([.int64], []), []) } }
        return DatabaseWork(locks: [RowLock(key: .slot(slot), mode: .share)]) { [self] in
            tables.isHeld(slot, epoch, by: owner) ? change(slot) : (Self.rows([.int64], []), [])
        }
    }

    private func storeSnapshot(_ values: [PostgresValue]) -> DatabaseWork {
        guard case .uint64(let epoch) = values[1], case .uuid(let campaign) = values[3],
            case .uint64(let lsn) = values[4], case .bool(let voters) = values[7], case .int64(let bytes) = values[8],
            case .uint64(let checksum) = values[9], case .bytes(let state) = values[10]
        else { preconditionFailure("snapshot.store") }
        let wakeAt = values[6]
        return fenced(values) { [self] slot in
            let known = tables.snapshots[campaign] ?? [:]
            guard !(known[lsn]?.isComplete ?? false) else { return (Self.rows([.int64], []), []) }
            let ordinal = (known.values.filter(\.isComplete).map(\.ordinal).max() ?? 0) + 1
            let row = SnapshotRow(
                campaign: campaign, slot: slot, lsn: lsn, epoch: epoch, ordinal: ordinal, wakeAt: wakeAt,
                voters: voters, bytes: bytes, checksum: checksum, state: state, storedAt: now)
            return (
                Self.rows([.int64], [[.uint64(lsn)]]), [{ $0.snapshots[campaign, default: [:]][lsn] = row }]
            )
        }
    }

    private func fencedChange(_ name: String, _ slot: Int32, _ values: [PostgresValue]) -> Change {
        switch (name, values[3]) {
        case ("snapshot.complete", .uuid(let campaign)):
            guard case .uint64(let lsn) = values[4], tables.snapshots[campaign]?[lsn] != nil else { break }
            return (
                Self.rows([.int64], [[.uint64(lsn)]]), [{ $0.snapshots[campaign]?[lsn]?.isComplete = true }]
            )
        case ("snapshot.prune", .uuid(let campaign)):
            let lsns = (tables.snapshots[campaign] ?? [:]).values.filter(\.isComplete).map(\.lsn).sorted(by: >)
            guard let oldest = lsns.prefix(2).last else { break }
            return (
                PostgresResult(tag: "DELETE 0"),
                [{ $0.snapshots[campaign] = $0.snapshots[campaign]?.filter { $0.key >= oldest } }]
            )
        case ("campaign.remove", .uuid(let campaign)):
            guard case .uint64(let lsn) = values[4] else { break }
            return (
                Self.rows([.int32], [[.int32(slot)]]),
                [
                    {
                        $0.snapshots[campaign] = nil
                        $0.removed[slot, default: [:]][campaign] = lsn
                    }
                ]
            )
        case ("journal.trim", .uint64(let point)):
            guard case .int32(let limit) = values[4] else { break }
            let rows = tables.journal[Int(slot)]
            let (newest, oldest) = (rows.keys.max() ?? 0, rows.keys.min() ?? 0)
            let gone = rows.keys.filter { $0 <= point && $0 < newest && $0 < oldest + UInt64(limit) }.sorted()
            guard !gone.isEmpty else { break }
            return (
                Self.rows([.int64], gone.map { [.uint64($0)] }),
                [{ tables in for lsn in gone { tables.journal[Int(slot)][lsn] = nil } }]
            )
        case ("campaign.forget", .uint64(let point)):
            return (
                PostgresResult(tag: "DELETE 0"),
                [{ $0.removed[slot] = $0.removed[slot]?.filter { $0.value > point } }]
            )
        default: break
        }
        return (Self.rows([.int64], []), [])
    }
}
