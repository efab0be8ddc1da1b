// Where those who speak of placement disagree: the database, which decides; the table in Redis, which tells; this node,
// which acts on both; and every node, which says what it serves and which table it knows. Nothing is wrong where they
// differ for a moment, as slots move; a difference that stays is. Where nothing differs, every list is empty.

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
        /// Where this node sends commands.
        let node: UInt128?
        /// Nodes that say that they serve it, ascending: its owner alone, if all is well.
        let served: [UInt128]
    }

    /// A node that did not answer, or knows an older table than others.
    struct Straggler: Sendable, Equatable {
        let node: UInt128
        /// The newest table that it knows; `nil` where it did not answer.
        let version: UInt64?
    }

    /// What nodes say of themselves, by incarnation; of those that did not answer there is none.
    typealias Voices = [UInt128: PeerStatus]

    /// Entries that are listed; all are counted.
    static let entriesLimit = 256

    let entries: [Entry]
    let count: Int
    let stragglers: [Straggler]

    var isEmpty: Bool { count == 0 && stragglers.isEmpty }

    /// Compares.
    ///
    /// - Parameters:
    ///   - before: what the database said before the others were asked.
    ///   - after: and what after; a slot that changed hands meanwhile is left out.
    ///   - living: nodes that live; others own nothing.
    ///   - board: what Redis has.
    ///   - node: owners by slot, as this node sees them.
    ///   - voices: what the living nodes say, this one among them.
    init(
        before: [SlotHolding], after: [SlotHolding], living: Set<UInt128>, board: Board, node: [UInt128?],
        voices: Voices
    ) {
        let redis = board.owners
        let speakers = voices.sorted { $0.key < $1.key }
        var entries: [Entry] = []
        var count = 0
        for (index, holding) in after.enumerated() where before[index] == holding {
            let owner = holding.owner.flatMap { living.contains($0) ? $0 : nil }
            let told = redis.map { $0[index] }
            let served = speakers.filter { $0.value.served.contains(holding.slot) }.map(\.key)
            // Of an owner that says nothing it is not known whether it serves what it has.
            let expected = owner.flatMap { voices[$0] == nil ? nil : $0 }.map { [$0] } ?? []
            guard node[index] != owner || (told ?? owner) != owner || served != expected else { continue }
            count += 1
            guard entries.count < Self.entriesLimit else { continue }
            entries.append(
                Entry(slot: holding.slot, database: owner, redis: told, node: node[index], served: served))
        }
        self.entries = entries
        self.count = count
        let newest = voices.values.reduce(board.tableVersion) { max($0, $1.tableVersion) }
        stragglers = living.sorted().compactMap { node in
            let version = voices[node]?.tableVersion
            return version == newest ? nil : Straggler(node: node, version: version)
        }
    }
}

extension PlacementDiff.Board {
    var owners: [UInt128?]? {
        guard case .table(_, let table) = self else { return nil }
        return table.owners
    }

    /// Of a table that nodes go by; 0 where there is none.
    var tableVersion: UInt64 {
        guard case .table(let version, _) = self, version < PlacementBoard.versionLimit else { return 0 }
        return version
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
