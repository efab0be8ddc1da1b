// Finding the master: by Sentinels that lie, hang, know nothing or are real.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

@Suite(.timeLimit(.minutes(2)))
struct SentinelTests {
    /// A Sentinel that answers what `reply` says at that moment; it counts how often it was asked.
    private static func sentinel(
        asked: Recorder<[String]> = Recorder(), _ reply: @escaping @Sendable () -> String
    ) -> FakeServer {
        FakeServer { peer in
            while let command = peer.readCommand() {
                asked.append(command)
                peer.write(reply())
            }
        }
    }

    /// A server that says it is a master, or what else it is, and answers everything else with its name.
    private static func server(_ name: String, role: String = "master") -> FakeServer {
        FakeServer { peer in
            while let command = peer.readCommand() {
                switch command.first {
                case "ROLE": peer.write("*3\r\n$\(role.utf8.count)\r\n\(role)\r\n:0\r\n*0\r\n")
                case "DIE": return
                default: peer.write("+\(name)\r\n")
                }
            }
        }
    }

    private static func address(_ port: UInt16) -> String {
        "*2\r\n$9\r\n127.0.0.1\r\n$\(String(port).utf8.count)\r\n\(port)\r\n"
    }

    @Test func `the master is asked for by its name, and only one that says it is the master is taken`() async throws {
        let (replica, master) = (Self.server("replica", role: "slave"), Self.server("master"))
        let port = Locked(replica.port)
        let asked = Recorder<[String]>()
        let sentinel = Self.sentinel(asked: asked) { Self.address(port.withLock { $0 }) }
        let lost = Recorder<RedisError>()
        let url = "redis+sentinel://127.0.0.1:\(sentinel.port)/main"
        try await withConnection(url, { $0.onLost = { lost.append($0) } }) { redis in
            await lost.reached(1)
            #expect(lost.all[0].reason == .setup && lost.all[0].message.contains("no master: slave"))
            port.withLock { $0 = master.port }
            same(try await redis.command("WHO", deadline: within(20)), .status("master"))
        }
        #expect(asked.all.first == ["SENTINEL", "get-master-addr-by-name", "main"])
        for server in [replica, master, sentinel] { server.close() }
    }

    @Test func `after a loss the Sentinels are asked again, and the new master is taken`() async throws {
        let (first, second) = (Self.server("first"), Self.server("second"))
        let port = Locked(first.port)
        let sentinel = Self.sentinel { Self.address(port.withLock { $0 }) }
        try await withConnection("redis+sentinel://127.0.0.1:\(sentinel.port)/main") { redis in
            same(try await redis.command("WHO", deadline: within(20)), .status("first"))
            port.withLock { $0 = second.port }
            let error = await failure { () async throws(RedisError) in
                try await redis.command("DIE", deadline: within(20))
            }
            #expect(error?.outcome == .unknown)
            same(try await redis.command("WHO", deadline: within(20)), .status("second"))
            #expect(redis.statistics.connects == 2 && redis.statistics.losses == 1)
        }
        for server in [first, second, sentinel] { server.close() }
    }

    @Test func `Sentinels that are gone, silent, wrong or ignorant are passed over`() async throws {
        let gone = FakeServer { _ in }
        gone.close()
        let silent = FakeServer { $0.drain() }
        let ignorant = Self.sentinel { "*-1\r\n" }
        let wrong = Self.sentinel { "*2\r\n$1\r\nx\r\n$5\r\n99999\r\n" }
        let master = Self.server("master")
        let good = Self.sentinel { Self.address(master.port) }
        let hosts = [gone, silent, ignorant, wrong, good].map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
        let lost = Recorder<RedisError>()
        let start = MonotonicTime.now
        try await withConnection("redis+sentinel://\(hosts)/main", { $0.onLost = { lost.append($0) } }) { redis in
            same(try await redis.command("WHO", deadline: within(20)), .status("master"))
            // The silent one took its share of the time.
            #expect(start.nanoseconds(until: .now) >= 200_000_000 && lost.all.isEmpty)
        }
        let others = [gone, ignorant, wrong].map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
        let error = try await firstFailure("redis+sentinel://\(others)/main")
        for part in ["refused", "no master of that name", "no address that can be used"] {
            #expect(error?.message.contains(part) == true, "\(part) is missing")
        }
        for server in [silent, ignorant, wrong, master, good] { server.close() }
    }

