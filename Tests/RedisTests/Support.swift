// What these tests need: a loop that must end with its test, the server's address, a server of one's own.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Redis

/// The URL of a server that scripts/redis.sh started; without it the tests that need one are skipped.
let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_REDIS"]

extension Trait where Self == ConditionTrait {
    static var needsServer: Self { .enabled(if: serverURL != nil, "TUMULTE_TEST_REDIS names no server") }
}

/// `#expect(a == b)` where evaluating `a` takes `await` and may throw a typed error.
func same<Value: Equatable>(
    _ a: Value, _ b: Value, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(a == b, comment, sourceLocation: sourceLocation)
}

/// A key that no other test uses.
func freshKey(_ name: String = #function) -> RedisArgument {
    RedisArgument("test:\(name):\(SystemRandom().next())")
}

/// Runs a test with a started connection.
func withConnection(
    _ url: String? = serverURL, _ change: (inout RedisOptions) -> Void = { _ in },
    _ body: @escaping @Sendable (RedisConnection) async throws -> Void
) async throws {
    try await withConnection(try RedisConfiguration(try #require(url)), change, body)
}

func withConnection(
    _ configuration: RedisConfiguration, _ change: (inout RedisOptions) -> Void,
    _ body: @escaping @Sendable (RedisConnection) async throws -> Void
) async throws {
    var options = RedisOptions()
    change(&options)
    let final = options
    try await withLoop { loop in
        let connection = RedisConnection(configuration, options: final, on: loop, random: SeededRandom(seed: 1))
        await connection.start()
        let result = await Task(executorPreference: loop) { try await body(connection) }.result
        await connection.close()
        await connection.close()
        try result.get()
        let figures = connection.statistics
        #expect(!figures.isConnected && figures.inFlight == 0 && figures.waiters == 0)
    }
}

/// The first failure of a connection to this URL.
func firstFailure(_ url: String, connectTimeout milliseconds: UInt64 = 3_000) async throws -> RedisError? {
    let failures = Recorder<RedisError>()
    let change: (inout RedisOptions) -> Void = {
        $0.connectTimeoutMilliseconds = milliseconds
        $0.onLost = { failures.append($0) }
    }
    try await withConnection(url, change) { _ in await failures.reached(1) }
    return failures.all.first
}

/// The error that an expression ends in; `nil` where it succeeds.
func failure<Value>(of body: @Sendable () async throws(RedisError) -> Value) async -> RedisError? {
    do throws(RedisError) {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}

/// A server of one test's own, made by the script that developers use.
struct PrivateServer {
    let server: StoreServer
    var folder: String { server.folder }

    init() throws { server = try StoreServer(script: "redis.sh") }

    /// Starts it, again on the same port, and returns its URL.
    @discardableResult
    func start(settings: String = "", flags: String = "") async throws -> String {
        try await server.start(["REDIS_SETTINGS": settings, "REDIS_FLAGS": flags])
        return "redis://:tumulte@127.0.0.1:\(try port)/0"
    }

    var port: UInt16 { get throws { try #require(UInt16(try server.word(in: "port"))) } }

    func stop() async throws { try await server.stop() }

    /// SIGKILL.
    func kill() async throws { try await server.kill() }

    /// The process stands still, its sockets stay open.
    func freeze() throws { try signal(SIGSTOP) }

    func thaw() throws { try signal(SIGCONT) }

    private func signal(_ number: Int32) throws {
        let process = try #require(pid_t(try server.word(in: "redis.pid")))
        #expect(Foundation.kill(process, number) == 0)
    }

    func remove() { server.remove() }
}
