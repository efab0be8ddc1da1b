// A connection to Redis that keeps itself connected, on one loop:
//
//   connecting ──open──► ready ──lost──► waiting ──timer, or demand──► connecting
//        └──────────────failed──────────────►┘
//
// Each attempt looks for the server anew, by its name or by the Sentinels: an address that changed and a failover are
// the same thing as a broken connection. Callers share the connection; commands are pipelined in the order of the
// calls. A command is sent once: after a loss only its caller knows whether it may be sent again.

public import Platform

/// What a connection is to do.
public struct RedisOptions: Sendable {
    /// How long one attempt may take, all servers together.
    public var connectTimeoutMilliseconds: UInt64 = 3_000
    /// Commands that may await their replies; beyond, they are refused.
    public var commandsLimit = 16_384
    /// Bytes of all commands that await their replies; beyond, they are refused, unless one goes alone.
    public var commandBytesLimit = 64 << 20
    /// Bytes of one reply; beyond, the connection is closed.
    public var replyBytesLimit = 64 << 20
    /// Callers that may wait for a connection; beyond, they are refused.
    public var waitersLimit = 1_024
    /// Told on the loop of each connection made, before any caller gets it.
    public var onConnected: @Sendable () -> Void = {}
    /// Told on the loop of each connection that breaks and of each attempt that fails.
    public var onLost: @Sendable (RedisError) -> Void = { _ in }

    /// The defaults.
    public init() {}
}

