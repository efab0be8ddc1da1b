// A budget of connections on one loop. Each keeps itself connected:
//
//   connecting ──open, hook──► ready ──lost──► waiting ──timer, or demand──► connecting
//        └──────────────failed──────────────────►┘
//
// Callers name a role and get the connection that serves it, waiting for it until their deadline.

public import Platform

/// What a pool is to do.
public struct PostgresPoolOptions: Sendable {
    /// Connections in all; see `PoolPlan`.
    public var budget = 4
    /// Settings of each session.
    public var session = PostgresSessionOptions()
    /// How long one attempt may take, all servers together.
    public var connectTimeoutMilliseconds: UInt64 = 5_000
    /// How long a reader waits for a connection at most, if its deadline is later.
    public var readTimeoutMilliseconds: UInt64 = 2_000
    /// Callers that may wait for a connection; beyond, they are refused.
    public var waitersLimit = 1_024
    /// Runs on each new connection before anyone else gets it; an error closes it again. Not to be handed around: its
    /// own deadlines must bound it.
    public var onConnected: @Sendable (_ member: Int, PostgresConnection) async throws(PostgresError) -> Void = {
        (_, _) async throws(PostgresError) in
    }
    /// Told on the loop of each connection that breaks and of each attempt that fails.
    public var onLost: @Sendable (_ member: Int, PostgresError) -> Void = { _, _ in }

    /// The defaults.
    public init() {}
}

