import Foundation
import Platform
import TestSupport
import Testing

@testable import Postgres

private let backend = PostgresStatement("backend", [], "SELECT pg_backend_pid()")
private let pause = PostgresStatement("pause", [.float8], "SELECT pg_sleep($1)")

private func process(_ pool: PostgresPool, _ role: PostgresRole) async throws -> Int32 {
    try await pool.execute(role, backend, deadline: within(10)).value(0, 0, as: Int32.self)
}

@Suite struct PoolPlanTests {
    @Test(arguments: [
        (1, [0..<1, 0..<1, 0..<1]), (2, [0..<1, 1..<2, 1..<2]), (3, [0..<1, 1..<2, 2..<3]), (4, [0..<1, 1..<3, 3..<4]),
        (5, [0..<1, 1..<3, 3..<5]), (8, [0..<1, 1..<5, 5..<8]), (20, [0..<1, 1..<5, 5..<20]),
    ])
    func `a budget is shared out among the roles`(_ budget: Int, _ expected: [Range<Int>]) {
        let plan = PoolPlan(budget: budget)
        #expect([plan.members(for: .lease), plan.flushers, plan.readers] == expected)
        #expect(plan.members(for: .flush(0)).lowerBound == plan.flushers.lowerBound)
        #expect(plan.members(for: .flush(plan.flushers.count)) == plan.members(for: .flush(0)))
        #expect((0..<budget).compactMap { plan.flushIndex(of: $0) } == Array(0..<plan.flushers.count))
    }

    @Test func `a budget that does not fit says what to change`() {
        #expect(ConnectionBudget(maximum: 100, reserved: 3, perNode: 4, nodes: 18).complaint == nil)
        let tight = ConnectionBudget(maximum: 100, reserved: 3, perNode: 4, nodes: 19)
        #expect(tight.allowed == 72)
        #expect(tight.complaint?.contains("raise max_connections to 105") == true)
        #expect(ConnectionBudget(maximum: 105, reserved: 3, perNode: 4, nodes: 19).fits)
    }
}

/// Chance that always says the most.
private struct Most: RandomSource {
    func next() -> UInt64 { .max }
}

