// Slots that change hands in good order: what the giver writes, and what the taker reads when it has read the rest
// beforehand.

import Platform
import Postgres
public import Protocol

/// How a change of hands went, in good order or after a crash.
public struct HandOffReport: Hashable, Sendable {
    /// The slot.
    public let slot: Slot
    /// The epoch that began.
    public let epoch: UInt64
    /// For how long nobody served it, in milliseconds: from the last command that was applied to the moment when its new
    /// owner served it; after a crash from the last sign of life of the owner before.
    public let pauseMilliseconds: Double
    /// Its newest row at that moment.
    public let tail: UInt64

    /// Takes all as it is.
    public init(slot: Slot, epoch: UInt64, pauseMilliseconds: Double, tail: UInt64) {
        self.slot = slot
        self.epoch = epoch
        self.pauseMilliseconds = pauseMilliseconds
        self.tail = tail
    }
}

extension PostgresJournal {
    /// Gives slots to another living node. From here on nothing of them can be written by this node.
    ///
    /// - Parameters:
    ///   - slots: with the epochs under which this node has them; every row of them must be answered.
    ///   - target: their new owner.
    /// - Returns: those that this node had, with the epochs that began; none where the target does not live.
    public func cede(_ slots: [Slot: UInt64], to target: UInt128) async throws(JournalError) -> [Slot: UInt64] {
        let order = slots.keys.sorted { $0.index < $1.index }
        return try await core.cede(
            order,
            [
                .int32Array(order.map { Int32($0.index) }), .uint64Array(order.map { slots[$0] ?? 0 }),
                .uuid(core.identity.incarnation), .uuid(target),
            ])
    }

    /// Those of these slots that others gave to this node, with the tails at which it goes on.
    public func adopt(_ slots: [Slot]) async throws(JournalError) -> [SlotClaim] { try await core.adopt(slots) }

    /// Rows of slots behind those that were read before, contiguous and verified, up to 4096 in all.
    /// - Returns: nothing of a slot whose next row is gone or damaged: it must be recovered.
    public func rows(after places: [Slot: UInt64]) async throws(JournalError) -> [Slot: [SealedRow]] {
        try await core.rows(after: places)
    }

    /// Notes how changes of hands went.
    public func note(_ reports: [HandOffReport]) async throws(JournalError) { try await core.note(reports) }
}

extension PostgresJournalCore {
    /// What slots wait for while they change hands goes where their rows go: on the connection of long reads it would wait
    /// for these.
    private static let road = PostgresRole.flush(0)

    fileprivate func cede(_ ceded: [Slot], _ values: [PostgresValue]) async throws(JournalError) -> [Slot: UInt64] {
        // Whatever would still be flushed is refused from now on.
        for slot in ceded { slots[slot] = nil }
        // Nobody serves them meanwhile: it is waited for no longer than a row would be.
        let moved = try await query(Self.road, HandOffStatements.cede, values, within: options.flushNanoseconds)
        return try Self.reading { () throws(PostgresError) in
            var slots: [Slot: UInt64] = [:]
            for row in 0..<moved.rowCount { slots[try moved.slot(row, 0)] = try moved.value(row, 1) }
            return slots
        }
    }

    fileprivate func adopt(_ wanted: [Slot]) async throws(JournalError) -> [SlotClaim] {
        let owned = try await query(
            Self.road, HandOffStatements.owned, [.int32Array(wanted.map { Int32($0.index) }), me])
        let claims = try Self.reading { () throws(PostgresError) in
            var claims: [SlotClaim] = []
            for row in 0..<owned.rowCount {
                claims.append(
                    SlotClaim(
                        slot: try owned.slot(row, 0), epoch: try owned.value(row, 1), tail: try owned.value(row, 2)))
            }
            return claims
        }
        // Those that are known already are none; somebody may have asked for the same meanwhile.
        let unknown = claims.filter { slots[$0.slot]?.epoch ?? 0 < $0.epoch }
        take(unknown)
        return unknown
    }

