// Poll launches are limited per principal: 20 in any 60 seconds. The times of the last 20 are kept, so the window is
// exact, and the number of principals is bounded.

import Platform
import Protocol

/// Shared by the edges; asked once per launch, so that a lock costs nothing that matters.
final class LaunchLimiter: Sendable {
    static let launchesLimit = 20
    static let windowNanoseconds: UInt64 = 60_000_000_000
    /// Principals that are remembered; over it those without a launch in the window are forgotten, then any other.
    static let principalsLimit = 10_000

    private let launches = Locked<[String: [UInt64]]>([:])

    /// Takes one launch of `principal`, or throws `rate_limited` with the wait.
    func admit(_ principal: String, at now: UInt64) throws(ClientError) {
        let wait = launches.withLock { launches -> UInt64? in
            if launches[principal] == nil, launches.count >= Self.principalsLimit { Self.forget(&launches, at: now) }
            var times = (launches[principal] ?? []).filter { $0 + Self.windowNanoseconds > now }
            defer { launches[principal] = times }
            if times.count >= Self.launchesLimit, let oldest = times.min() {
                return oldest + Self.windowNanoseconds - now
            }
            times.append(now)
            return nil
        }
        guard let wait else { return }
        throw ClientError(
            .rateLimited, "at most \(Self.launchesLimit) launches a minute",
            retryAfterMilliseconds: Int(wait / 1_000_000) + 1)
    }

    private static func forget(_ launches: inout [String: [UInt64]], at now: UInt64) {
        launches = launches.filter { $0.value.contains { $0 + windowNanoseconds > now } }
        while launches.count >= principalsLimit, let any = launches.keys.first { launches[any] = nil }
    }
}
