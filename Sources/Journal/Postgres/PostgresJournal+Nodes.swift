// The nodes that share a database: who lives, who owns which slot, and how a slot changes hands in good order.

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
    /// It gives its slots away.
    public let isDraining: Bool
    /// Its lease has ended; it may be declared dead, and may still come back before that.
    public let hasLapsed: Bool
    /// When it started: of two of one name the later counts.
    public let started: Timestamp
}

/// Who owns a slot.
public struct SlotHolding: Hashable, Sendable {
    /// The slot.
    public let slot: Slot
    /// Its epoch now.
    public let epoch: UInt64
    /// The incarnation, also of a node that is dead by now; `nil` for a slot that nobody ever had or that was released.
    public let owner: UInt128?
}

extension PostgresJournal {
    /// The living nodes, oldest first, this one among them.
    public func nodes() async throws(JournalError) -> [LeasedNode] { try await core.nodes() }

    /// Grows with every change of an owner: while it stands still, so do the holdings.
    public func ownershipVersion() async throws(JournalError) -> UInt64 { try await core.ownershipVersion() }

    /// The owner of every slot, in the order of their numbers.
    public func holdings() async throws(JournalError) -> [SlotHolding] { try await core.holdings() }

    /// Declares nodes dead whose leases have lapsed, if this node's own was renewed promptly for as long as a lease lasts.
    /// - Returns: how many were declared dead.
    public func buryLapsed() async throws(JournalError) -> Int { try await core.buryLapsed() }

    /// Gives slots to another living node. From here on nothing of them can be written by this node.
    ///
    /// - Parameters:
    ///   - slots: with the epochs under which this node has them; every row of them must be answered.
    ///   - target: their new owner.
    /// - Returns: those that this node had; none where the target does not live.
    public func cede(_ slots: [Slot: UInt64], to target: UInt128) async throws(JournalError) -> [Slot] {
        let order = slots.keys.sorted { $0.index < $1.index }
        return try await core.cede(
            order,
            [
                .int32Array(order.map { Int32($0.index) }), .uint64Array(order.map { slots[$0] ?? 0 }),
                .uuid(core.identity.incarnation), .uuid(target),
            ])
    }

    /// Slots that others gave to this node, with the tails at which it goes on.
    public func adopt() async throws(JournalError) -> [SlotClaim] { try await core.adopt() }

    /// The next version of the placement table: greater than every one before.
    public func nextPlacementVersion() async throws(JournalError) -> UInt64 { try await core.nextPlacementVersion() }

    /// Says that this node gives its slots away.
    public func announceDrain() async throws(JournalError) { try await core.announceDrain() }
}