    fileprivate func rows(after places: [Slot: UInt64]) async throws(JournalError) -> [Slot: [SealedRow]] {
        var rows: [Slot: [SealedRow]] = [:]
        var broken: Set<Slot> = []
        var isMore = !places.isEmpty
        while isMore {
            let order = places.keys.filter { !broken.contains($0) }.sorted { $0.index < $1.index }
            let from = order.map { rows[$0]?.last?.lsn ?? places[$0] ?? 0 }
            let found = try await query(
                Self.road, HandOffStatements.rows, [.int32Array(order.map { Int32($0.index) }), .uint64Array(from)])
            try Self.reading { () throws(PostgresError) in
                for index in 0..<found.rowCount {
                    let slot = try found.slot(index, 7)
                    let lsn: UInt64 = try found.value(index, 0)
                    let expected = (rows[slot]?.last?.lsn ?? places[slot] ?? 0) + 1
                    guard lsn == expected, !broken.contains(slot), let row = try Self.row(slot, lsn, found, index)
                    else {
                        broken.insert(slot)
                        continue
                    }
                    rows[slot, default: []].append(row)
                }
            }
            isMore = found.rowCount == HandOffStatements.rowsLimit
        }
        for slot in broken { rows[slot] = nil }
        return rows
    }

    fileprivate func note(_ reports: [HandOffReport]) async throws(JournalError) {
        guard !reports.isEmpty else { return }
        _ = try await query(
            .read, HandOffStatements.report,
            [
                .int32Array(reports.map { Int32($0.slot.index) }), .uint64Array(reports.map(\.epoch)),
                .uint64Array(reports.map { UInt64(max(0, $0.pauseMilliseconds) * 1000) }),
                .uint64Array(reports.map(\.tail)),
            ])
    }
}

enum HandOffStatements {
    /// The commit point of a hand-off. The target's row is locked, so that it is not declared dead meanwhile; all slots
    /// before it (which the count is for), since one of them may have to be waited for.
    static let cede = PostgresStatement(
        "nodes.cede", [.int32Array, .int64Array, .uuid, .uuid],
        """
        WITH locked AS (
            SELECT l.slot FROM slot_lease l JOIN unnest($1, $2) AS c(slot, epoch) ON l.slot = c.slot
            WHERE l.epoch = c.epoch AND l.owner = $3
            ORDER BY l.slot FOR UPDATE OF l
        ), target AS (
            SELECT incarnation FROM node_lease
            WHERE (SELECT count(*) FROM locked) > 0 AND incarnation = $4 AND NOT dead FOR SHARE
        ), moved AS (
            UPDATE slot_lease l SET owner = $4,
                epoch = greatest(l.epoch + 1, floor(extract(epoch FROM clock_timestamp()))::bigint)
            FROM locked k, target t WHERE l.slot = k.slot RETURNING l.slot, l.epoch
        )
        INSERT INTO ownership_log(slot, epoch, from_node, to_node, cause)
        SELECT slot, epoch, $3, $4, 'hand-off' FROM moved RETURNING slot, epoch
        """)

    /// No lock is waited for, so one statement will do: whoever sees the new owner sees every row of the one before.
    static let owned = PostgresStatement(
        "nodes.owned", [.int32Array, .uuid],
        """
        SELECT l.slot, l.epoch, greatest(
            coalesce((SELECT max(lsn) FROM journal j WHERE j.slot = l.slot), 0),
            coalesce((SELECT max(lsn) FROM snapshot s WHERE s.slot = l.slot AND s.complete), 0))
        FROM slot_lease l WHERE l.slot = ANY($1) AND l.owner = $2
        """)

    /// Rows of one answer.
    static let rowsLimit = 4096

    /// The columns of a row as recovery reads them, and the slot.
    static let rows = PostgresStatement(
        "nodes.rows", [.int32Array, .int64Array],
        """
        SELECT j.lsn, j.epoch, j.flush, j.count, j.campaigns, j.payload, j.checksum, j.slot
        FROM unnest($1, $2) AS w(slot, lsn) JOIN journal j ON j.slot = w.slot AND j.lsn > w.lsn
        ORDER BY j.slot, j.lsn LIMIT \(rowsLimit)
        """)

    static let report = PostgresStatement(
        "nodes.report", [.int32Array, .int64Array, .int64Array, .int64Array],
        """
        UPDATE ownership_log o SET pause_ms = r.pause / 1000.0, tail_lsn = r.tail
        FROM unnest($1, $2, $3, $4) AS r(slot, epoch, pause, tail)
        WHERE o.slot = r.slot AND o.epoch = r.epoch
        """)
}
