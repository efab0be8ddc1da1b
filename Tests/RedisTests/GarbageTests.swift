// Servers that are none: whatever they say, every call ends, the process lives, and the next connection is made.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

@Suite(.timeLimit(.minutes(2)))
struct GarbageTests {
    /// Answers every command with `+OK`, as long as the client asks.
    private static func behave(_ peer: FakePeer) { while peer.readCommand() != nil { peer.write("+OK\r\n") } }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\n\r\n", "\0\0\0\0\r\n", "$-2\r\n", "$x\r\n", "*-5\r\n", "*x\r\n", ":\r\n", ":x\r\n",
        "+OK\r\n+OK\r\n+OK\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", ",1.5\r\n",
        "#t\r\n", "%1\r\n+a\r\n+b\r\n", "~1\r\n+a\r\n", ">1\r\n+a\r\n", "_\r\n", "(1\r\n", "=5\r\ntxt:a\r\n",
        "$99999999999999999999\r\n", "*2147483647\r\n", "*1\r\n*1048577\r\n", "*99999999999\r\n",
        "-ERR max number of clients reached\r\n",
    ])
    func `garbage ends the connection and nothing else`(_ garbage: String) async throws {
        let count = Locked(0)
        let server = FakeServer { peer in
            let number = count.withLock { count in
                count += 1
                return count
            }
            switch number {
            // Before anything was asked.
            case 1: peer.write(garbage)
            // As the answer to the greeting.
            case 2:
                _ = peer.readCommand()
                peer.write(garbage)
            // As the answer to a command.
            case 3:
                _ = peer.readCommand()
                peer.write("+PONG\r\n")
                _ = peer.readCommand()
                peer.write(garbage)
            default: return Self.behave(peer)
            }
            peer.drain()
        }
        let lost = Recorder<RedisError>()
        let change: (inout RedisOptions) -> Void = {
            $0.connectTimeoutMilliseconds = 300
            $0.onLost = { lost.append($0) }
        }
        try await withConnection(server.url, change) { redis in
            var answers = 0
            // Some garbage is a reply that could be meant; then the connection lives a little longer.
            while answers < 3 {
                let error = await failure { () async throws(RedisError) in
                    try await redis.command("PING", deadline: within(1))
                }
                if error == nil { answers += 1 }
            }
            #expect(redis.statistics.isConnected)
        }
        server.close()
        for error in lost.all { #expect(!error.message.contains("\n") && error.outcome != .refusedByServer) }
    }

    @Test func `a reply that nobody asked for ends an idle connection`() async throws {
        let speaks = Recorder<Bool>()
        let server = FakeServer { peer in
            _ = peer.readCommand()
            peer.write("+PONG\r\n")
            guard speaks.all.isEmpty else { return Self.behave(peer) }
            speaks.append(true)
            _ = peer.readCommand()
            peer.write("+OK\r\n:1\r\n:2\r\n")
            peer.drain()
        }
        let lost = Recorder<RedisError>()
        try await withConnection(server.url, { $0.onLost = { lost.append($0) } }) { redis in
            same(try await redis.command("PING", deadline: within(20)), .status("OK"))
            await lost.reached(1)
            #expect(lost.all[0].reason == .decoding)
            same(try await redis.command("PING", deadline: within(20)), .status("OK"))
        }
        server.close()
    }

    @Test func `an array that announces too many elements is refused before memory is asked for it`() async throws {
        let server = FakeServer { peer in
            _ = peer.readCommand()
            peer.write("+PONG\r\n")
            guard let count = peer.readCommand()?.last else { return }
            peer.write("*\(count)\r\n")
            peer.drain()
        }
        try await withConnection(server.url) { redis in
            for (count, reason) in [("2147483647", RedisError.Reason.connectionLost), ("1048576", .deadline)] {
                let error = await failure { () async throws(RedisError) in
                    try await redis.command("LRANGE", [RedisArgument(count)], deadline: within(3))
                }
                #expect(error?.reason == reason && error?.outcome == .unknown)
            }
        }
        server.close()
    }

    @Test func `a reply without end is given up at its limit`() async throws {
        let server = FakeServer { peer in
            _ = peer.readCommand()
            peer.write("+PONG\r\n")
            guard let command = peer.readCommand(), command == ["GET", "big"] else { return Self.behave(peer) }
            peer.write("$500000000\r\n")
            for _ in 0..<1_000 { peer.write([UInt8](repeating: 0x61, count: 65_536)) }
        }
        let lost = Recorder<RedisError>()
        let change: (inout RedisOptions) -> Void = {
            $0.replyBytesLimit = 1 << 20
            $0.onLost = { lost.append($0) }
        }
        try await withConnection(server.url, change) { redis in
            let error = await failure { () async throws(RedisError) in
                try await redis.command("GET", ["big"], deadline: within(20))
            }
            #expect(error?.reason == .decoding && error?.outcome == .unknown)
            await lost.reached(1)
        }
        server.close()
    }

    @Test func `wherever a server hangs up, the call ends and its outcome is the truth`() async throws {
        let reply = "*3\r\n$5\r\nhello\r\n:42\r\n*1\r\n-ERR inner\r\n"
        for cut in 0...reply.utf8.count {
            let server = FakeServer { peer in
                _ = peer.readCommand()
                peer.write("+PONG\r\n")
                _ = peer.readCommand()
                peer.write(Array(reply.utf8.prefix(cut)))
            }
            try await withConnection(server.url) { redis in
                let error = await failure { () async throws(RedisError) in
                    try await redis.command("GET", ["x"], deadline: within(20))
                }
                if cut == reply.utf8.count {
                    #expect(error == nil)
                } else {
                    #expect(error?.outcome == .unknown && error?.reason == .connectionLost, "cut after \(cut)")
                }
            }
            server.close()
        }
    }

    @Test func `a reply that comes byte by byte is one reply`() async throws {
        let server = FakeServer { peer in
            _ = peer.readCommand()
            peer.write("+PONG\r\n")
            while peer.readCommand() != nil {
                for byte in "*2\r\n$3\r\na\r\n\r\n:-7\r\n".utf8 { peer.write([byte]) }
            }
        }
        try await withConnection(server.url) { redis in
            for _ in 0..<20 {
                let reply = try await redis.command("X", deadline: within(20))
                #expect(reply == .array([.bytes(Array("a\r\n".utf8)), .integer(-7)]))
            }
        }
        server.close()
    }

    @Test func `a refused connection calls back at once`() async throws {
        // A port that was free a moment ago.
        let server = FakeServer { _ in }
        server.close()
        let error = try await firstFailure(server.url, connectTimeout: 60_000)
        #expect(error?.reason == .connecting && error?.outcome == .notSent)
        #expect(error?.message.contains("refused") == true)
    }

    @Test func `a name that does not resolve is told, one that does is used`() async throws {
        let error = try await firstFailure("redis://no-such-host.invalid")
        #expect(error?.reason == .connecting && error?.message.contains("no-such-host.invalid") == true)
        let server = FakeServer { Self.behave($0) }
        try await withConnection("redis://localhost:\(server.port)") { redis in
            same(try await redis.command("PING", deadline: within(20)), .status("OK"))
        }
        server.close()
    }
}
