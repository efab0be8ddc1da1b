// A server that was put back to an older state, or failed over to a standby that lacked something, has lost rows that
// were acknowledged. Nobody can bring them back, but it must be said which they are, and the slot must go on from what is
// there, under an epoch that was never used: so each new flush connection begins with a comparison of tails.

import Platform
import Postgres
public import Protocol

/// Committed rows that the server does not have any more.
public struct SlotLoss: Hashable, Sendable {
    /// Their slot.
    public let slot: Slot
    /// The first and the last of them.
    public let lsns: ClosedRange<UInt64>
    /// Votes in them, as far as they are remembered.
    public let votes: UInt64
    /// Some of the rows are too old to be remembered: there were more votes.
    public let isAtLeast: Bool
}

/// How many votes the newest rows of a slot held.
struct RecentVotes: Sendable {
    static let rowsLimit = 128
    /// Oldest first; the last one belongs to the tail.
    private var counts: [UInt32] = []

    mutating func append(_ count: UInt32) {
        if counts.count >= 2 * Self.rowsLimit { counts.removeFirst(Self.rowsLimit) }
        counts.append(count)
    }

    /// The votes in the newest rows.
    func votes(inNewest rows: UInt64) -> (votes: UInt64, isAtLeast: Bool) {
        let known = counts.suffix(Int(min(rows, UInt64(counts.count))))
        return (known.reduce(0) { $0 + UInt64($1) }, UInt64(known.count) < rows)
    }
}

/// Leads from the pool's hook to the actor, which exists only after the pool.
final class ConnectionHook: Sendable {
    let core = Locked<PostgresJournalCore?>(nil)
}

extension PostgresJournalCore {
    /// Runs on each new connection before anyone else gets it; nothing of its slots is in flight then.
    func compareTails(_ member: Int, _ connection: PostgresConnection) async throws(PostgresError) {
        if pool.plan.members(for: .lease).contains(member) { lease.reconnected() }
        guard let lane = pool.plan.flushIndex(of: member) else { return }
        lanes[lane].comparisons.add()
        let held = slots.filter { Int($0.key.index) % lanes.count == lane && $0.value.tail > 0 }
        guard !held.isEmpty else { return }
        let found = try await connection.execute(
            statements.tails, [.int32Array(held.keys.map { Int32($0.index) })], deadline: deadline(10_000_000_000))
        for row in 0..<found.rowCount {
            let slot = try found.slot(row, 0)
            let tail: UInt64 = try found.value(row, 1)
            guard let known = held[slot], slots[slot]?.epoch == known.epoch, tail < known.tail else { continue }
            slots[slot] = nil
            let (votes, isAtLeast) = known.recent.votes(inNewest: known.tail - tail)
            options.onSlotLost(
                SlotLoss(slot: slot, lsns: tail + 1...known.tail, votes: votes, isAtLeast: isAtLeast))
        }
    }
}
