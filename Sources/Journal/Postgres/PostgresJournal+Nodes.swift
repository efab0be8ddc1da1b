// The nodes that share a database: who lives, and who owns which slot.

import Platform
import Postgres
public import Protocol

/// A node as its lease shows it; dead ones are not shown.
public struct LeasedNode: Hashable, Sendable {
    /// The process.
    public let incarnation: UInt128
    /// The node's stable name.
    public let name: String
    /// Where others dial it: `host:port`.
    public let address: String
    /// Its share of slots.
    public let weight: Double
    /// It gives its slots away for reasons of its own: it is about to end, or reaches too few of the others.
    public let isDraining: Bool
    /// Its lease has ended; it may be declared dead, and may still come back before that.
    public let hasLapsed: Bool
    /// When it started: of two of one name the later counts.
    public let started: Timestamp
    /// The operator wishes that it gives its slots away and takes none, until it is taken back.
    public var isAskedToDrain = false
}

/// Who owns a slot.
public struct SlotHolding: Hashable, Sendable {
    /// The slot.
    public let slot: Slot
    /// Its epoch now.
    public let epoch: UInt64
    /// The incarnation, also of a node that is dead by now; `nil` for a slot that nobody ever had or that was released.
    public let owner: UInt128?
    /// The name of the node that the slot is fixed to, whether it lives or not.
    public var pin: String?
}

extension PostgresJournal {
    /// The living nodes, oldest first, this one among them.
    public func nodes() async throws(JournalError) -> [LeasedNode] { try await core.nodes() }

    /// Grows with every change of an owner or a pin: while it stands still, so do the holdings.
    public func ownershipVersion() async throws(JournalError) -> UInt64 { try await core.ownershipVersion() }

    /// Owner and pin of every slot, in the order of their numbers.
    public func holdings() async throws(JournalError) -> [SlotHolding] { try await core.holdings() }

    /// Declares nodes dead whose leases have lapsed, by the server's clock and as this node has seen them since it last
    /// asked for `nodes`, if its own was renewed promptly for as long as a lease lasts.
    /// - Returns: how many were declared dead.
    public func buryLapsed() async throws(JournalError) -> Int { try await core.buryLapsed() }

    /// The next version of the placement table: greater than every one before, and than one that was seen elsewhere; a
    /// database that was put back to an older state has forgotten some.
    ///
    /// - Parameter seen: below 2^53.
    public func nextPlacementVersion(above seen: UInt64) async throws(JournalError) -> UInt64 {
        try await core.nextPlacementVersion(.uint64(seen))
    }

    /// Says whether this node gives its slots away.
    public func announceDrain(_ isDraining: Bool) async throws(JournalError) {
        try await core.announceDrain(.bool(isDraining))
    }
}

extension PostgresJournalCore {
    fileprivate func nodes() async throws(JournalError) -> [LeasedNode] {
        let found = try await query(.lease, NodeStatements.living, [])
        return try Self.reading { () throws(PostgresError) in
            var nodes: [LeasedNode] = []
            var leases: [UInt128: Timestamp] = [:]
            for row in 0..<found.rowCount {
                leases[try found.value(row, 0)] = try found.value(row, 8)
                nodes.append(
                    LeasedNode(
                        incarnation: try found.value(row, 0), name: try found.value(row, 1),
                        address: try found.value(row, 2), weight: try found.value(row, 3),
                        isDraining: try found.value(row, 4), hasLapsed: try found.value(row, 5),
                        started: try found.value(row, 6), isAskedToDrain: try found.value(row, 7)))
            }
            watch.look(leases, at: clock.monotonic().nanoseconds)
            return nodes
        }
    }

    fileprivate func ownershipVersion() async throws(JournalError) -> UInt64 {
        let found = try await query(.lease, NodeStatements.ownershipVersion, [])
        return try Self.reading { () throws(PostgresError) in try found.value(0, 0) }
    }

    fileprivate func holdings() async throws(JournalError) -> [SlotHolding] {
        let found = try await query(.read, NodeStatements.holdings, [])
        return try Self.reading { () throws(PostgresError) in
            var holdings: [SlotHolding] = []
            holdings.reserveCapacity(found.rowCount)
            for row in 0..<found.rowCount {
                holdings.append(
                    SlotHolding(
                        slot: try found.slot(row, 0), epoch: try found.value(row, 1),
                        owner: try found.optional(row, 2), pin: try found.optional(row, 3)))
            }
            return holdings
        }
    }

    fileprivate func buryLapsed() async throws(JournalError) -> Int {
        let now = clock.monotonic().nanoseconds
        guard lease.mayAccuse(at: now) else { return 0 }
        let silent = PostgresValue.uuidArray(watch.silent(for: lease.ttl, at: now, otherThan: identity.incarnation))
        guard silent != .uuidArray([]) else { return 0 }
        return try await query(.lease, NodeStatements.bury, [silent]).rowCount
    }

    fileprivate func nextPlacementVersion(_ seen: PostgresValue) async throws(JournalError) -> UInt64 {
        let found = try await query(.read, NodeStatements.nextVersion, [seen])
        return try Self.reading { () throws(PostgresError) in try found.value(0, 0) }
    }

    fileprivate func announceDrain(_ isDraining: PostgresValue) async throws(JournalError) {
        _ = try await query(.lease, NodeStatements.drain, [me, isDraining])
    }
}

/// What nodes ask about each other.
enum NodeStatements {
    static let living = PostgresStatement(
        "nodes.living", [],
        """
        SELECT incarnation, name, address, weight, draining, expires < clock_timestamp(), started, drain_asked,
            expires
        FROM node_lease WHERE NOT dead ORDER BY started, incarnation
        """)

    static let holdings = PostgresStatement(
        "nodes.holdings", [],
        """
        SELECT l.slot, l.epoch, l.owner, p.node FROM slot_lease l LEFT JOIN pin p ON p.slot = l.slot ORDER BY l.slot
        """)

    /// Each change of an owner raises its slot's epoch, and each of a pin the count of those, so the sum misses none, in
    /// whatever order they commit.
    static let ownershipVersion = PostgresStatement(
        "nodes.version", [], "SELECT sum(epoch)::bigint + (SELECT pins FROM placement) FROM slot_lease")

    /// A row that somebody holds is left for the next round: who waited for it would be late with its own renewal.
    static let bury = PostgresStatement(
        "nodes.bury", [.uuidArray],
        """
        UPDATE node_lease l SET dead = true
        FROM (
            SELECT incarnation FROM node_lease
            WHERE incarnation = ANY($1) AND NOT dead AND expires < clock_timestamp() FOR UPDATE SKIP LOCKED
        ) k WHERE l.incarnation = k.incarnation RETURNING l.incarnation
        """)

    static let nextVersion = PostgresStatement(
        "placement.next", [.int64], "UPDATE placement SET version = greatest(version, $1) + 1 RETURNING version")

    static let drain = PostgresStatement(
        "nodes.drain", [.uuid, .bool], "UPDATE node_lease SET draining = $2 WHERE incarnation = $1")
}
