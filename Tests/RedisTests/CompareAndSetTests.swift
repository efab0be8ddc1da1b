import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct CompareAndSetTests {
    private static func freshRegister() -> CompareAndSet {
        CompareAndSet(key: String(decoding: freshKey().bytes, as: UTF8.self))
    }

    @Test func `a script is sent once and found again after the server forgot it`() async throws {
        try await withConnection { redis in
            // Its text is new, so that no other run has taught it to the server.
            let script = RedisScript("return {KEYS[1], ARGV[1], '\(SystemRandom().next())'}")
            for round in 0..<3 {
                for _ in 0..<2 {
                    let reply = try await script.run(
                        on: redis, keys: ["k"], arguments: [RedisArgument([0, 255])], deadline: within(20))
                    #expect(reply.array?.prefix(2) == [.bytes([0x6B]), .bytes([0, 255])])
                }
                let known = try await redis.command(
                    "SCRIPT", ["EXISTS", RedisArgument(script.digest)], deadline: within(20))
                #expect(known == .array([.integer(1)]))
                #expect(redis.statistics.refusals == UInt64(round + 1))
                _ = try await redis.command("SCRIPT", ["FLUSH"], deadline: within(20))
            }
        }
    }

    @Test func `a script's own error is thrown`() async throws {
        try await withConnection { redis in
            let error = await failure { () async throws(RedisError) in
                try await RedisScript("return redis.error_reply('NOPE not today')").run(
                    on: redis, keys: [], deadline: within(20))
            }
            #expect(error?.code == "NOPE" && error?.outcome == .refusedByServer)
            let broken = await failure { () async throws(RedisError) in
                try await RedisScript("return )").run(on: redis, keys: [], deadline: within(20))
            }
            #expect(broken?.reason == .server)
        }
    }

    @Test func `only the version that is stored can be replaced, and who is behind gets what is there`() async throws {
        try await withConnection { redis in
            let register = Self.freshRegister()
            let end = within(20)
            let one = RedisVersionedValue(version: 5, bytes: [1, 0, 2])
            let two = RedisVersionedValue(version: 1 << 63 | 7, bytes: [])
            same(try await register.read(on: redis, deadline: end), nil)
            same(try await register.swap(from: 3, to: one, on: redis, deadline: end), .conflict(nil))
            same(try await register.swap(from: 0, to: one, on: redis, deadline: end), .swapped)
            same(try await register.swap(from: 0, to: two, on: redis, deadline: end), .conflict(one))
            same(try await register.swap(from: 4, to: two, on: redis, deadline: end), .conflict(one))
            same(try await register.swap(from: 6, to: two, on: redis, deadline: end), .conflict(one))
            same(try await register.swap(from: 5, to: two, on: redis, deadline: end), .swapped)
            same(try await register.read(on: redis, deadline: end), two)
        }
    }

    @Test func `a read brings only what is newer, whatever the bits of the versions`() async throws {
        try await withConnection { redis in
            var versions: [UInt64] = [1, 2, 127, 128, 255, 256, 1 << 32 - 1, 1 << 32, 1 << 53, 1 << 53 + 1, 1 << 63]
            versions.append(.max)
            for stored in versions {
                let register = Self.freshRegister()
                let value = RedisVersionedValue(version: stored, bytes: [9])
                same(try await register.swap(from: 0, to: value, on: redis, deadline: within(20)), .swapped)
                for known in [0] + versions {
                    let read = try await register.read(newerThan: known, on: redis, deadline: within(20))
                    #expect(read == (stored > known ? value : nil), "\(stored) is stored, \(known) known")
                }
                _ = try await redis.command("DEL", [RedisArgument(register.key)], deadline: within(20))
            }
        }
    }

    @Test func `what is no such value counts as absent and is put right by the next swap`() async throws {
        try await withConnection { redis in
            let damages: [(String, [RedisArgument])] = [
                ("SET", ["short"]), ("SET", [""]), ("LPUSH", ["x"]), ("HSET", ["f", "v"]), ("SADD", ["m"]),
            ]
            for (name, arguments) in damages {
                let register = Self.freshRegister()
                let key = RedisArgument(register.key)
                _ = try await redis.command(name, [key] + arguments, deadline: within(20))
                let value = RedisVersionedValue(version: 9, bytes: [7])
                same(try await register.read(on: redis, deadline: within(20)), nil)
                same(try await register.swap(from: 3, to: value, on: redis, deadline: within(20)), .conflict(nil))
                same(try await register.swap(from: 0, to: value, on: redis, deadline: within(20)), .swapped)
                same(try await register.read(on: redis, deadline: within(20)), value)
                _ = try await redis.command("DEL", [key], deadline: within(20))
            }
        }
    }

    @Test func `of eight who race for each version exactly one wins it`() async throws {
        let register = Self.freshRegister()
        let configuration = try RedisConfiguration(try #require(serverURL))
        let last: UInt64 = 200
        let wins = Recorder<(version: UInt64, racer: UInt8)>()
        try await withLoop { loop in
            await withTaskGroup(of: Void.self) { group in
                for racer in UInt8(0)..<8 {
                    group.addTask {
                        let redis = RedisConnection(configuration, on: loop)
                        await redis.start()
                        var known: UInt64 = 0
                        while known < last {
                            let next = RedisVersionedValue(version: known + 1, bytes: [racer])
                            do throws(RedisError) {
                                switch try await register.swap(
                                    from: known, to: next, on: redis, deadline: within(30))
                                {
                                case .swapped:
                                    wins.append((next.version, racer))
                                    known = next.version
                                case .conflict(let stored):
                                    #expect((stored?.version ?? 0) > known)
                                    known = stored?.version ?? 0
                                }
                            } catch {
                                Issue.record(error)
                                break
                            }
                        }
                        await redis.close()
                    }
                }
            }
        }
        #expect(wins.all.map(\.version).sorted() == Array(1...last))
        #expect(Set(wins.all.map(\.racer)).count > 1)
        try await withConnection { redis in
            let stored = try await register.read(on: redis, deadline: within(20))
            let winner = wins.all.first { $0.version == last }
            #expect(stored?.version == last && stored?.bytes == winner.map { [$0.racer] })
            _ = try await redis.command("DEL", [RedisArgument(register.key)], deadline: within(20))
        }
    }
}
