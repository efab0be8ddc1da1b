// How long to wait before something is tried again, so that the nodes of a cluster do not come back all at once.

/// Exponential with jitter (Brooker, "Exponential Backoff And Jitter", 2015).
public struct Backoff: Hashable, Sendable {
    /// How much of a pause chance may take away.
    public enum Jitter: Hashable, Sendable { case half, whole }

    /// What the first pause is at most.
    public let firstNanoseconds: UInt64
    /// What no pause is longer than.
    public let longestNanoseconds: UInt64
    private let jitter: Jitter
    private var failures: UInt64 = 0

    /// Starts without failures.
    public init(firstNanoseconds: UInt64, longestNanoseconds: UInt64, jitter: Jitter = .whole) {
        self.firstNanoseconds = firstNanoseconds
        self.longestNanoseconds = longestNanoseconds
        self.jitter = jitter
    }

    /// An attempt failed: nanoseconds until the next one. The most that they can be doubles with each failure in a row.
    ///
    /// - Parameter random: 64 random bits.
    public mutating func failed(random: UInt64) -> UInt64 {
        let most = min(longestNanoseconds, firstNanoseconds << min(failures, 16))
        failures += 1
        let least = jitter == .half ? most / 2 : 0
        return least + random.multipliedFullWidth(by: most - least + 1).high
    }

    /// What was tried has worked.
    public mutating func succeeded() { failures = 0 }
}

extension Backoff {
    /// To a store: 100 ms, 200 ms, 400 ms … 5 s at most.
    public static var toStore: Backoff { Backoff(firstNanoseconds: 100_000_000, longestNanoseconds: 5_000_000_000) }

    /// For what must be back soon after its store is: 100 ms, 200 ms, 400 ms … 500 ms at most.
    public static var urgent: Backoff { Backoff(firstNanoseconds: 100_000_000, longestNanoseconds: 500_000_000) }
}