extension PostgresJournalCore {
    fileprivate func nodes() async throws(JournalError) -> [LeasedNode] {
        let found = try await query(.lease, NodeStatements.living, [])
        return try Self.reading { () throws(PostgresError) in
            var nodes: [LeasedNode] = []
            for row in 0..<found.rowCount {
                nodes.append(
                    LeasedNode(
                        incarnation: try found.value(row, 0), name: try found.value(row, 1),
                        address: try found.value(row, 2), weight: try found.value(row, 3),
                        isDraining: try found.value(row, 4), hasLapsed: try found.value(row, 5),
                        started: try found.value(row, 6)))
            }
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
                        owner: try found.optional(row, 2)))
            }
            return holdings
        }
    }

    fileprivate func buryLapsed() async throws(JournalError) -> Int {
        guard lease.mayAccuse(at: clock.monotonic().nanoseconds) else { return 0 }
        return try await query(.lease, NodeStatements.bury, []).rowCount
    }

    fileprivate func cede(_ ceded: [Slot], _ values: [PostgresValue]) async throws(JournalError) -> [Slot] {
        // Whatever would still be flushed is refused from now on.
        for slot in ceded { slots[slot] = nil }
        let moved = try await query(.read, NodeStatements.cede, values)
        return try Self.reading { () throws(PostgresError) in
            var slots: [Slot] = []
            for row in 0..<moved.rowCount { slots.append(try moved.slot(row, 0)) }
            return slots
        }
    }

    fileprivate func adopt() async throws(JournalError) -> [SlotClaim] {
        let owned = try await query(.read, statements.ownedSlots, [me])
        let epochs = try Self.reading { () throws(PostgresError) in
            var epochs: [Int32: UInt64] = [:]
            for row in 0..<owned.rowCount { epochs[try owned.value(row, 0)] = try owned.value(row, 1) }
            return epochs
        }
        let new = epochs.filter { slots[Slot(UInt16($0.key))]?.epoch ?? 0 < $0.value }
        guard !new.isEmpty else { return [] }
        // A statement of its own: it sees every row that the giver committed.
        let tails = try await query(.read, statements.tails, [.int32Array(new.keys.sorted())])
        let claims = try Self.reading { () throws(PostgresError) in
            var claims: [SlotClaim] = []
            for row in 0..<tails.rowCount {
                let slot: Int32 = try tails.value(row, 0)
                guard let epoch = new[slot] else { continue }
                claims.append(SlotClaim(slot: Slot(UInt16(slot)), epoch: epoch, tail: try tails.value(row, 1)))
            }
            return claims
        }
        take(claims)
        return claims
    }

    fileprivate func nextPlacementVersion() async throws(JournalError) -> UInt64 {
        let found = try await query(.read, NodeStatements.nextVersion, [])
        return try Self.reading { () throws(PostgresError) in try found.value(0, 0) }
    }

    fileprivate func announceDrain() async throws(JournalError) {
        _ = try await query(.lease, NodeStatements.drain, [me])
    }
}

/// What nodes ask about each other.
enum NodeStatements {
    static let living = PostgresStatement(
        "nodes.living", [],
        """
        SELECT incarnation, name, address, weight, draining, expires < clock_timestamp(), started
        FROM node_lease WHERE NOT dead ORDER BY started, incarnation
        """)

    static let holdings = PostgresStatement(
        "nodes.holdings", [], "SELECT slot, epoch, owner FROM slot_lease ORDER BY slot")

    /// Each change of an owner raises its slot's epoch, so the sum misses none, in whatever order they commit.
    static let ownershipVersion = PostgresStatement(
        "nodes.version", [], "SELECT sum(epoch)::bigint FROM slot_lease")

    static let bury = PostgresStatement(
        "nodes.bury", [],
        "UPDATE node_lease SET dead = true WHERE NOT dead AND expires < clock_timestamp() RETURNING incarnation")

    static let nextVersion = PostgresStatement(
        "placement.next", [], "UPDATE placement SET version = version + 1 RETURNING version")

    static let drain = PostgresStatement(
        "nodes.drain", [.uuid], "UPDATE node_lease SET draining = true WHERE incarnation = $1")

    /// The commit point of a hand-off. The target's row is locked, so that it is not declared dead meanwhile.
    static let cede = PostgresStatement(
        "nodes.cede", [.int32Array, .int64Array, .uuid, .uuid],
        """
        WITH target AS (
            SELECT incarnation FROM node_lease WHERE incarnation = $4 AND NOT dead FOR SHARE
        ), locked AS (
            SELECT l.slot FROM slot_lease l JOIN unnest($1, $2) AS c(slot, epoch) ON l.slot = c.slot
            WHERE l.epoch = c.epoch AND l.owner = $3 AND EXISTS (SELECT 1 FROM target)
            ORDER BY l.slot FOR UPDATE OF l
        ), moved AS (
            UPDATE slot_lease l SET owner = $4,
                epoch = greatest(l.epoch + 1, floor(extract(epoch FROM clock_timestamp()))::bigint)
            FROM locked k WHERE l.slot = k.slot RETURNING l.slot, l.epoch
        )
        INSERT INTO ownership_log(slot, epoch, from_node, to_node, cause)
        SELECT slot, epoch, $3, $4, 'hand-off' FROM moved RETURNING slot
        """)
}
