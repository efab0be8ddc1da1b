// Row locks as Postgres has them: four modes, who waits for whom, in the order of arrival.

/// A row that can be locked.
enum RowKey: Hashable {
    case node(UInt128)
    case slot(Int32)
    case journal(slot: Int32, lsn: UInt64)
    case placement
}

/// From weak to strong.
enum RowLockMode: Int, Comparable {
    case keyShare, share, noKeyUpdate, update

    static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

    /// Of the table of conflicts in Postgres' manual, section 13.3.2.
    func conflicts(with other: RowLockMode) -> Bool {
        switch (min(self, other), max(self, other)) {
        case (.keyShare, let stronger): stronger == .update
        case (.share, let stronger): stronger >= .noKeyUpdate
        case (.noKeyUpdate, _), (.update, _): true
        }
    }
}

/// What a transaction wants to lock.
struct RowLock {
    let key: RowKey
    let mode: RowLockMode
}

/// Who holds and awaits locks; transactions are known by number.
final class RowLocks {
    private struct Waiter {
        let transaction: UInt64
        let mode: RowLockMode
        let granted: () -> Void
    }

    private struct Row {
        var holders: [UInt64: RowLockMode] = [:]
        var waiters: [Waiter] = []

        func admits(_ transaction: UInt64, _ mode: RowLockMode) -> Bool {
            !holders.contains { $0.key != transaction && $0.value.conflicts(with: mode) }
        }
    }

    private var rows: [RowKey: Row] = [:]
    private var held: [UInt64: [RowKey]] = [:]

    /// Locks a row: at once and `true`, or later by `granted`.
    func acquire(_ lock: RowLock, for transaction: UInt64, _ granted: @escaping () -> Void) -> Bool {
        var row = rows[lock.key] ?? Row()
        let isFirst = row.waiters.isEmpty || row.holders[transaction] != nil
        guard isFirst, row.admits(transaction, lock.mode) else {
            row.waiters.append(Waiter(transaction: transaction, mode: lock.mode, granted: granted))
            rows[lock.key] = row
            return false
        }
        grant(&row, lock.key, transaction, lock.mode)
        rows[lock.key] = row
        return true
    }

    private func grant(_ row: inout Row, _ key: RowKey, _ transaction: UInt64, _ mode: RowLockMode) {
        if row.holders[transaction] == nil { held[transaction, default: []].append(key) }
        row.holders[transaction] = max(mode, row.holders[transaction] ?? mode)
    }

    /// The transaction is over: it holds nothing and waits for nothing.
    func release(_ transaction: UInt64, waitingFor key: RowKey? = nil) {
        if let key {
            rows[key]?.waiters.removeAll { $0.transaction == transaction }
            serve(key)
        }
        for key in held.removeValue(forKey: transaction) ?? [] {
            rows[key]?.holders[transaction] = nil
            serve(key)
        }
    }

    private func serve(_ key: RowKey) {
        while var row = rows[key], let first = row.waiters.first, row.admits(first.transaction, first.mode) {
            row.waiters.removeFirst()
            grant(&row, key, first.transaction, first.mode)
            rows[key] = row
            first.granted()
        }
        if let row = rows[key], row.holders.isEmpty, row.waiters.isEmpty { rows[key] = nil }
    }
}
