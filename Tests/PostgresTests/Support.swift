// What these tests need: a loop that must end with its test, the server's address, a server of one's own.

import Foundation
import Platform
import Synchronization
import TestSupport
import Testing

@testable import Postgres

/// The URL of a server that the tests may use; without it the tests that need one are skipped.
let serverURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_POSTGRES"]

extension Trait where Self == ConditionTrait {
    static var needsServer: Self { .enabled(if: serverURL != nil, "TUMULTE_TEST_POSTGRES names no server") }
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

/// A server of one test's own, made by the script that developers use.
struct PrivateServer {
    let server: StoreServer
    var folder: String { server.folder }

    init() throws { server = try StoreServer(script: "postgres.sh") }

    /// Starts it, again on the same port, and returns its URL.
    func start(settings: String = "") async throws -> String {
        try await server.start(["POSTGRES_SETTINGS": settings])
        return "postgres://tumulte:tumulte@127.0.0.1:\(try server.word(in: "port"))/postgres"
    }

    func stop() async throws { try await server.stop() }

    /// SIGKILL.
    func kill() async throws { try await server.kill() }

    func remove() { server.remove() }
}
