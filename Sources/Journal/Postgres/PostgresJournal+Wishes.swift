// What an operator wishes of the nodes that share a database: that one gives its slots away, or that a slot lives on a
// certain node. Wishes are rows like everything that decides; every node reads them in its rounds.

import Platform
import Postgres
public import Protocol

/// What became of a wish that a node gives its slots away, or takes some again.
public struct DrainAnswer: Hashable, Sendable {
    /// The process that is meant: the newest of that name. A later one is not asked.
    public let incarnation: UInt128
    /// Whether it was not asked so before.
    public let hasChanged: Bool
    /// Whether it gives its slots away for reasons of its own, whatever is wished.
    public let isLeaving: Bool
}

/// How long a node's lease still lasts.
public struct NodeLease: Hashable, Sendable {
    /// The process.
    public let incarnation: UInt128
    /// Milliseconds by the server's clock; negative where it has lapsed.
    public let remainingMilliseconds: Int64
}

extension PostgresJournal {
    /// Asks a node to give its slots away and to take none, or takes it back.
    ///
    /// - Parameters:
    ///   - name: of the node; of several processes the newest is meant.
    ///   - isAsked: whether it is to drain.
    /// - Returns: `nil` where no node of that name lives.
    public func askToDrain(_ name: String, _ isAsked: Bool) async throws(JournalError) -> DrainAnswer? {
        try await core.askToDrain([.text(name), .bool(isAsked)])
    }

    /// Fixes a slot to a node; `nil` sets it free.
    /// - Returns: whether that is a change.
    public func pin(_ slot: Slot, to node: String?) async throws(JournalError) -> Bool {
        let number = PostgresValue.int32(Int32(slot.index))
        guard let node else { return try await core.changePin(WishStatements.unpin, [number]) }
        return try await core.changePin(WishStatements.pin, [number, .text(node)])
    }

    /// The leases of the living nodes, in no order.
    public func leases() async throws(JournalError) -> [NodeLease] { try await core.leases() }
}

extension PostgresJournalCore {
    fileprivate func askToDrain(_ values: [PostgresValue]) async throws(JournalError) -> DrainAnswer? {
        let found = try await query(.read, WishStatements.drain, values)
        guard found.rowCount > 0 else { return nil }
        return try Self.reading { () throws(PostgresError) in
            DrainAnswer(
                incarnation: try found.value(0, 0), hasChanged: try found.value(0, 1),
                isLeaving: try found.value(0, 2))
        }
    }

    fileprivate func changePin(
        _ statement: PostgresStatement, _ values: [PostgresValue]
    ) async throws(JournalError) -> Bool {
        try await query(.read, statement, values).rowCount > 0
    }

    fileprivate func leases() async throws(JournalError) -> [NodeLease] {
        let found = try await query(.read, WishStatements.leases, [])
        return try Self.reading { () throws(PostgresError) in
            var leases: [NodeLease] = []
            for row in 0..<found.rowCount {
                leases.append(
                    NodeLease(incarnation: try found.value(row, 0), remainingMilliseconds: try found.value(row, 1)))
            }
            return leases
        }
    }
}

private enum WishStatements {
    static let drain = PostgresStatement(
        "wish.drain", [.text, .bool],
        """
        WITH newest AS (
            SELECT incarnation, drain_asked FROM node_lease WHERE name = $1 AND NOT dead
            ORDER BY started DESC, incarnation DESC LIMIT 1
        )
        UPDATE node_lease n SET drain_asked = $2 FROM newest w WHERE n.incarnation = w.incarnation
        RETURNING n.incarnation, w.drain_asked <> $2, n.draining
        """)

    static let pin = PostgresStatement(
        "wish.pin", [.int32, .text],
        """
        WITH changed AS (
            INSERT INTO pin(slot, node) VALUES($1, $2)
            ON CONFLICT (slot) DO UPDATE SET node = excluded.node WHERE pin.node <> excluded.node RETURNING slot
        )
        UPDATE placement SET pins = pins + 1 WHERE EXISTS (SELECT 1 FROM changed) RETURNING pins
        """)

    static let unpin = PostgresStatement(
        "wish.unpin", [.int32],
        """
        WITH gone AS (DELETE FROM pin WHERE slot = $1 RETURNING slot)
        UPDATE placement SET pins = pins + 1 WHERE EXISTS (SELECT 1 FROM gone) RETURNING pins
        """)

    static let leases = PostgresStatement(
        "wish.leases", [],
        """
        SELECT incarnation, floor(extract(epoch FROM expires - clock_timestamp()) * 1000)::bigint
        FROM node_lease WHERE NOT dead
        """)
}
