// What the database remembers of placement: changes of hands, and the version of the table.

import Platform
import Postgres
public import Protocol

/// A change of hands of a slot.
public struct OwnershipChange: Hashable, Sendable {
    /// A node of the past or of now.
    public struct Party: Hashable, Sendable {
        /// The process.
        public let incarnation: UInt128
        /// Its name, where the database still knows it.
        public let name: String?
    }

    /// When, by the server's clock.
    public let at: Timestamp
    /// The epoch that began.
    public let epoch: UInt64
    /// Who had it; `nil` for nobody.
    public let from: Party?
    /// Who got it.
    public let to: Party?
    /// How: `claim` of a slot that nobody had, `hand-off` in good order, `crash`: taken from a node that was dead.
    public let cause: String
    /// For how long nobody served it, in milliseconds, where that was noted; never of a `claim`.
    public let pauseMilliseconds: Double?
    /// The newest row at that moment, where that was noted.
    public let tail: UInt64?
}

extension PostgresJournal {
    /// The newest changes of hands of a slot, the newest first.
    public func changes(of slot: Slot, limit: Int) async throws(JournalError) -> [OwnershipChange] {
        try await core.changes(of: slot, limit: limit)
    }

    /// The newest version of the placement table that was given out; 0 where none was.
    public func placementVersion() async throws(JournalError) -> UInt64 { try await core.placementVersion() }
}

extension PostgresJournalCore {
    fileprivate func changes(of slot: Slot, limit: Int) async throws(JournalError) -> [OwnershipChange] {
        let found = try await query(
            .read, OwnershipStatements.changes, [.int32(Int32(slot.index)), .int32(Int32(clamping: limit))])
        return try Self.reading { () throws(PostgresError) in
            var changes: [OwnershipChange] = []
            for row in 0..<found.rowCount {
                changes.append(
                    OwnershipChange(
                        at: try found.value(row, 0), epoch: try found.value(row, 1),
                        from: try Self.party(found, row, 2), to: try Self.party(found, row, 4),
                        cause: try found.value(row, 6), pauseMilliseconds: try found.optional(row, 7),
                        tail: try found.optional(row, 8)))
            }
            return changes
        }
    }

    private static func party(
        _ found: PostgresResult, _ row: Int, _ column: Int
    ) throws(PostgresError) -> OwnershipChange.Party? {
        guard let incarnation: UInt128 = try found.optional(row, column) else { return nil }
        return OwnershipChange.Party(incarnation: incarnation, name: try found.optional(row, column + 1))
    }

    fileprivate func placementVersion() async throws(JournalError) -> UInt64 {
        let found = try await query(.read, OwnershipStatements.version, [])
        return try Self.reading { () throws(PostgresError) in try found.value(0, 0) }
    }
}

private enum OwnershipStatements {
    static let changes = PostgresStatement(
        "ownership.changes", [.int32, .int32],
        """
        SELECT l.at, l.epoch, l.from_node, f.name, l.to_node, t.name, l.cause, l.pause_ms, l.tail_lsn
        FROM ownership_log l
        LEFT JOIN node_lease f ON f.incarnation = l.from_node
        LEFT JOIN node_lease t ON t.incarnation = l.to_node
        WHERE l.slot = $1 ORDER BY l.id DESC LIMIT $2
        """)

    static let version = PostgresStatement("placement.version", [], "SELECT version FROM placement")
}
