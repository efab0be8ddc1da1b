// Waiting and deadlines of a connection, as values.

internal import Platform

/// How long to wait before the next attempt: exponential with full jitter (Brooker, "Exponential Backoff And Jitter",
/// 2015), so that the nodes of a cluster do not come back all at once.
struct Backoff: Hashable, Sendable {
    static let baseNanoseconds: UInt64 = 100_000_000
    static let capNanoseconds: UInt64 = 5_000_000_000

    private var attempts: UInt64 = 0

    /// A delay between nothing and 100 ms, 200 ms, 400 ms … 5 s, which grows with each call.
    mutating func next(random: UInt64) -> UInt64 {
        let ceiling = min(Self.capNanoseconds, Self.baseNanoseconds << min(attempts, 16))
        attempts += 1
        return random.multipliedFullWidth(by: ceiling + 1).high
    }

    mutating func reset() { attempts = 0 }
}

extension MonotonicTime {
    /// So many nanoseconds later; the last moment there is where that is too far.
    func advanced(byNanoseconds delta: UInt64) -> MonotonicTime {
        let (sum, isTooFar) = nanoseconds.addingReportingOverflow(delta)
        return MonotonicTime(nanoseconds: isTooFar ? .max : sum)
    }

    /// Nanoseconds until `later`; 0 where that has passed.
    func nanoseconds(until later: MonotonicTime) -> UInt64 {
        later.nanoseconds > nanoseconds ? later.nanoseconds - nanoseconds : 0
    }

    /// This deadline's share for one of `count` attempts that follow each other.
    func share(among count: Int) -> MonotonicTime {
        let now = MonotonicTime.now
        return now.advanced(byNanoseconds: now.nanoseconds(until: self) / UInt64(max(1, count)))
    }
}
