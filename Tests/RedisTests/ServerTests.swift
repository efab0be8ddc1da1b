// A server of one's own that dies, stands still, turns clients away or is demoted.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

@Suite(.needsServer, .timeLimit(.minutes(2)))
struct ServerTests {
    @Test func `a killed server is found again on its port, with what it kept`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        let url = try await server.start()
        let lost = Recorder<RedisError>()
        let connected = Recorder<Bool>()
        let change: (inout RedisOptions) -> Void = {
            $0.onLost = { lost.append($0) }
            $0.onConnected = { connected.append(true) }
        }
        try await withConnection(url, change) { redis in
            _ = try await redis.command("CONFIG", ["SET", "appendfsync", "always"], deadline: within(20))
            _ = try await redis.command("SET", ["kept", "1"], deadline: within(20))
            async let flying = failure { () async throws(RedisError) in
                try await redis.command("BLPOP", ["never", "0"], deadline: within(60))
            }
            while redis.statistics.inFlight == 0 { await Task.yield() }
            try await server.kill()
            let error = await flying
            #expect(error?.outcome == .unknown && error?.reason == .connectionLost)
            await lost.reached(1)
            // Refused connections call back: attempts fail one after the other instead of hanging.
            await lost.reached(4)
            #expect(lost.all[1].reason == .connecting && lost.all[1].message.contains("refused"))
            async let waiting = redis.command("GET", ["kept"], deadline: within(30))
            try await server.start()
            same(try await waiting.string, "1")
            await connected.reached(2)
            let figures = redis.statistics
            #expect(figures.connects == 2 && figures.losses == 1 && figures.failedConnects >= 3)
            #expect(figures.lastError == nil && figures.isConnected && figures.unknownOutcomes == 1)
        }
        try await server.stop()
    }

    @Test func `a server that stands still is left at the deadline and found again when it goes on`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        let url = try await server.start()
        let lost = Recorder<RedisError>()
        let change: (inout RedisOptions) -> Void = {
            $0.connectTimeoutMilliseconds = 200
            $0.onLost = { lost.append($0) }
        }
        try await withConnection(url, change) { redis in
            _ = try await redis.command("SET", ["counter", "0"], deadline: within(20))
            // A first attempt may have taken too long.
            let before = lost.count
            try server.freeze()
            let start = MonotonicTime.now
            async let later = failure { () async throws(RedisError) in
                try await redis.command("INCR", ["counter"], deadline: within(60))
            }
            async let sooner = failure { () async throws(RedisError) in
                try await redis.command("INCR", ["counter"], deadline: within(0.25))
            }
            let (first, second) = (await later, await sooner)
            #expect(first?.reason == .deadline && second?.reason == .deadline)
            #expect(first?.outcome == .unknown && second?.outcome == .unknown)
            #expect(start.nanoseconds(until: .now) >= 250_000_000)
            // Its backlog takes connections, but nobody answers: the attempts end at their own deadline.
            await lost.reached(before + 3)
            let attempt = lost.all[before + 1]
            #expect(attempt.reason == .deadline && attempt.outcome == .notSent)
            try server.thaw()
            same(try await redis.command("PING", deadline: within(30)), .status("PONG"))
            // What was in flight did take effect: that is what "unknown" means.
            same(try await redis.command("GET", ["counter"], deadline: within(30)).integer, 2)
        }
        try await server.stop()
    }

    @Test func `a server with too many clients says so`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        let url = try await server.start()
        try await withConnection(url) { redis in
            _ = try await redis.command("CONFIG", ["SET", "maxclients", "1"], deadline: within(20))
            let error = try await firstFailure(url)
            #expect(error?.message.contains("max number of clients") == true)
            #expect(error?.outcome == .notSent)
        }
        try await server.stop()
    }

    @Test func `a server that became a replica is left, and taken again once it takes writes`() async throws {
        let server = try PrivateServer()
        defer { server.remove() }
        let url = try await server.start()
        let lost = Recorder<RedisError>()
        try await withConnection(url, { $0.onLost = { lost.append($0) } }) { redis in
            let register = CompareAndSet(key: "table")
            let first = RedisVersionedValue(version: 1, bytes: [1])
            same(try await register.swap(from: 0, to: first, on: redis, deadline: within(20)), .swapped)
            _ = try await redis.command("REPLICAOF", ["127.0.0.1", "1"], deadline: within(20))
            let error = await failure { () async throws(RedisError) in
                try await register.swap(
                    from: 1, to: RedisVersionedValue(version: 2, bytes: [2]), on: redis, deadline: within(20))
            }
            #expect(error?.outcome == .refusedByServer && error?.code == "READONLY")
            await lost.reached(1)
            #expect(lost.all[0].message.contains("replica"))
            _ = try await redis.command("REPLICAOF", ["NO", "ONE"], deadline: within(20))
            let second = RedisVersionedValue(version: 2, bytes: [2])
            same(try await register.swap(from: 1, to: second, on: redis, deadline: within(20)), .swapped)
            #expect(redis.statistics.connects == 2)
        }
        try await server.stop()
    }
}
