// A connection and a server that behaves.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct ConnectionTests {
    @Test func `replies of every type come back as what they are`() async throws {
        try await withConnection { redis in
            let key = freshKey()
            let end = within(20)
            same(try await redis.command("SET", [key, "7"], deadline: end), .status("OK"))
            same(try await redis.command("GET", [key], deadline: end), .bytes([0x37]))
            same(try await redis.command("INCR", [key], deadline: end), .integer(8))
            same(try await redis.command("DECRBY", [key, RedisArgument(Int64.max)], deadline: end).integer, 8 - .max)
            same(try await redis.command("GET", [freshKey()], deadline: end), .null)
            same(try await redis.command("MGET", [freshKey(), key], deadline: end).array?.first, .null)
            same(try await redis.command("LRANGE", [freshKey(), "0", "-1"], deadline: end), .array([]))
            same(try await redis.command("BLPOP", [freshKey(), "0.01"], deadline: end), .null)
            let nested = "return {1, {'a', {}, false}, redis.status_reply('FINE'), redis.error_reply('BAD luck')}"
            let reply = try await redis.command("EVAL", [RedisArgument(nested), "0"], deadline: end)
            #expect(
                reply
                    == .array([
                        .integer(1), .array([.bytes([0x61]), .array([]), .null]), .status("FINE"),
                        .error(RedisReplyError("BAD luck")),
                    ]))
            let error = await failure { () async throws(RedisError) in
                try await redis.command("LPUSH", [key, "x"], deadline: end)
            }
            #expect(error?.code == "WRONGTYPE" && error?.outcome == .refusedByServer && error?.reason == .server)
            same(try await redis.command("PING", deadline: end), .status("PONG"))
        }
    }

    @Test func `arguments and values are any bytes, none included`() async throws {
        try await withConnection { redis in
            let all = Array(UInt8.min...UInt8.max)
            for bytes in [[], [0], [13, 10], Array("$3\r\n*1\r\n".utf8), all, all + all] {
                let key = RedisArgument(freshKey().bytes + bytes)
                same(try await redis.command("SET", [key, RedisArgument(bytes)], deadline: within(20)), .status("OK"))
                same(try await redis.command("GET", [key], deadline: within(20)), .bytes(bytes))
            }
        }
    }

    @Test func `big values go both ways`() async throws {
        try await withConnection { redis in
            let key = freshKey()
            let random = SeededRandom(seed: 3)
            let big = (0..<1_000_000).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
            same(try await redis.command("SET", [key, RedisArgument(big)], deadline: within(40)), .status("OK"))
            let isSame = try await redis.command("GET", [key], deadline: within(40)).bytes == big
            #expect(isSame)
            _ = try await redis.command("DEL", [key], deadline: within(20))
        }
    }

    @Test func `10,000 commands in flight are answered each with its own reply, in the order of the calls`()
        async throws
    {
        try await withConnection { redis in
            _ = try await redis.command("PING", deadline: within(20))
            let key = freshKey()
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<10_000 {
                    group.addTask {
                        let reply = try await redis.command("RPUSH", [key, RedisArgument(index)], deadline: within(40))
                        return reply == .integer(Int64(index + 1))
                    }
                }
                var wrong = 0
                for try await isRight in group where !isRight { wrong += 1 }
                #expect(wrong == 0)
            }
            let list = try await redis.command("LRANGE", [key, "0", "-1"], deadline: within(20)).array
            #expect(list?.map(\.integer) == (0..<10_000).map { Int64($0) })
            let figures = redis.statistics
            #expect(figures.commands == 10_004 && figures.refusals == 0 && figures.inFlight == 0)
            #expect(figures.latencyBuckets.reduce(0, +) == figures.commands && figures.latencyNanoseconds > 0)
            _ = try await redis.command("DEL", [key], deadline: within(20))
        }
    }

    @Test func `more than the limit is refused at once, and what is in flight is not harmed`() async throws {
        try await withConnection(
            serverURL,
            {
                $0.commandsLimit = 8; $0.commandBytesLimit = 1_000
            }
        ) { redis in
            _ = try await redis.command("PING", deadline: within(20))
            let outcomes = await withTaskGroup(of: RedisError?.self) { group in
                for index in 0..<20 {
                    group.addTask {
                        await failure { () async throws(RedisError) in
                            try await redis.command("ECHO", [RedisArgument(index)], deadline: within(20))
                        }
                    }
                }
                return await group.reduce(into: [RedisError?]()) { $0.append($1) }
            }
            #expect(outcomes.filter { $0 == nil }.count == 8)
            #expect(outcomes.compactMap(\.self).allSatisfy { $0.reason == .overloaded && $0.outcome == .notSent })
            // Bytes count too, but one command of any size may go alone.
            let big = RedisArgument([UInt8](repeating: 1, count: 5_000))
            same(try await redis.command("ECHO", [big], deadline: within(20)).bytes?.count, 5_000)
            async let first = redis.command("ECHO", [big], deadline: within(20))
            async let second = failure { () async throws(RedisError) in
                try await redis.command("ECHO", [big], deadline: within(20))
            }
            let both = (try? await first, await second)
            #expect(both.0 != nil && both.1?.reason == .overloaded)
        }
    }

    @Test func `an answer comes back on the loop, without a trip through other threads`() async throws {
        try await withConnection { redis in
            for _ in 0..<1_000 {
                _ = try await redis.command("PING", deadline: within(20))
                guard redis.loop.isCurrent else {
                    Issue.record("resumed on another thread")
                    return
                }
            }
        }
    }

    @Test func `databases are apart`() async throws {
        let url = try #require(serverURL)
        let key = freshKey()
        try await withConnection(url.replacing(/\/0$/, with: "/1")) { redis in
            _ = try await redis.command("SET", [key, "one"], deadline: within(20))
        }
        try await withConnection { redis in
            same(try await redis.command("GET", [key], deadline: within(20)), .null)
        }
        try await withConnection(url.replacing(/\/0$/, with: "/1")) { redis in
            same(try await redis.command("GET", [key], deadline: within(20)).string, "one")
            _ = try await redis.command("DEL", [key], deadline: within(20))
        }
    }

    @Test func `wrong passwords, unknown users and databases that do not exist are told apart`() async throws {
        let url = try #require(serverURL)
        let wrong = try await firstFailure(url.replacing(":tumulte@", with: ":hunter2@"))
        #expect(wrong?.code == "WRONGPASS" && wrong?.reason == .setup && wrong?.outcome == .notSent)
        #expect(wrong?.message.contains("hunter2") == false)
        let unknown = try await firstFailure(url.replacing(":tumulte@", with: "nobody:tumulte@"))
        #expect(unknown?.code == "WRONGPASS" && unknown?.reason == .setup)
        let missing = try await firstFailure(url.replacing(":tumulte@", with: ""))
        #expect(missing?.code == "NOAUTH" && missing?.reason == .setup)
        let database = try await firstFailure(url.replacing(/\/0$/, with: "/99999"))
        #expect(database?.reason == .setup)
        #expect(database?.message.contains("database 99999") == true)
    }

    @Test func `who waits for a login that fails is told why at the deadline`() async throws {
        let url = try #require(serverURL).replacing(":tumulte@", with: ":wrong@")
        try await withConnection(url) { redis in
            let error = await failure { () async throws(RedisError) in
                try await redis.command("PING", deadline: within(2))
            }
            #expect(error?.reason == .deadline && error?.outcome == .notSent)
            #expect(error?.message.contains("WRONGPASS") == true)
            #expect(redis.statistics.failedConnects >= 1 && redis.statistics.connects == 0)
            #expect(redis.statistics.lastError?.code == "WRONGPASS")
        }
    }

    @Test func `commands before the start, after the end and for others are refused`() async throws {
        let configuration = try RedisConfiguration(try #require(serverURL))
        try await withLoop { loop in
            let redis = RedisConnection(configuration, on: loop)
            let early = await failure { () async throws(RedisError) in
                try await redis.command("PING", deadline: within(20))
            }
            #expect(early?.reason == .closed && early?.outcome == .notSent)
            await redis.start()
            let shared = await failure { () async throws(RedisError) in
                try await redis.command("SUBSCRIBE", ["x"], deadline: within(20))
            }
            #expect(shared?.reason == .configuration && shared?.outcome == .notSent)
            _ = try await redis.command("PING", deadline: within(20))
            async let flying = failure { () async throws(RedisError) in
                try await redis.command("BLPOP", [freshKey(), "0"], deadline: within(20))
            }
            while redis.statistics.inFlight == 0 { await Task.yield() }
            await redis.close()
            #expect(await flying?.outcome == .unknown)
            let late = await failure { () async throws(RedisError) in
                try await redis.command("PING", deadline: within(20))
            }
            #expect(late?.reason == .closed && late?.outcome == .notSent)
            #expect(redis.statistics.unknownOutcomes == 1)
        }
    }

    @Test func `a connection that is closed while it connects leaves nothing behind`() async throws {
        let configuration = try RedisConfiguration(try #require(serverURL))
        for turns in 0..<60 {
            try await withLoop { loop in
                let redis = RedisConnection(configuration, on: loop)
                await redis.start()
                for _ in 0..<turns { await Task.yield() }
                await redis.close()
                #expect(!redis.statistics.isConnected && redis.statistics.inFlight == 0)
            }
        }
    }
}
