// The ways in which a racing node takes slots over: the right ones, and one that is wrong.

import Platform
import Postgres
import Protocol
import TestSupport

@testable import Journal

extension Race {
    func take(_ wanted: [Slot], _ journal: PostgresJournal, _ random: SeededRandom) async -> [SlotClaim] {
        do {
            switch take {
            case .claim: return try await journal.claim(wanted)
            case .claimOrHandOff:
                if random.next() % 2 == 0, !wanted.isEmpty {
                    let slot = wanted[Int(random.next() % UInt64(wanted.count))]
                    return try await Self.handOff(slot, to: journal)
                }
                return try await journal.claim(wanted)
            case .handOff:
                let free = try await journal.claim(wanted)
                guard free.isEmpty, !wanted.isEmpty else { return free }
                return try await Self.handOff(wanted[Int(random.next() % UInt64(wanted.count))], to: journal)
            case .oneStatement: return try await Self.claimAtOnce(wanted, for: journal)
            }
        } catch {
            // Buried meanwhile, or the connection was ended: whether the claim holds is unknown, and the next one
            // finds out.
            return []
        }
    }

    /// The commit point of a hand-off, then the tail in a statement of its own.
    static func handOff(_ slot: Slot, to journal: PostgresJournal) async throws -> [SlotClaim] {
        let (pool, incarnation) = (journal.core.pool, PostgresValue.uuid(journal.core.identity.incarnation))
        let number = PostgresValue.int32(Int32(slot.index))
        let moved = try await pool.execute(.read, handOff, [number, incarnation], deadline: within(20))
        guard moved.rowCount == 1 else { return [] }
        let epoch: UInt64 = try moved.value(0, 0)
        let owner: UInt128 = try moved.value(0, 1)
        let tails = PostgresStatements().tails
        let read = try await pool.execute(
            .read, tails, [.int32Array([Int32(slot.index)])], deadline: within(20))
        let claim = SlotClaim(slot: slot, epoch: epoch, tail: try read.value(0, 1))
        _ = try await pool.execute(
            .read, log, [number, .uint64(epoch), .uuid(owner), incarnation, .uint64(claim.tail)], deadline: within(20))
        await journal.core.take([claim])
        return [claim]
    }

    /// Everything in one statement, which cannot see what was committed while it waited for the locks.
    static func claimAtOnce(_ wanted: [Slot], for journal: PostgresJournal) async throws -> [SlotClaim] {
        let result = try await journal.core.pool.execute(
            .read, atOnce,
            [.int32Array(wanted.map { Int32($0.index) }), .uuid(journal.core.identity.incarnation)],
            deadline: within(20))
        var claims: [SlotClaim] = []
        for row in 0..<result.rowCount {
            claims.append(
                SlotClaim(
                    slot: try result.slot(row, 0), epoch: try result.value(row, 1), tail: try result.value(row, 2)))
        }
        await journal.core.take(claims)
        return claims
    }

    private static let handOff = PostgresStatement(
        "race.handoff", [.int32, .uuid],
        """
        WITH seen AS (SELECT slot, epoch, owner FROM slot_lease WHERE slot = $1)
        UPDATE slot_lease l SET epoch = l.epoch + 1, owner = $2 FROM seen s
        WHERE l.slot = s.slot AND l.epoch = s.epoch AND l.owner = s.owner AND l.owner <> $2
            AND EXISTS (SELECT 1 FROM node_lease n WHERE n.incarnation = $2 AND NOT n.dead)
        RETURNING l.epoch, s.owner
        """)

    private static let log = PostgresStatement(
        "race.log", [.int32, .int64, .uuid, .uuid, .int64],
        """
        INSERT INTO ownership_log(slot, epoch, from_node, to_node, cause, tail_lsn)
        VALUES($1, $2, $3, $4, 'hand-off', $5)
        """)

    private static let atOnce = PostgresStatement(
        "race.at-once", [.int32Array, .uuid],
        """
        WITH locked AS (
            SELECT l.slot, l.epoch, l.owner FROM slot_lease l
            WHERE l.slot = ANY($1) AND (l.owner IS NULL OR l.owner = $2
                OR NOT EXISTS (SELECT 1 FROM node_lease n WHERE n.incarnation = l.owner AND NOT n.dead))
            ORDER BY l.slot FOR UPDATE
        ), raised AS (
            UPDATE slot_lease l SET owner = $2,
                epoch = greatest(l.epoch + 1, floor(extract(epoch FROM clock_timestamp()))::bigint)
            FROM locked k WHERE l.slot = k.slot RETURNING l.slot, l.epoch, k.owner AS from_node
        ), tails AS (
            SELECT r.slot, r.epoch, r.from_node,
                coalesce((SELECT max(lsn) FROM journal j WHERE j.slot = r.slot), 0) AS tail FROM raised r
        ), logged AS (
            INSERT INTO ownership_log(slot, epoch, from_node, tail_lsn, to_node, cause)
            SELECT slot, epoch, from_node, tail, $2, 'at once' FROM tails
        )
        SELECT slot, epoch, tail FROM tails
        """)
}
