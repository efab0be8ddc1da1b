internal import Platform

/// Figures of a connection, over all its lives.
public struct RedisStatistics: Hashable, Sendable {
    /// Connections made; all but the first are reconnections.
    public var connects: UInt64 = 0
    /// Attempts that made none.
    public var failedConnects: UInt64 = 0
    /// Connections that broke or were closed after a deadline.
    public var losses: UInt64 = 0
    /// Whether there is a connection now.
    public var isConnected = false
    /// Commands that were answered, refusals and those that set up a connection included.
    public var commands: UInt64 = 0
    /// Commands that the server refused.
    public var refusals: UInt64 = 0
    /// Commands that ended with an unknown outcome.
    public var unknownOutcomes: UInt64 = 0
    /// Commands that were sent and not yet answered.
    public var inFlight = 0
    /// Callers that wait for a connection.
    public var waiters = 0
    /// The newest failure to connect or loss; `nil` again after a connection was made.
    public var lastError: RedisError?
    /// Answers by latency: bucket i counts those under 2^i × 64 µs; the last bucket takes the rest.
    public var latencyBuckets: [UInt64] = Array(repeating: 0, count: 20)
    /// Sum of all latencies in nanoseconds.
    public var latencyNanoseconds: UInt64 = 0

    /// No figures yet.
    public init() {}

    mutating func observe(nanoseconds: UInt64) {
        let scaled = nanoseconds / 64_000
        let bucket = min(scaled == 0 ? 0 : 64 - scaled.leadingZeroBitCount, latencyBuckets.count - 1)
        latencyBuckets[bucket] += 1
        latencyNanoseconds &+= nanoseconds
    }
}

/// Where a connection counts; any thread reads it.
final class RedisMeter: Sendable {
    private let figures = Locked(RedisStatistics())

    var statistics: RedisStatistics { figures.withLock { $0 } }

    func update(_ change: (inout RedisStatistics) -> Void) { figures.withLock { change(&$0) } }
}
