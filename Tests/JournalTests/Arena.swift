// Where nodes race for slots: each with its own connections, claims and flushes, while a burier declares owners dead
// that still flush, and has the server end connections with statements in flight.

import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

/// What the racers have in common. Whoever waits is woken by what others do, never by a clock.
final class Arena: Sendable {
    struct Waiting {
        let condition: @Sendable (borrowing State) -> Bool
        let continuation: CheckedContinuation<Void, Never>
    }

    struct State {
        var generation = 0
        var acked: [SealedRow] = []
        var fenced: [SealedRow] = []
        var retries = 0
        var buried: Set<UInt128> = []
        var isOver = false
        /// One worker at a time stands still, so that the others always bring it back.
        var isSomeonePaused = false
        var waiting: [Waiting] = []
    }

    private let state = Locked(State())

    var acked: [SealedRow] { state.withLock { $0.acked } }
    var fenced: [SealedRow] { state.withLock { $0.fenced } }
    var retries: Int { state.withLock { $0.retries } }
    var generation: Int { state.withLock { $0.generation } }
    var isOver: Bool { state.withLock { $0.isOver } }

    func isBuried(_ incarnation: UInt128) -> Bool { state.withLock { $0.buried.contains(incarnation) } }

    func update(_ change: @Sendable (inout State) -> Void) {
        let ready = state.withLock { state in
            change(&state)
            var (ready, rest): ([Waiting], [Waiting]) = ([], [])
            for waiting in state.waiting {
                if state.isOver || waiting.condition(state) { ready.append(waiting) } else { rest.append(waiting) }
            }
            state.waiting = rest
            return ready.map(\.continuation)
        }
        for continuation in ready { continuation.resume() }
    }

    func until(_ condition: @escaping @Sendable (borrowing State) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isMet = state.withLock { state in
                if state.isOver || condition(state) { return true }
                state.waiting.append(Waiting(condition: condition, continuation: continuation))
                return false
            }
            if isMet { continuation.resume() }
        }
    }

    /// Stands still over the next changes of owners, unless somebody does already.
    func pause() async {
        let since = state.withLock { state in
            if state.isSomeonePaused { return -1 }
            state.isSomeonePaused = true
            return state.generation
        }
        guard since >= 0 else { return }
        await until { $0.generation > since + 1 }
        update { $0.isSomeonePaused = false }
    }
}

/// One race.
struct Race: Sendable {
    enum Take: Sendable {
        /// As a journal claims.
        case claim
        /// As a journal claims, and now and then as a hand-off: one UPDATE, then the tail.
        case claimOrHandOff
        /// As a hand-off, except of the slots whose owner is dead or that have none.
        case handOff
        /// Wrongly: one statement waits for the locks and reads the tails.
        case oneStatement
    }

    let database: TestDatabase
    var fence = PostgresStatements.Fence.strict
    var take = Take.claimOrHandOff
    var nodes = 4
    var slots: UInt16 = 8
    var burials = 40
    var seed: UInt64 = 1

    let arena = Arena()