/// Connections that stay connected. It must be closed, or the loop does not end.
public actor PostgresPool {
    /// The loop it lives on.
    public nonisolated let loop: EventLoop
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
    /// Which connection does what.
    public nonisolated let plan: PoolPlan

    enum Phase {
        case idle
        case connecting
        case ready
        case waiting
    }

    /// One connection of the budget, over all its lives.
    struct Member {
        var phase = Phase.idle
        var connection: PostgresConnection?
        /// Tells this life's messages from an earlier one's.
        var generation: UInt64 = 0
        var backoff: Backoff
        var lastAttempt = MonotonicTime(nanoseconds: 0)
        var retry: LoopTimer?
        var task: Task<Void, Never>?
        /// A reader has it.
        var isLent = false
    }

    /// A caller that waits for a connection.
    struct Waiter {
        let id: UInt64
        let members: Range<Int>
        let isReader: Bool
        let timer: LoopTimer
        let continuation: CheckedContinuation<Result<(Int, PostgresConnection), PostgresError>, Never>
    }

    let configuration: PostgresConfiguration
    let options: PostgresPoolOptions
    let resolver: AddressResolver
    let random: any RandomSource
    nonisolated let meter = PostgresMeter()
    var members: [Member]
    var waiters: [Waiter] = []
    var isClosed = false
    private var lastWaiter: UInt64 = 0

    /// An attempt as old as this no longer speaks for the next one: whoever asks then starts it at once.
    static let demandAgeNanoseconds: UInt64 = 1_000_000_000

    /// Makes a pool without connections.
    public init(
        _ configuration: PostgresConfiguration, options: PostgresPoolOptions = PostgresPoolOptions(),
        on loop: EventLoop, random: any RandomSource = SystemRandom()
    ) {
        self.configuration = configuration
        self.options = options
        self.loop = loop
        self.random = random
        let plan = PoolPlan(budget: options.budget)
        self.plan = plan
        resolver = AddressResolver(on: loop)
        // After an outage every node must have renewed its lease before the first one back may declare it dead.
        members = (0..<options.budget).map {
            Member(backoff: plan.members(for: .lease).contains($0) ? .urgent : .toStore)
        }
    }

    /// The figures now; from any thread.
    public nonisolated var statistics: PostgresStatistics { meter.statistics }

    /// Begins to connect everything; call once.
    public func start() {
        for index in members.indices where members[index].phase == .idle { connect(index) }
    }

    // MARK: - Use

    /// Runs one statement on the connection that serves a role.
    ///
    /// - Parameter deadline: covers the wait for a connection too; passed there, the statement fails `notSent`.
    public func execute(
        _ role: PostgresRole, _ statement: PostgresStatement, _ values: [PostgresValue] = [], deadline: MonotonicTime
    ) async throws(PostgresError) -> PostgresResult {
        try await withConnection(role, deadline: deadline) { connection async throws(PostgresError) in
            try await connection.execute(statement, values, deadline: deadline)
        }
    }

    /// Runs `body` as a transaction on the connection that serves a role; see `PostgresConnection.transaction`.
    public func transaction<Value: Sendable>(
        _ role: PostgresRole, deadline: MonotonicTime,
        _ body: @Sendable (PostgresTransaction) async throws(PostgresError) -> Value
    ) async throws(PostgresError) -> Value {
        let (index, connection) = try await acquire(role, deadline: deadline)
        defer { release(role, index, connection) }
        return try await connection.transaction(deadline: deadline, body)
    }

    /// Lends the connection that serves a role; to readers each alone, as long as `body` runs.
    public func withConnection<Value: Sendable>(
        _ role: PostgresRole, deadline: MonotonicTime,
        _ body: @Sendable (PostgresConnection) async throws(PostgresError) -> Value
    ) async throws(PostgresError) -> Value {
        let (index, connection) = try await acquire(role, deadline: deadline)
        defer { release(role, index, connection) }
        return try await body(connection)
    }

    /// The connection that serves a role, if it is there; asking does not wait, but starts an attempt that is due.
    public func current(_ role: PostgresRole) -> PostgresConnection? {
        let range = plan.members(for: role)
        for index in range { demand(index) }
        return range.first { isReady($0) }.flatMap { members[$0].connection }
    }

    private func isReady(_ index: Int) -> Bool { members[index].phase == .ready }

    // MARK: - Waiting for a connection

    private func acquire(
        _ role: PostgresRole, deadline: MonotonicTime
    ) async throws(PostgresError) -> (Int, PostgresConnection) {
        let range = plan.members(for: role)
        let isReader = role == .read
        let answer: Result<(Int, PostgresConnection), PostgresError> = await withCheckedContinuation { continuation in
            guard !isClosed else { return continuation.resume(returning: .failure(Self.closed)) }
            if let index = range.first(where: { isReady($0) && !(isReader && members[$0].isLent) }),
                let connection = members[index].connection
            {
                if isReader { members[index].isLent = true }
                return continuation.resume(returning: .success((index, connection)))
            }
            guard waiters.count < options.waitersLimit else {
                let error = PostgresError(.notSent, .overloaded, "too many wait for a connection")
                return continuation.resume(returning: .failure(error))
            }
            wait(continuation, range, isReader: isReader, deadline: deadline)
            for index in range { demand(index) }
        }
        return try answer.get()
    }

    private func wait(
        _ continuation: CheckedContinuation<Result<(Int, PostgresConnection), PostgresError>, Never>,
        _ range: Range<Int>, isReader: Bool, deadline: MonotonicTime
    ) {
        lastWaiter += 1
        let id = lastWaiter
        let timer = LoopTimer(on: loop) { [self] in assumeIsolated { $0.waitedTooLong(id) } }
        var delay = loop.monotonic.nanoseconds(until: deadline)
        if isReader { delay = min(delay, options.readTimeoutMilliseconds * 1_000_000) }
        timer.schedule(afterNanoseconds: delay)
        waiters.append(
            Waiter(id: id, members: range, isReader: isReader, timer: timer, continuation: continuation))
        meter.update { $0.waiters += 1 }
    }

    private func waitedTooLong(_ id: UInt64) {
        guard let position = waiters.firstIndex(where: { $0.id == id }) else { return }
        let why = meter.statistics.lastError.map { ": \($0.message)" } ?? ""
        end(waiters.remove(at: position), .failure(PostgresError(.notSent, .deadline, "no connection in time\(why)")))
    }

    func end(_ waiter: Waiter, _ answer: Result<(Int, PostgresConnection), PostgresError>) {
        waiter.timer.close()
        meter.update { $0.waiters -= 1 }
        waiter.continuation.resume(returning: answer)
    }

    private func release(_ role: PostgresRole, _ index: Int, _ connection: PostgresConnection) {
        // A connection that was replaced meanwhile is not the one that was lent.
        guard role == .read, members[index].connection === connection else { return }
        members[index].isLent = false
        serveWaiters(index)
    }

    /// Gives a connection that is there to those who wait for it, in their order.
    func serveWaiters(_ index: Int) {
        guard isReady(index), let connection = members[index].connection else { return }
        var position = 0
        while position < waiters.count {
            let waiter = waiters[position]
            guard waiter.members.contains(index), !(waiter.isReader && members[index].isLent) else {
                position += 1
                continue
            }
            if waiter.isReader { members[index].isLent = true }
            end(waiters.remove(at: position), .success((index, connection)))
        }
    }

    static let closed = PostgresError(.notSent, .closed, "the pool is closed")
}