/// A connection that stays connected. It must be closed, or the loop does not end.
public actor RedisConnection {
    /// The loop it lives on.
    public nonisolated let loop: EventLoop
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    enum Phase {
        case idle
        case connecting
        case ready
        case waiting
        case closed
    }

    /// A caller that waits for a connection.
    private struct Waiter {
        let id: UInt64
        let timer: LoopTimer
        let continuation: CheckedContinuation<Result<RedisSession, RedisError>, Never>
    }

    let configuration: RedisConfiguration
    let options: RedisOptions
    let resolver: AddressResolver
    let meter = RedisMeter()
    private let random: any RandomSource

    var phase = Phase.idle
    /// The session that is used, or the one that is being opened.
    var session: RedisSession?
    /// The Sentinel that answered last; it is asked first.
    var sentinel = 0
    private var generation: UInt64 = 0
    private var backoff = Backoff.toStore
    private var lastAttempt = MonotonicTime(nanoseconds: 0)
    private var retry: LoopTimer?
    private var task: Task<Void, Never>?
    private var waiters: [Waiter] = []
    private var lastWaiter: UInt64 = 0

    /// An attempt as old as this no longer speaks for the next one: whoever asks then starts it at once.
    private static let demandAgeNanoseconds: UInt64 = 1_000_000_000

    /// Makes a connection that is not started.
    public init(
        _ configuration: RedisConfiguration, options: RedisOptions = RedisOptions(), on loop: EventLoop,
        random: any RandomSource = SystemRandom()
    ) {
        self.configuration = configuration
        self.options = options
        self.loop = loop
        self.random = random
        resolver = AddressResolver(on: loop)
    }

    /// The figures now; from any thread.
    public nonisolated var statistics: RedisStatistics { meter.statistics }

    /// Whether commands would be sent at once.
    public var isConnected: Bool { phase == .ready }

    /// Begins to connect; call once.
    public func start() {
        if phase == .idle { connect() }
    }

    // MARK: - Commands

    /// Runs a command and returns its reply. Cancelling the task changes nothing: the reply or the deadline ends the
    /// wait.
    ///
    /// - Parameter deadline: covers the wait for a connection too; passed there, the command fails `notSent`. Passed
    ///   in flight, the connection is closed, and everything in flight fails `unknown`.
    /// - Throws: what the server refuses, too (`refusedByServer`). Commands that change the connection itself or have
    ///   other than one reply (`SELECT`, `MULTI`, `SUBSCRIBE` and the like) are refused; one that waits at the server
    ///   (`BLPOP`) holds up everyone.
    public func command(
        _ name: String, _ arguments: [RedisArgument] = [], deadline: MonotonicTime
    ) async throws(RedisError) -> RedisValue {
        if let objection = EncodedCommand.objection(name, arguments) {
            throw RedisError(.notSent, .configuration, objection)
        }
        return try await run(EncodedCommand(name, arguments), deadline: deadline)
    }

    func run(_ command: EncodedCommand, deadline: MonotonicTime) async throws(RedisError) -> RedisValue {
        let session = try await readySession(deadline)
        return try await session.run(command, deadline: deadline)
    }

    private func readySession(_ deadline: MonotonicTime) async throws(RedisError) -> RedisSession {
        if phase == .ready, let session { return session }
        let answer: Result<RedisSession, RedisError> = await withCheckedContinuation { continuation in
            switch phase {
            case .closed: return continuation.resume(returning: .failure(Self.closed))
            case .idle:
                let error = RedisError(.notSent, .closed, "the connection was never started")
                return continuation.resume(returning: .failure(error))
            case .connecting, .ready, .waiting: break
            }
            guard waiters.count < options.waitersLimit else {
                let error = RedisError(.notSent, .overloaded, "too many wait for a connection")
                return continuation.resume(returning: .failure(error))
            }
            wait(continuation, deadline)
            demand()
        }
        return try answer.get()
    }

    private func wait(
        _ continuation: CheckedContinuation<Result<RedisSession, RedisError>, Never>, _ deadline: MonotonicTime
    ) {
        lastWaiter += 1
        let id = lastWaiter
        let timer = LoopTimer(on: loop) { [self] in assumeIsolated { $0.waitedTooLong(id) } }
        timer.schedule(afterNanoseconds: MonotonicTime.now.nanoseconds(until: deadline))
        waiters.append(Waiter(id: id, timer: timer, continuation: continuation))
        meter.update { $0.waiters += 1 }
    }

    private func waitedTooLong(_ id: UInt64) {
        guard let position = waiters.firstIndex(where: { $0.id == id }) else { return }
        let why = statistics.lastError.map { ": \($0.message)" } ?? ""
        end(waiters.remove(at: position), .failure(RedisError(.notSent, .deadline, "no connection in time\(why)")))
    }

    private func end(_ waiter: Waiter, _ answer: Result<RedisSession, RedisError>) {
        waiter.timer.close()
        meter.update { $0.waiters -= 1 }
        waiter.continuation.resume(returning: answer)
    }

    private func endWaiters(_ answer: Result<RedisSession, RedisError>) {
        let waiting = waiters
        waiters = []
        for waiter in waiting { end(waiter, answer) }
    }

    static let closed = RedisError(.notSent, .closed, "this side closed the connection")

    // MARK: - Lives

    private func connect() {
        retry?.close()
        retry = nil
        phase = .connecting
        lastAttempt = .now
        generation += 1
        let generation = generation
        task = Task(executorPreference: loop) { await self.attempt(generation) }
    }

    private func attempt(_ generation: UInt64) async {
        let timeout = options.connectTimeoutMilliseconds * 1_000_000
        do throws(RedisError) {
            let opened = try await openSession(deadline: .now.advanced(byNanoseconds: timeout)) { [weak self] error in
                self?.assumeIsolated { $0.lost(generation, error) }
            }
            // It may have broken since, which `lost` leaves to us while there is no phase to leave.
            let isOpen = await opened.isOpen
            guard phase == .connecting else { return await opened.close() }
            guard isOpen else { throw RedisError(.notSent, .connectionLost, "it broke before it was used") }
            phase = .ready
            meter.update {
                $0.connects += 1
                $0.isConnected = true
                $0.lastError = nil
            }
            options.onConnected()
            endWaiters(.success(opened))
        } catch {
            guard phase == .connecting else { return }
            meter.update { $0.failedConnects += 1 }
            retryLater(error)
        }
    }

    private func lost(_ generation: UInt64, _ error: RedisError) {
        guard phase == .ready, self.generation == generation else { return }
        // One that lasted has earned a quick return; one that breaks at once has not.
        let age = lastAttempt.nanoseconds(until: .now)
        if age >= backoff.longestNanoseconds { backoff.succeeded() }
        meter.update {
            $0.losses += 1
            $0.isConnected = false
        }
        retryLater(error)
    }

    private func retryLater(_ error: RedisError) {
        phase = .waiting
        session = nil
        meter.update { $0.lastError = error }
        let timer = LoopTimer(on: loop) { [weak self] in self?.assumeIsolated { $0.retryIsDue() } }
        retry = timer
        timer.schedule(afterNanoseconds: backoff.failed(random: random.next()))
        options.onLost(error)
    }

    private func retryIsDue() {
        if phase == .waiting { connect() }
    }

    /// Someone wants the connection: an attempt that waits for its turn is made now, unless the last was just now.
    private func demand() {
        guard phase == .waiting, lastAttempt.nanoseconds(until: .now) >= Self.demandAgeNanoseconds else { return }
        connect()
    }

    /// Ends everything: those who wait fail `notSent`, what is in flight `unknown`. Returns when every handle is closed
    /// and no task is left; safe to repeat.
    public func close() async {
        phase = .closed
        retry?.close()
        retry = nil
        endWaiters(.failure(Self.closed))
        meter.update { $0.isConnected = false }
        await resolver.close()
        await session?.close()
        await task?.value
        await session?.close()
        session = nil
        task = nil
    }
}
