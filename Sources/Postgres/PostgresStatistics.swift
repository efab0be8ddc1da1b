internal import Platform

/// Figures of a pool, or of a connection of its own, since it was made.
public struct PostgresStatistics: Hashable, Sendable {
    /// Connections made.
    public var connects: UInt64 = 0
    /// Attempts that made none.
    public var failedConnects: UInt64 = 0
    /// Connections that broke or were closed after a deadline.
    public var losses: UInt64 = 0
    /// Connections that are ready now.
    public var connected = 0
    /// Statements that were answered, refusals included.
    public var queries: UInt64 = 0
    /// Statements that the server refused.
    public var refusals: UInt64 = 0
    /// Statements that ended with an unknown outcome.
    public var unknownOutcomes: UInt64 = 0
    /// Statements that are being run.
    public var inFlight = 0
    /// Statements that wait for their turn on a connection.
    public var queued = 0
    /// Callers that wait for a connection.
    public var waiters = 0
    /// The newest failure to connect or loss; `nil` again after a connection was made.
    public var lastError: PostgresError?
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
        latencyNanoseconds += nanoseconds
    }
}

/// Where connections and pools count; any thread reads it.
public final class PostgresMeter: Sendable {
    private let figures = Locked(PostgresStatistics())

    /// Starts at zero.
    public init() {}

    /// The figures now.
    public var statistics: PostgresStatistics { figures.withLock { $0 } }

    func update(_ change: (inout PostgresStatistics) -> Void) { figures.withLock { change(&$0) } }
}
