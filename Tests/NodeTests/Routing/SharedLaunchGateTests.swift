// Launches that several nodes count together, in a real Redis.

import Foundation
import Platform
import Protocol
import Redis
import TestSupport
import Testing

@testable import Node

@Suite(.needsRedis, .timeLimit(.minutes(1)))
struct SharedLaunchGateTests {
    private static let limit = LaunchLimiter.launchesLimit

    /// Runs a test with the gates of several nodes.
    private func withGates(
        _ count: Int, window: UInt64 = LaunchLimiter.windowNanoseconds, at url: String? = redisURL,
        _ body: @escaping @Sendable ([SharedLaunchGate]) async throws -> Void
    ) async throws {
        let configuration = try RedisConfiguration(try #require(url))
        let key = "test:launches:\(SystemRandom().next()):"
        try await withLoop { loop in
            let gates = (0..<count).map { _ in
                SharedLaunchGate(
                    configuration, key: key, window: window, on: loop, clock: SystemClock(), random: SystemRandom(),
                    log: .silent)
            }
            for gate in gates { await gate.start() }
            let result = await Task(executorPreference: loop) { try await body(gates) }.result
            for gate in gates { await gate.stop() }
            try result.get()
        }
    }

    private func refusal(_ gate: SharedLaunchGate, _ principal: String = "ann") async -> ClientError? {
        let now = SystemClock().monotonic().nanoseconds
        return await withCheckedContinuation { answer in
            gate.admit(principal, at: now) { answer.resume(returning: $0) }
        }
    }

    @Test func `launches by all nodes count together, those of others apart`() async throws {
        try await withGates(3) { gates in
            let answers = await withTaskGroup(of: ClientError?.self, returning: [ClientError?].self) { group in
                for number in 0..<2 * Self.limit { group.addTask { await refusal(gates[number % 3]) } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { $0 == nil } == Self.limit)
            for gate in gates {
                let refused = try #require(await refusal(gate))
                let wait = try #require(refused.retryAfterMilliseconds)
                #expect(refused.code == .rateLimited && (1...60_000).contains(wait))
                #expect(await refusal(gate, "bob") == nil)
            }
        }
    }

    @Test func `a launch is forgotten after the window`() async throws {
        // Each node's own count, over the usual window, is not reached.
        try await withGates(Self.limit, window: 300_000_000) { gates in
            for gate in gates { #expect(await refusal(gate) == nil) }
            // Asked until it is so: by then the first has left the window, be it at once on a slow machine.
            var refused = await refusal(gates[0])
            while let refusal = refused {
                let wait = try #require(refusal.retryAfterMilliseconds)
                #expect((1...300).contains(wait))
                refused = await self.refusal(gates[0])
            }
        }
    }

    @Test func `without an answer of Redis each node counts for itself`() async throws {
        let nobody = try "redis://127.0.0.1:\(freePort())/0"
        try await withGates(2, at: nobody) { gates in
            for gate in gates {
                for _ in 0..<Self.limit { #expect(await refusal(gate) == nil) }
                #expect(await refusal(gate)?.code == .rateLimited)
            }
        }
    }
}
