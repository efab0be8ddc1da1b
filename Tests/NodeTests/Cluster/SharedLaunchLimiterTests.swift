// Launches that several nodes count together, in a real Redis.

import Foundation
import Platform
import Protocol
import Redis
import TestSupport
import Testing

@testable import Node

@Suite(.needsRedis, .timeLimit(.minutes(1)))
struct SharedLaunchLimiterTests {
    private static let limit = LocalLaunchLimiter.launchesLimit

    /// Runs a test with the limiters of several nodes.
    private func withNodes(
        _ count: Int, window: UInt64 = LocalLaunchLimiter.windowNanoseconds, patience: UInt64 = 30_000_000_000,
        at url: String? = redisURL,
        _ body: @escaping @Sendable ([SharedLaunchLimiter]) async throws -> Void
    ) async throws {
        let configuration = try RedisConfiguration(try #require(url))
        let key = "test:launches:\(SystemRandom().next()):"
        try await withLoop { loop in
            let nodes = (0..<count).map { _ in
                SharedLaunchLimiter(
                    configuration, key: key, window: window, patience: patience, on: loop, clock: SystemClock(),
                    random: SystemRandom(),
                    log: .silent)
            }
            for node in nodes { await node.start() }
            let result = await Task(executorPreference: loop) { try await body(nodes) }.result
            for node in nodes { await node.stop() }
            try result.get()
        }
    }

    private func refusal(_ node: SharedLaunchLimiter, _ principal: String = "ann") async -> ClientError? {
        let now = SystemClock().monotonic().nanoseconds
        return await withCheckedContinuation { answer in
            node.admit(principal, at: now) { answer.resume(returning: $0) }
        }
    }

    @Test func `launches by all nodes count together, those of others apart`() async throws {
        try await withNodes(3) { nodes in
            let answers = await withTaskGroup(of: ClientError?.self, returning: [ClientError?].self) { group in
                for number in 0..<2 * Self.limit { group.addTask { await refusal(nodes[number % 3]) } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.count { $0 == nil } == Self.limit)
            for node in nodes {
                let refused = try #require(await refusal(node))
                let wait = try #require(refused.retryAfterMilliseconds)
                #expect(refused.code == .rateLimited && (1...60_000).contains(wait))
                #expect(await refusal(node, "bob") == nil)
            }
        }
    }

    @Test func `a launch is forgotten after the window`() async throws {
        // Each node's own count, over the usual window, is not reached.
        try await withNodes(Self.limit, window: 300_000_000) { nodes in
            for node in nodes { #expect(await refusal(node) == nil) }
            // Asked until it is so: by then the first has left the window, be it at once on a slow machine.
            var refused = await refusal(nodes[0])
            while let refusal = refused {
                let wait = try #require(refusal.retryAfterMilliseconds)
                #expect((1...300).contains(wait))
                refused = await self.refusal(nodes[0])
            }
        }
    }

    @Test func `a Redis that stands still holds up neither launches nor the end of a node`() async throws {
        let server = try StoreServer(script: "redis.sh")
        try await server.start([:])
        let url = "redis://:tumulte@127.0.0.1:\(try server.word(in: "port"))/0"
        let process = try #require(pid_t(try server.word(in: "redis.pid")))
        let late = Recorder<ClientError?>()
        try await withNodes(2, patience: SharedLaunchLimiter.patience, at: url) { nodes in
            for node in nodes { #expect(await refusal(node) == nil) }
            #expect(kill(process, SIGSTOP) == 0)
            // One waits for as long as an answer may take; those after it are not asked about.
            for _ in 1..<Self.limit { #expect(await refusal(nodes[0]) == nil) }
            #expect(await refusal(nodes[0])?.code == .rateLimited)
            nodes[1].admit("ann", at: SystemClock().monotonic().nanoseconds) { late.append($0) }
        }
        #expect(late.all == [nil])
        try await server.kill()
        server.remove()
    }

    @Test func `without an answer of Redis each node counts for itself`() async throws {
        let nobody = try "redis://127.0.0.1:\(freePort())/0"
        try await withNodes(2, patience: SharedLaunchLimiter.patience, at: nobody) { nodes in
            for node in nodes {
                for _ in 0..<Self.limit { #expect(await refusal(node) == nil) }
                #expect(await refusal(node)?.code == .rateLimited)
            }
        }
    }
}
