// Taking slots over: from the moment a claim has their rows locked, no row of an older epoch can appear.

import Platform
import Postgres
import Protocol

extension PostgresJournalCore {
    func claim(_ wanted: [Slot]) async throws(JournalError) -> [SlotClaim] {
        guard !wanted.isEmpty else { return [] }
        guard holdsLease else { throw .suspended }
        let claim = Claim(
            statements: statements, identity: identity, slots: wanted.map { Int32($0.index) }.sorted(),
            leaseSeconds: Double(lease.ttl) / 1e9, clock: clock)
        let limit = deadline(10_000_000_000)
        let claims: [SlotClaim]
        do throws(PostgresError) {
            claims = try await pool.transaction(.read, deadline: limit) {
                transaction async throws(PostgresError) -> [SlotClaim] in
                try await claim.run(transaction, deadline: limit)
            }
        } catch {
            throw JournalError(error)
        }
        take(claims)
        return claims
    }

    /// Flushes under these claims from now on, unless a later one was faster.
    func take(_ claims: [SlotClaim]) {
        guard !lease.isLost else { return }
        for claim in claims where slots[claim.slot]?.epoch ?? 0 < claim.epoch {
            slots[claim.slot] = Held(epoch: claim.epoch, tail: claim.tail)
        }
    }
}

/// One claim, step by step in one transaction.
private struct Claim: Sendable {
    let statements: PostgresStatements
    let identity: NodeIdentity
    let slots: [Int32]
    let leaseSeconds: Double
    let clock: any Clock

    /// Owners of slots that have one.
    typealias Owners = [Int32: UInt128]

    /// What the database knows of an owner.
    struct Owner {
        let isAlive: Bool
        /// The last sign of life, by this process's monotonic clock in nanoseconds.
        let seenAt: Int64
    }

    private var me: PostgresValue { .uuid(identity.incarnation) }

    func run(
        _ transaction: PostgresTransaction, deadline: MonotonicTime
    ) async throws(PostgresError) -> [SlotClaim] {
        let locked = try await transaction.execute(statements.lockSlots, [.int32Array(slots)], deadline: deadline)
        let alive = try await transaction.execute(statements.lockOwnLease, [me], deadline: deadline)
        guard alive.rowCount == 1 else { throw PostgresError(.notSent, .closed, "this node was declared dead") }
        let owners = try owners(locked)
        // Taken before the question, so that a pause is never told too short.
        let askedAt = clock.monotonic().nanoseconds
        let found = try await transaction.execute(
            statements.owners, [.uuidArray(Array(Set(owners.values))), .float8(leaseSeconds)], deadline: deadline)
        let nodes = try nodes(found, askedAt: askedAt)
        let free = try freeSlots(locked, owners, nodes)
        guard !free.isEmpty else { return [] }
        let raised = try await transaction.execute(
            statements.claimSlots, [.int32Array(free), me], deadline: deadline)
        let tails = try await transaction.execute(statements.tails, [.int32Array(free)], deadline: deadline)
        let claims = try claims(raised, tails, owners, nodes)
        let entries = entries(claims, owners)
        if !entries.isEmpty { _ = try await transaction.execute(statements.logClaims, entries, deadline: deadline) }
        return claims
    }

    private func owners(_ locked: PostgresResult) throws(PostgresError) -> Owners {
        var owners: Owners = [:]
        for row in 0..<locked.rowCount {
            if let owner: UInt128 = try locked.optional(row, 2) { owners[try locked.value(row, 0)] = owner }
        }
        return owners
    }

    private func nodes(_ found: PostgresResult, askedAt: UInt64) throws(PostgresError) -> [UInt128: Owner] {
        var nodes: [UInt128: Owner] = [:]
        for row in 0..<found.rowCount {
            let isDead: Bool = try found.value(row, 1)
            let milliseconds: Double = try found.value(row, 2)
            let silence = Int64(max(0, min(milliseconds, 1e12)) * 1e6)
            nodes[try found.value(row, 0)] = Owner(isAlive: !isDead, seenAt: Int64(askedAt) - silence)
        }
        return nodes
    }

    /// Those without an owner, with a dead one, or our own.
    private func freeSlots(
        _ locked: PostgresResult, _ owners: Owners, _ nodes: [UInt128: Owner]
    ) throws(PostgresError) -> [Int32] {
        var free: [Int32] = []
        for row in 0..<locked.rowCount {
            let slot: Int32 = try locked.value(row, 0)
            if let owner = owners[slot], owner != identity.incarnation, nodes[owner]?.isAlive == true { continue }
            free.append(slot)
        }
        return free
    }

    private func claims(
        _ raised: PostgresResult, _ tails: PostgresResult, _ owners: Owners, _ nodes: [UInt128: Owner]
    ) throws(PostgresError) -> [SlotClaim] {
        var epochs: [Int32: UInt64] = [:]
        for row in 0..<raised.rowCount { epochs[try raised.value(row, 0)] = try raised.value(row, 1) }
        var claims: [SlotClaim] = []
        for row in 0..<tails.rowCount {
            let slot: Int32 = try tails.value(row, 0)
            guard let epoch = epochs[slot] else { continue }
            let before = owners[slot].flatMap { $0 == identity.incarnation ? nil : nodes[$0] }
            claims.append(
                SlotClaim(
                    slot: Slot(UInt16(slot)), epoch: epoch, tail: try tails.value(row, 1),
                    unservedSince: before?.seenAt))
        }
        return claims.sorted { $0.slot < $1.slot }
    }

    /// What the log of ownership gets: changes of hands, not a node's renewed claims of its own. Empty where none is.
    private func entries(_ claims: [SlotClaim], _ owners: Owners) -> [PostgresValue] {
        let taken = claims.filter { owners[Int32($0.slot.index)] != identity.incarnation }
        guard !taken.isEmpty else { return [] }
        return [
            .int32Array(taken.map { Int32($0.slot.index) }), .uint64Array(taken.map(\.epoch)),
            .uuidArray(taken.map { owners[Int32($0.slot.index)] ?? 0 }), .uint64Array(taken.map(\.tail)), me,
        ]
    }
}
