// The row locks of the simulated database: by themselves, and against those of a real one.

import Foundation
import Platform
import Postgres
import Testing

@testable import Simulation

private let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_POSTGRES"]

struct RowLockTests {
    private static let row = RowKey.slot(1)

    @Test func `who waits is served in order, once nobody is in the way`() {
        let locks = RowLocks()
        var granted: [Int] = []
        #expect(locks.acquire(RowLock(key: Self.row, mode: .share), for: 1) {})
        #expect(locks.acquire(RowLock(key: Self.row, mode: .share), for: 2) {})
        #expect(!locks.acquire(RowLock(key: Self.row, mode: .update), for: 3) { granted.append(3) })
        // Behind one that waits, also where it would be admitted.
        #expect(!locks.acquire(RowLock(key: Self.row, mode: .share), for: 4) { granted.append(4) })
        locks.release(1)
        #expect(granted == [])
        locks.release(2)
        #expect(granted == [3])
        locks.release(3)
        #expect(granted == [3, 4])
        locks.release(4)
        #expect(locks.acquire(RowLock(key: Self.row, mode: .update), for: 5) {})
    }

    @Test func `who gives up waiting is not in the way of the others`() {
        let locks = RowLocks()
        var isGranted = false
        #expect(locks.acquire(RowLock(key: Self.row, mode: .share), for: 1) {})
        #expect(!locks.acquire(RowLock(key: Self.row, mode: .update), for: 2) {})
        #expect(!locks.acquire(RowLock(key: Self.row, mode: .share), for: 3) { isGranted = true })
        locks.release(2, waitingFor: Self.row)
        #expect(isGranted)
    }

    @Test(.enabled(if: serverURL != nil, "TUMULTE_TEST_POSTGRES names no server"), .timeLimit(.minutes(2)))
    func `locks conflict as they do in PostgreSQL`() async throws {
        let url = try #require(serverURL)
        let group = LoopGroup(count: 1, name: "locks")
        let loop = group.loops[0]
        let result = await Task(executorPreference: loop) { try await compare(url, loop) }.result
        await withCheckedContinuation { continuation in
            Thread {
                group.shutdown()
                continuation.resume()
            }.start()
        }
        try result.get()
    }

    private static let modes: [(RowLockMode, String)] = [
        (.keyShare, "KEY SHARE"), (.share, "SHARE"), (.noKeyUpdate, "NO KEY UPDATE"), (.update, "UPDATE"),
    ]

    private func compare(_ url: String, _ loop: EventLoop) async throws {
        let deadline = MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + 60_000_000_000)
        let resolver = AddressResolver(on: loop)
        let configuration = try PostgresConfiguration(url)
        let first = PostgresConnection(configuration, on: loop, resolver: resolver)
        let second = PostgresConnection(configuration, on: loop, resolver: resolver)
        let result = await Task(executorPreference: loop) {
            try await first.open(deadline: deadline)
            try await second.open(deadline: deadline)
            try await first.run(
                script: "CREATE TABLE IF NOT EXISTS simulated_lock(id int PRIMARY KEY, n int);"
                    + "INSERT INTO simulated_lock VALUES(1, 0) ON CONFLICT DO NOTHING", deadline: deadline)
            for (held, heldText) in Self.modes {
                for (wanted, wantedText) in Self.modes {
                    let hold = "BEGIN; SELECT 1 FROM simulated_lock FOR \(heldText)"
                    let want = "BEGIN; SELECT 1 FROM simulated_lock FOR \(wantedText) NOWAIT"
                    try await first.run(script: hold, deadline: deadline)
                    var isRefused = false
                    do {
                        try await second.run(script: want, deadline: deadline)
                    } catch let error as PostgresError {
                        isRefused = error.sqlState == "55P03"
                    }
                    try await second.run(script: "ROLLBACK", deadline: deadline)
                    try await first.run(script: "ROLLBACK", deadline: deadline)
                    #expect(isRefused == wanted.conflicts(with: held), "\(heldText) held, \(wantedText) wanted")
                }
            }
        }.result
        await first.close()
        await second.close()
        await resolver.close()
        try result.get()
    }
}
