// Launches of a principal by all nodes together, counted in Redis. Where Redis does not answer, each node counts for
// itself: polls are launched all the same.

import Platform
import Protocol
import Redis

actor SharedLaunchLimiter: LaunchLimiter {
    /// Launches that may wait for an answer; what comes beyond is decided by this node alone.
    static let questionsLimit = 1024
    /// What an answer may take.
    static let patience: UInt64 = 500_000_000
    /// How long Redis is not asked after it did not answer.
    static let pauseNanoseconds: UInt64 = 1_000_000_000

    private struct Question: Sendable {
        let principal: String
        let at: UInt64
        let decided: @Sendable (ClientError?) -> Void
    }

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
    private nonisolated let connection: RedisConnection
    private nonisolated let own = LocalLaunchLimiter()
    private nonisolated let questions = Inbox<Question>(limit: questionsLimit)
    private let key: String
    private let window: UInt64
    private let patience: UInt64
    private let clock: any Clock
    private let random: any RandomSource
    private let log: Log
    private var pump: Task<Void, Never>?
    /// Until when Redis is left alone; 0 while it answers.
    private var awayUntil: UInt64 = 0

    /// - Parameter key: what the keys of principals begin with.
    init(
        _ configuration: RedisConfiguration, key: String, window: UInt64 = LocalLaunchLimiter.windowNanoseconds,
        patience: UInt64 = SharedLaunchLimiter.patience, on loop: EventLoop, clock: any Clock, random: any RandomSource,
        log: Log
    ) {
        connection = RedisConnection(configuration, on: loop, random: random)
        (self.key, self.loop, self.window, self.patience) = (key, loop, window, patience)
        (self.clock, self.random, self.log) = (clock, random, log)
    }

    func start() async {
        await connection.start()
        pump = Task(executorPreference: loop) { await self.run() }
    }

    /// Everything that was asked since `start` is answered before it returns.
    func stop() async {
        questions.finish()
        // Whatever still waits for Redis is decided here.
        await connection.close()
        await pump?.value
    }

    nonisolated func admit(_ principal: String, at now: UInt64, decided: @escaping @Sendable (ClientError?) -> Void) {
        // Whoever has used up its launches here need not be asked about.
        if let refusal = own.refusal(of: principal, at: now) { return decided(refusal) }
        if !questions.post(Question(principal: principal, at: now, decided: decided)) {
            decided(own.take(principal, at: now))
        }
    }

    private func run() async {
        while let batch = await questions.next(recycling: []) {
            // Side by side: they travel in one write, and none waits for another's answer.
            let asked = batch.map { question in Task(executorPreference: loop) { await self.decide(question) } }
            for one in asked { await one.value }
        }
    }

    private func decide(_ question: Question) async {
        let wait = await waitMilliseconds(question.principal)
        question.decided(
            wait > 0
                ? LocalLaunchLimiter.refusal(waitMilliseconds: wait) : own.take(question.principal, at: question.at))
    }

    /// How long until the principal may launch; 0 where this launch was taken, or Redis does not say.
    private func waitMilliseconds(_ principal: String) async -> Int {
        guard clock.monotonic().nanoseconds >= awayUntil else { return 0 }
        let member = (0..<2).map { _ in random.next() }.map { String($0, radix: 36) }.joined(separator: "-")
        do throws(RedisError) {
            let reply = try await Self.taking.run(
                on: connection, keys: [key + principal],
                arguments: [
                    RedisArgument(Int(window / 1_000_000)), RedisArgument(LocalLaunchLimiter.launchesLimit),
                    RedisArgument(member),
                ], deadline: MonotonicTime.now.advanced(byNanoseconds: patience))
            if awayUntil != 0 { log.info("launches.redis_recovered", []) }
            awayUntil = 0
            guard case .integer(let wait) = reply else { return 0 }
            return Int(clamping: wait)
        } catch {
            if awayUntil == 0 { log.warn("launches.redis_failed", [("reason", .string(error.description))]) }
            awayUntil = clock.monotonic().nanoseconds + Self.pauseNanoseconds
            return 0
        }
    }

    /// The times of a principal's launches in the window, by the server's clock: the key is gone once all are over. Those in
    /// the future are of a clock that was set back since.
    private static let taking = RedisScript(
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local window = tonumber(ARGV[1])
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
            local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
            return math.max(1, tonumber(oldest[2]) + window - now)
        end
        redis.call('ZADD', KEYS[1], now, ARGV[3])
        redis.call('PEXPIRE', KEYS[1], window)
        return 0
        """)
}
