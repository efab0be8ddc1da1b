// Where those who speak of placement disagree: the database, which decides; the table in Redis, which tells; and this
// node, which acts on both. Nothing is wrong where they differ for a moment, as slots move; a difference that stays is.

import Cluster
import Journal
import Protocol

struct PlacementDiff: Sendable {
    /// What Redis has.
    enum Board: Sendable {
        /// A node without one.
        case unused
        /// No table is stored.
        case empty
        /// What is stored is no table.
        case unreadable(version: UInt64)
        case unreachable(String)
        case table(version: UInt64, PlacementTable)
    }

    /// A slot of which not all say the same.
    struct Entry: Sendable, Equatable {
        let slot: Slot
        let database: UInt128?
        /// As the table has it; outer `nil` where there is no table.
        let redis: UInt128??
        let node: UInt128?
    }

    /// Entries that are listed; all are counted.
    static let entriesLimit = 256

    let entries: [Entry]
    let count: Int

    /// Compares.
    ///
    /// - Parameters:
    ///   - before: what the database said before the others were asked.
    ///   - after: and what after; a slot that changed hands meanwhile is left out.
    ///   - living: nodes that live; others own nothing.
    ///   - redis: owners by slot, where there is a table.
    ///   - node: owners by slot, as this node sees them.
    init(before: [SlotHolding], after: [SlotHolding], living: Set<UInt128>, redis: [UInt128?]?, node: [UInt128?]) {
        var entries: [Entry] = []
        var count = 0
        for (index, holding) in after.enumerated() where before[index] == holding {
            let owner = holding.owner.flatMap { living.contains($0) ? $0 : nil }
            let told = redis.map { $0[index] }
            guard node[index] != owner || (told ?? owner) != owner else { continue }
            count += 1
            guard entries.count < Self.entriesLimit else { continue }
            entries.append(Entry(slot: holding.slot, database: owner, redis: told, node: node[index]))
        }
        self.entries = entries
        self.count = count
    }
}

extension PlacementDiff.Board {
    var owners: [UInt128?]? {
        guard case .table(_, let table) = self else { return nil }
        return table.owners
    }

    var version: UInt64? {
        switch self {
        case .unused, .unreachable: nil
        case .empty: 0
        case .unreadable(let version), .table(let version, _): version
        }
    }

    var word: String {
        switch self {
        case .unused: "unused"
        case .empty: "empty"
        case .unreadable: "unreadable"
        case .unreachable: "unreachable"
        case .table: "table"
        }
    }

    /// Whether it says what it should, or need not say anything.
    var isSound: Bool {
        switch self {
        case .unused, .table: true
        case .empty, .unreadable, .unreachable: false
        }
    }
}
