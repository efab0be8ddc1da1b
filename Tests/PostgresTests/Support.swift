// What these tests need: a loop that must end with its test, the server's address, a server of one's own.

import Foundation
import Platform
import Synchronization
import Testing

@testable import Postgres

/// The URL of a server that the tests may use; without it the tests that need one are skipped.
let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_POSTGRES"]

extension Trait where Self == ConditionTrait {
    static var needsServer: Self { .enabled(if: serverURL != nil, "TUMULTE_TEST_POSTGRES names no server") }
}

/// So many seconds from now.
func within(_ seconds: Double) -> MonotonicTime {
    MonotonicTime.now.advanced(byNanoseconds: UInt64(seconds * 1e9))
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

/// Runs a test with an open connection.
func withConnection(
    _ url: String? = serverURL, openWithin seconds: Double = 20,
    options: PostgresSessionOptions = PostgresSessionOptions(),
    meter: PostgresMeter = PostgresMeter(), onLost: @escaping @Sendable (PostgresError) -> Void = { _ in },
    _ body: @escaping @Sendable (PostgresConnection) async throws -> Void
) async throws {
    let configuration = try PostgresConfiguration(try #require(url))
    try await withLoop { loop in
        let resolver = AddressResolver(on: loop)
        let connection = PostgresConnection(
            configuration, options: options, on: loop, resolver: resolver, meter: meter, onLost: onLost)
        let result = await Task(executorPreference: loop) {
            try await connection.open(deadline: within(seconds))
            try await body(connection)
        }.result
        await connection.close()
        await resolver.close()
        try result.get()
    }
}

/// Runs a test with a started pool.
func withPool(
    _ url: String? = serverURL, budget: Int, random: any RandomSource = SeededRandom(seed: 1),
    _ change: (inout PostgresPoolOptions) -> Void = { _ in },
    _ body: @escaping @Sendable (PostgresPool) async throws -> Void
) async throws {
    let configuration = try PostgresConfiguration(try #require(url))
    var options = PostgresPoolOptions()
    options.budget = budget
    change(&options)
    let final = options
    try await withLoop { loop in
        let pool = PostgresPool(configuration, options: final, on: loop, random: random)
        await pool.start()
        let result = await Task(executorPreference: loop) { try await body(pool) }.result
        await pool.close()
        await pool.close()
        try result.get()
        let figures = pool.statistics
        #expect(figures.connected == 0 && figures.inFlight == 0 && figures.queued == 0 && figures.waiters == 0)
    }
}

/// What opening a connection ends in, where it must not succeed.
func failureToOpen(_ url: String, seconds: Double = 20) async throws -> PostgresError? {
    let configuration = try PostgresConfiguration(url)
    let failure = Recorder<PostgresError>()
    try await withLoop { loop in
        let resolver = AddressResolver(on: loop)
        let connection = PostgresConnection(configuration, on: loop, resolver: resolver)
        do throws(PostgresError) {
            try await connection.open(deadline: within(seconds))
        } catch {
            failure.append(error)
        }
        await connection.close()
        await resolver.close()
    }
    return failure.all.first
}

/// The error that an expression ends in; `nil` where it succeeds.
func failure<Value>(
    of body: @Sendable () async throws(PostgresError) -> Value
) async -> PostgresError? {
    do throws(PostgresError) {
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
        var template = Array("/tmp/tumulte-postgres-XXXXXX".utf8CString)
        folder = String(cString: mkdtemp(&template))
    }

    func start(settings: String = "") async throws -> String {
        try await script("start", settings)
        let port = try String(contentsOfFile: folder + "/port", encoding: .utf8)
        return "postgres://tumulte:tumulte@127.0.0.1:\(port.trimmingCharacters(in: .whitespacesAndNewlines))/postgres"
    }

    func stop() async throws { try await script("stop", "") }

    func kill() async throws { try await script("kill", "") }

    func remove() { try? FileManager.default.removeItem(atPath: folder) }

    /// Not by `Process`: it waits until every child of the script has ended too, the server included.
    private func script(_ command: String, _ settings: String) async throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        let words = [root.appendingPathComponent("scripts/postgres.sh").path, command, folder]
        let status = await withCheckedContinuation { continuation in
            Thread {
                var environment = ProcessInfo.processInfo.environment
                environment["POSTGRES_SETTINGS"] = settings
                continuation.resume(returning: Self.run(words, environment.map { "\($0.key)=\($0.value)" }))
            }.start()
        }
        #expect(status == 0, "scripts/postgres.sh \(command) \(folder)")
        if status != 0 { throw CocoaError(.executableNotLoadable) }
    }

    private static func run(_ words: [String], _ environment: [String]) -> Int32 {
        let program = words[0]
        var words = words.map { strdup($0) } + [nil]
        var environment = environment.map { strdup($0) } + [nil]
        var child = pid_t()
        var status: Int32 = -1
        if posix_spawn(&child, program, nil, nil, &words, &environment) == 0 { waitpid(child, &status, 0) }
        for word in words + environment { free(word) }
        return status
    }
}