    /// Runs to the end, when every worker has got its outcomes and every connection is closed.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<nodes {
                group.addTask {
                    do { try await node(index) } catch {
                        arena.update { $0.isOver = true }
                        throw error
                    }
                }
            }
            group.addTask {
                defer { arena.update { $0.isOver = true } }
                try await TestDatabase.withPool(database.url) { try await bury($0) }
            }
            try await group.waitForAll()
        }
    }

    // MARK: - The burier

    private func bury(_ pool: PostgresPool) async throws {
        let random = SeededRandom(seed: seed)
        let kill = PostgresStatement(
            "race.kill", [],
            """
            SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
                ORDER BY random() LIMIT 1) AS victim
            """)
        let bury = PostgresStatement(
            "race.bury", [.int32],
            """
            UPDATE node_lease SET dead = true
            WHERE NOT dead AND incarnation = (SELECT owner FROM slot_lease WHERE slot = $1) RETURNING incarnation
            """)
        var buried = 0
        while buried < burials, !arena.isOver {
            let goal = arena.acked.count + Int(random.next() % 8)
            await arena.until { $0.acked.count >= goal }
            if random.next() % 3 == 0 { _ = try await pool.execute(.read, kill, deadline: within(20)) }
            let slot = Int32(random.next() % UInt64(slots))
            let result = try await pool.execute(.read, bury, [.int32(slot)], deadline: within(20))
            guard result.rowCount == 1 else {
                arena.update { $0.generation += 1 }
                await Task.yield()
                continue
            }
            let incarnation: UInt128 = try result.value(0, 0)
            buried += 1
            arena.update { state in
                state.buried.insert(incarnation)
                state.generation += 1
            }
        }
    }

    // MARK: - A node

    /// One incarnation after the other; a buried one goes on flushing until it is told.
    private func node(_ index: Int) async throws {
        var life: UInt64 = 0
        while !arena.isOver {
            life += 1
            guard let journal = try await born(index) else { return }
            let incarnation = journal.core.identity.incarnation
            let random = SeededRandom(seed: seed &* 1_000_003 &+ UInt64(index) &* 1009 &+ life)
            let flushing = Flushing()
            await withTaskGroup(of: Void.self) { workers in
                while !arena.isOver, !arena.isBuried(incarnation) {
                    let before = arena.generation
                    let wanted = (0..<slots).map { Slot($0) }.filter { !flushing.contains($0) }
                    let claims = await take(wanted, journal, random)
                    for claim in claims {
                        flushing.insert(claim)
                        let seed = random.next()
                        workers.addTask {
                            await work(claim, journal, SeededRandom(seed: seed))
                            flushing.remove(claim)
                            arena.update { $0.generation += 1 }
                        }
                    }
                    await arena.until { $0.generation > before || $0.buried.contains(incarnation) }
                }
            }
            await journal.close()
        }
    }

    /// A journal that is open; the connection of its lease may be ended too, before it was taken.
    private func born(_ index: Int) async throws -> PostgresJournal? {
        for attempt in 0...20 where !arena.isOver {
            do {
                return try await database.journal(budget: 3, fence: fence, name: "node-\(index)")
            } catch {
                if attempt == 20 { throw error }
            }
        }
        return nil
    }

    /// Flushes one row after the other until it is told that the slot is another's.
    private func work(_ claim: SlotClaim, _ journal: PostgresJournal, _ random: SeededRandom) async {
        let incarnation = journal.core.identity.incarnation
        var lsn = claim.tail
        while !arena.isOver {
            lsn += 1
            let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: lsn), count: Int(random.next() % 8_000) + 1)
            let row = SealedRow(
                slot: claim.slot, lsn: lsn, epoch: claim.epoch,
                flush: (incarnation >> 64) << 64 | UInt128(random.next()),
                count: 1, campaigns: [campaign(1)], payload: payload)
            if random.next() % 16 == 0 { await arena.pause() }
            var outcome = await journal.flush([row])[0]
            while case .failed = outcome {
                arena.update { $0.retries += 1 }
                for _ in 0..<random.next() % 64 { await Task.yield() }
                outcome = await journal.flush([row])[0]
            }
            guard outcome == .committed else {
                arena.update { $0.fenced.append(row) }
                return
            }
            arena.update { $0.acked.append(row) }
            for _ in 0..<random.next() % 8 { await Task.yield() }
        }
    }

    /// Slots for which this node has a worker, by epoch.
    private final class Flushing: Sendable {
        private let epochs = Locked<[Slot: UInt64]>([:])

        func contains(_ slot: Slot) -> Bool { epochs.withLock { $0[slot] != nil } }
        func insert(_ claim: SlotClaim) { epochs.withLock { $0[claim.slot] = claim.epoch } }
        func remove(_ claim: SlotClaim) {
            epochs.withLock { if $0[claim.slot] == claim.epoch { $0[claim.slot] = nil } }
        }
    }
}