@Suite(.timeLimit(.minutes(1)))
struct PoolBackoffTests {
    @Test func `the connection of the lease tries again more often than the others, however long the server is away`()
        async throws
    {
        let lost = Recorder<Int>()
        let change: (inout PostgresPoolOptions) -> Void = { $0.onLost = { member, _ in lost.append(member) } }
        // Nobody listens there.
        try await withPool("postgres://nobody@127.0.0.1:1/none", budget: 2, random: Most(), change) { _ in
            var count = 0
            while lost.all.count(where: { $0 == 1 }) < 6 {
                count += 1
                await lost.reached(count)
            }
            // The pauses of one: 0.1, 0.2, 0.4, 0.8 and 1.6 s; of the other none is above 0.5 s.
            let attempts = lost.all.count { $0 == 0 }
            #expect(attempts >= 8, "\(attempts) attempts for the lease while the other made 6")
        }
    }
}

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct PoolTests {
    @Test(arguments: [1, 2, 3, 4, 6])
    func `each role has its connections`(_ budget: Int) async throws {
        try await withPool(budget: budget) { pool in
            let lease = try await process(pool, .lease)
            let flushers = [try await process(pool, .flush(0)), try await process(pool, .flush(1))]
            let again = try await process(pool, .flush(pool.plan.flushers.count))
            let reader = try await process(pool, .read)
            #expect(again == flushers[0])
            #expect((lease == flushers[0]) == (budget == 1))
            #expect((reader == flushers[0]) == (budget <= 2))
            #expect((flushers[0] == flushers[1]) == (budget < 4))
        }
    }

    @Test func `a reader has its connection alone, others wait in their order or too long`() async throws {
        try await withPool(budget: 4, { $0.readTimeoutMilliseconds = 20_000 }) { pool in
            try await pool.withConnection(.read, deadline: within(10)) { connection async throws(PostgresError) in
                let late = await failure { () async throws(PostgresError) in
                    try await pool.execute(.read, backend, deadline: within(0.1))
                }
                #expect(late?.outcome == .notSent && late?.reason == .deadline)
            }
            try await pool.withConnection(.read, deadline: within(10)) { _ async throws(PostgresError) in }
        }
    }

    @Test func `a transaction is alone on a shared connection`() async throws {
        try await withPool(budget: 1) { pool in
            let table = "t\(UInt32.random(in: 0...(.max)))"
            let insert = PostgresStatement("insert", [.int32], "INSERT INTO \(table) VALUES ($1)")
            let count = PostgresStatement("count", [], "SELECT count(*) FROM \(table)")
            let connection = try #require(await pool.waitForLease())
            try await connection.run(script: "CREATE TABLE \(table) (n int UNIQUE)", deadline: within(10))
            let began = Recorder<Bool>()
            async let inside: Int64 = pool.transaction(.flush(0), deadline: within(10)) {
                transaction async throws(PostgresError) in
                began.append(true)
                _ = try await transaction.execute(insert, [.int32(1)], deadline: within(10))
                _ = try await transaction.execute(pause, [.float8(0.1)], deadline: within(10))
                _ = try await transaction.execute(insert, [.int32(2)], deadline: within(10))
                return try await transaction.execute(count, deadline: within(10)).value(0, 0)
            }
            await began.reached(1)
            let outside = try await pool.execute(.read, count, deadline: within(10))
            #expect(try outside.value(0, 0, as: Int64.self) == 2)
            #expect(try await inside == 2)
            // The second insert is refused: the first is rolled back with it.
            let error = await failure { () async throws(PostgresError) in
                try await pool.transaction(.flush(0), deadline: within(10)) { transaction async throws(PostgresError) in
                    _ = try await transaction.execute(insert, [.int32(3)], deadline: within(10))
                    _ = try await transaction.execute(insert, [.int32(1)], deadline: within(10))
                }
            }
            #expect(error?.sqlState == "23505" && error?.outcome == .refusedByServer)
            // One whose failure is swallowed is not taken for committed.
            let swallowed = await failure { () async throws(PostgresError) in
                try await pool.transaction(.flush(0), deadline: within(10)) { transaction async throws(PostgresError) in
                    _ = await failure { () async throws(PostgresError) in
                        try await transaction.execute(insert, [.int32(1)], deadline: within(10))
                    }
                }
            }
            #expect(swallowed?.outcome == .refusedByServer)
            let after = try await pool.execute(.read, count, deadline: within(10))
            #expect(try after.value(0, 0, as: Int64.self) == 2)
            try await connection.run(script: "DROP TABLE \(table)", deadline: within(10))
        }
    }

    @Test func `the hook sees each new connection first`() async throws {
        let seen = Recorder<Int>()
        try await withPool(
            budget: 3,
            {
                $0.onConnected = { member, connection async throws(PostgresError) in
                    _ = try await connection.execute(backend, deadline: within(10))
                    seen.append(member)
                }
            }
        ) { pool in
            _ = try await process(pool, .flush(0))
            #expect(seen.all.contains(1))
            await seen.reached(3)
        }
        #expect(Set(seen.all) == [0, 1, 2])
    }

    @Test func `a hook that throws keeps its connection from use`() async throws {
        let tries = Recorder<Int>()
        try await withPool(
            budget: 1,
            {
                $0.onConnected = { member, connection async throws(PostgresError) in
                    tries.append(member)
                    if tries.all.count < 3 { throw PostgresError(.notSent, .server, "not yet") }
                }
            }
        ) { pool in
            _ = try await process(pool, .lease)
            #expect(tries.all.count == 3)
        }
    }

    @Test func `without a server callers fail in time and with its reason`() async throws {
        try await withPool("postgres://u:p@127.0.0.1:1/db", budget: 2) { pool in
            let error = await failure { () async throws(PostgresError) in
                try await pool.execute(.flush(0), backend, deadline: within(1))
            }
            #expect(error?.outcome == .notSent && error?.reason == .deadline)
            #expect(error?.message.contains("Connection refused") == true)
            #expect(await pool.current(.lease) == nil)
            #expect(pool.statistics.failedConnects >= 2 && pool.statistics.connects == 0)
        }
    }

    @Test func `closing fails those who wait, at once`() async throws {
        let silent = SilentServer()
        try await withPool("postgres://u:p@127.0.0.1:\(silent.port)/db?sslmode=disable", budget: 2) { pool in
            async let waiting = failure { () async throws(PostgresError) in
                try await pool.execute(.lease, backend, deadline: within(30))
            }
            while pool.statistics.waiters == 0 { await Task.yield() }
            await pool.close()
            let error = await waiting
            #expect(error?.outcome == .notSent && error?.reason == .closed)
        }
        silent.close()
    }

    @Test func `the budget of a cluster is compared with the server's`() async throws {
        try await withConnection { connection in
            let budget = try await ConnectionBudget.ask(connection, perNode: 4, nodes: 3, deadline: within(10))
            #expect(budget.maximum == 200 && budget.reserved == 3 && budget.fits)
        }
    }
}

extension PostgresPool {
    /// The lease's connection, once it is there.
    fileprivate func waitForLease() async -> PostgresConnection? {
        _ = try? await execute(.lease, backend, deadline: within(10))
        return current(.lease)
    }
}