    @Test func `a Sentinel that wants a login gets the servers' one`() async throws {
        let master = Self.server("master")
        let logins = Recorder<[String]>()
        let sentinel = FakeServer { peer in
            var isKnown = false
            while let command = peer.readCommand() {
                if command.first == "AUTH" {
                    logins.append(command)
                    isKnown = true
                    peer.write("+OK\r\n")
                } else {
                    peer.write(isKnown ? Self.address(master.port) : "-NOAUTH Authentication required.\r\n")
                }
            }
        }
        try await withConnection("redis+sentinel://ann:s3cret@127.0.0.1:\(sentinel.port)/main") { redis in
            same(try await redis.command("WHO", deadline: within(20)), .status("master"))
            #expect(logins.all == [["AUTH", "ann", "s3cret"]])
        }
        for server in [master, sentinel] { server.close() }
    }

    @Test(arguments: [
        RedisValue.null, .array([]), .array([.bytes([]), .bytes([0x31])]), .array([.bytes([0x68]), .bytes([0x30])]),
        .array([.bytes([0x68, 0]), .bytes([0x31])]), .array([.bytes([0x68])]), .status("OK"), .integer(1),
        .array([.bytes([0x68]), .bytes(Array("65536".utf8))]), .array([.bytes([0x68]), .bytes(Array("-1".utf8))]),
        .array([.bytes([0xFF]), .bytes([0x31])]), .array([.null, .null]),
        .array([.bytes([0x68]), .bytes([0x31]), .bytes([0x31])]),
        .array([.bytes([UInt8](repeating: 0x68, count: 254)), .bytes([0x31])]),
    ])
    func `a Sentinel's nonsense is no address`(_ reply: RedisValue) {
        #expect(RedisConnection.master(in: reply) == nil)
    }

    @Test(.needsServer) func `a real Sentinel's failover is followed`() async throws {
        let (first, second) = (try PrivateServer(), try PrivateServer())
        let sentinel = try PrivateServer()
        defer { for server in [first, second, sentinel] { server.remove() } }
        let firstURL = try await first.start(settings: "repl-diskless-sync-delay 0")
        try await second.start(settings: "replicaof 127.0.0.1 \(first.port)")
        let register = CompareAndSet(key: "table")
        let one = RedisVersionedValue(version: 1, bytes: [1])
        try await withConnection(firstURL) { redis in
            same(try await register.swap(from: 0, to: one, on: redis, deadline: within(20)), .swapped)
            same(try await redis.command("WAIT", ["1", "20000"], deadline: within(30)), .integer(1))
        }
        let settings = """
            sentinel monitor main 127.0.0.1 \(try first.port) 1
            sentinel auth-pass main tumulte
            sentinel down-after-milliseconds main 300
            sentinel failover-timeout main 3000
            """
        let sentinelURL = try await sentinel.start(settings: settings, flags: "--sentinel")
        try await withConnection(sentinelURL) { redis in
            // It learns of the replica from the master.
            while try await redis.command("SENTINEL", ["replicas", "main"], deadline: within(20)) == .array([]) {}
        }
        try await withConnection("redis+sentinel://:tumulte@127.0.0.1:\(try sentinel.port)/main") { redis in
            same(try await register.read(on: redis, deadline: within(20)), one)
            try await first.kill()
            let two = RedisVersionedValue(version: 2, bytes: [2])
            same(try await register.swap(from: 1, to: two, on: redis, deadline: within(60)), .swapped)
            let info = try await redis.command("INFO", ["server"], deadline: within(20)).string ?? ""
            #expect(info.contains("tcp_port:\(try second.port)"))
        }
        try await sentinel.stop()
        try await second.stop()
    }
}
