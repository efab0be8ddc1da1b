// What these tests need: a loop that must end with its test, the server's address, a server of one's own.

import Foundation
import Platform
import Testing

@testable import Redis

/// The URL of a server that scripts/redis.sh started; without it the tests that need one are skipped.
let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_REDIS"]

extension Trait where Self == ConditionTrait {
    static var needsServer: Self { .enabled(if: serverURL != nil, "TUMULTE_TEST_REDIS names no server") }
}

/// So many seconds from now.
func within(_ seconds: Double) -> MonotonicTime {
    MonotonicTime.now.advanced(byNanoseconds: UInt64(seconds * 1e9))
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

/// Runs a test on a loop of its own, which must be left without open handles.
func withLoop(_ body: @escaping @Sendable (EventLoop) async throws -> Void) async throws {
    let group = LoopGroup(count: 1, name: "test")
    let loop = group.loops[0]
    let result = await Task(executorPreference: loop) { try await body(loop) }.result
    await withCheckedContinuation { continuation in
        Thread {
            group.shutdown()
            continuation.resume()
        }.start()
    }
    try result.get()
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

/// A list that any thread appends to, and whose growth can be awaited.
final class Recorder<Element: Sendable>: Sendable {
    private struct State {
        var list: [Element] = []
        var waiting: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Locked(State())

    var all: [Element] { state.withLock { $0.list } }

    func append(_ element: Element) {
        let ready = state.withLock { state in
            state.list.append(element)
            let count = state.list.count
            let ready = state.waiting.filter { $0.count <= count }.map(\.continuation)
            state.waiting.removeAll { $0.count <= count }
            return ready
        }
        for continuation in ready { continuation.resume() }
    }

    /// Waits until that many have been appended.
    func reached(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.list.count >= count { return true }
                state.waiting.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}

/// A server of one test's own, made by the script that developers use.
struct PrivateServer {
    let folder: String

    init() {
        var template = Array("/tmp/tumulte-redis-XXXXXX".utf8CString)
        folder = String(cString: mkdtemp(&template))
    }

    /// Starts it, again on the same port, and returns its URL.
    @discardableResult
    func start(settings: String = "", flags: String = "") async throws -> String {
        try await script("start", ["REDIS_SETTINGS": settings, "REDIS_FLAGS": flags])
        return "redis://:tumulte@127.0.0.1:\(try port)/0"
    }

    var port: UInt16 { get throws { try #require(UInt16(try word(in: "port"))) } }

    func stop() async throws { try await script("stop") }

    /// SIGKILL.
    func kill() async throws { try await script("kill") }

    /// The process stands still, its sockets stay open.
    func freeze() throws { try signal(SIGSTOP) }

    func thaw() throws { try signal(SIGCONT) }

    private func signal(_ number: Int32) throws {
        let process = try #require(pid_t(try word(in: "redis.pid")))
        #expect(Foundation.kill(process, number) == 0)
    }

    private func word(in file: String) throws -> String {
        try String(contentsOfFile: folder + "/" + file, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func remove() { try? FileManager.default.removeItem(atPath: folder) }

    private func script(_ command: String, _ environment: [String: String] = [:]) async throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        let words = [root.appendingPathComponent("scripts/redis.sh").path, command, folder]
        try await run(words, environment: environment)
    }
}

/// Runs a program to its end. Not by `Process`: it waits until every child of the program has ended too.
func run(_ words: [String], environment additions: [String: String] = [:]) async throws {
    let status = await withCheckedContinuation { continuation in
        Thread {
            let environment = ProcessInfo.processInfo.environment.merging(additions) { $1 }
            continuation.resume(returning: spawn(words, environment.map { "\($0.key)=\($0.value)" }))
        }.start()
    }
    #expect(status == 0, "\(words.joined(separator: " "))")
    if status != 0 { throw CocoaError(.executableNotLoadable) }
}

private func spawn(_ words: [String], _ environment: [String]) -> Int32 {
    let program = words[0]
    var words = words.map { strdup($0) } + [nil]
    var environment = environment.map { strdup($0) } + [nil]
    var child = pid_t()
    var status: Int32 = -1
    // A server must hear the signals that this process' threads have blocked.
    var attributes = posix_spawnattr_t()
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_init(&attributes)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    if posix_spawnp(&child, program, nil, &attributes, &words, &environment) == 0 { waitpid(child, &status, 0) }
    posix_spawnattr_destroy(&attributes)
    for word in words + environment { free(word) }
    return status
}
