// What is read back of a slot.

import Postgres
import Protocol

extension Database {
    func recoveryWork(_ name: String, _ values: [PostgresValue]) -> DatabaseWork? {
        switch (name, values.first) {
        case ("recover.headers", .int32Array(let slots)?): return DatabaseWork { [self] in (headers(slots), []) }
        case ("recover.state", .uuid(let campaign)?):
            guard case .uint64(let lsn) = values[1] else { preconditionFailure(name) }
            return DatabaseWork { [self] in (states([tables.snapshots[campaign]?[lsn]].compactMap { $0 }), []) }
        case ("recover.newest", .int32(let slot)?):
            guard case .uuid(let campaign) = values[1] else { preconditionFailure(name) }
            return DatabaseWork { [self] in
                let lsns = (tables.snapshots[campaign] ?? [:]).values.filter { $0.isComplete && $0.slot == slot }
                return (Self.rows([.int64], lsns.map(\.lsn).sorted(by: >).map { [.uint64($0)] }), [])
            }
        case ("recover.states", .int32(let slot)?):
            return DatabaseWork { [self] in
                var newest: [UInt128: SnapshotRow] = [:]
                for row in tables.snapshots(of: slot) where row.lsn > newest[row.campaign]?.lsn ?? 0 {
                    newest[row.campaign] = row
                }
                return (states(newest.values.sorted { $0.campaign < $1.campaign }), [])
            }
        case ("recover.campaigns", .int32Array(let slots)?):
            return DatabaseWork { [self] in (campaigns(slots), []) }
        case ("recover.removed", .int32Array(let slots)?):
            return DatabaseWork { [self] in
                let rows = slots.flatMap { slot in
                    (tables.removed[slot] ?? [:]).sorted { $0.key < $1.key }.map { campaign, lsn -> [PostgresValue] in
                        [.int32(slot), .uuid(campaign), .uint64(lsn)]
                    }
                }
                return (Self.rows([.int32, .uuid, .int64], rows), [])
            }
        case ("recover.rows", .int32(let slot)?):
            guard case .uint64(let lsn) = values[1], case .int32(let limit) = values[2] else {
                preconditionFailure(name)
            }
            return DatabaseWork { [self] in (journalRows(slot, after: lsn, limit: Int(limit)), []) }
        case ("nodes.rows", .int32Array(let slots)?):
            guard case .uint64Array(let lsns) = values[1] else { preconditionFailure(name) }
            return DatabaseWork { [self] in (rows(zip(slots, lsns).sorted { $0.0 < $1.0 }), []) }
        default: return nil
        }
    }

    /// Rows after a place, of several slots.
    private func rows(_ places: [(Int32, UInt64)]) -> PostgresResult {
        var rows: [[PostgresValue]] = []
        for (slot, place) in places {
            for (lsn, row) in tables.journal[Int(slot)].filter({ $0.key > place }).sorted(by: { $0.key < $1.key }) {
                rows.append(Self.columns(lsn, row) + [.int32(slot)])
            }
        }
        return Self.rows([.int64, .int64, .uuid, .int32, .bytes, .bytes, .int64, .int32], Array(rows.prefix(4096)))
    }

    private static func columns(_ lsn: UInt64, _ row: JournalRow) -> [PostgresValue] {
        [
            .uint64(lsn), .uint64(row.epoch), .uuid(row.flush), .int32(row.count), .bytes(row.campaigns),
            .bytes(row.payload), .uint64(row.checksum),
        ]
    }

    private func headers(_ slots: [Int32]) -> PostgresResult {
        let wanted = Set(slots)
        let found = tables.snapshots.values.flatMap(\.values).filter { $0.isComplete && wanted.contains($0.slot) }
        let sorted = found.sorted { a, b in
            a.slot != b.slot ? a.slot < b.slot : a.campaign != b.campaign ? a.campaign < b.campaign : a.lsn > b.lsn
        }
        return Self.rows(
            [.int32, .uuid, .int64, .int64, .int32, .timestamp, .bool, .int64, .int64],
            sorted.map {
                [
                    .int32($0.slot), .uuid($0.campaign), .uint64($0.lsn), .uint64($0.epoch), .int32($0.ordinal),
                    $0.wakeAt, .bool($0.voters), .int64($0.bytes), .uint64($0.checksum),
                ]
            })
    }

    private func states(_ rows: [SnapshotRow]) -> PostgresResult {
        Self.rows(
            [.int32, .uuid, .int64, .int64, .timestamp, .bool, .int64, .int64, .bytes, .int32],
            rows.map {
                [
                    .int32($0.slot), .uuid($0.campaign), .uint64($0.lsn), .uint64($0.epoch), $0.wakeAt,
                    .bool($0.voters), .int64($0.bytes), .uint64($0.checksum), .bytes($0.state), .int32($0.ordinal),
                ]
            })
    }

    private func campaigns(_ slots: [Int32]) -> PostgresResult {
        struct Share {
            var first: UInt64
            var last: UInt64
            var storedAt: Timestamp
        }
        var rows: [[PostgresValue]] = []
        for slot in slots where !tables.journal[Int(slot)].isEmpty {
            var shares: [[UInt8]: Share] = [:]
            for (lsn, row) in tables.journal[Int(slot)].sorted(by: { $0.key < $1.key }) {
                for start in stride(from: 0, to: row.campaigns.count, by: 16) {
                    let id = Array(row.campaigns[start..<start + 16])
                    shares[id, default: Share(first: lsn, last: lsn, storedAt: row.storedAt)].last = lsn
                    shares[id]?.storedAt = row.storedAt
                }
            }
            for (id, share) in shares.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                rows.append(
                    [
                        .int32(slot), .bytes(id), .uint64(share.first), .uint64(share.last),
                        .timestamp(share.storedAt),
                    ])
            }
        }
        return Self.rows([.int32, .bytes, .int64, .int64, .timestamp], rows)
    }

    private func journalRows(_ slot: Int32, after lsn: UInt64, limit: Int) -> PostgresResult {
        let rows = tables.journal[Int(slot)].filter { $0.key > lsn }.sorted { $0.key < $1.key }.prefix(limit)
        return Self.rows(
            [.int64, .int64, .uuid, .int32, .bytes, .bytes, .int64],
            rows.map { Self.columns($0, $1) })
    }
}
