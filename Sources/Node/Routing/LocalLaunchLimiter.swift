// Poll launches are limited per principal: 20 in any 60 seconds. The times of the last 20 are kept, so the window is
// exact, and the number of principals is bounded.

import Platform
import Protocol

/// Counts the launches that came in by this node; asked once per launch, so that a lock costs nothing that matters.
final class LocalLaunchLimiter: LaunchLimiter {
    static let launchesLimit = 20
    static let windowNanoseconds: UInt64 = 60_000_000_000
    /// Principals that are remembered; over it those without a launch in the window are forgotten, then any other.
    static let principalsLimit = 10_000

    private let launches = Locked<[String: [UInt64]]>([:])

    func admit(_ principal: String, at now: UInt64, decided: @escaping @Sendable (ClientError?) -> Void) {
        decided(take(principal, at: now))
    }

    /// Takes one launch, or says why not.
    func take(_ principal: String, at now: UInt64) -> ClientError? {
        launches.withLock { launches in
            if launches[principal] == nil, launches.count >= Self.principalsLimit { Self.forget(&launches, at: now) }
            var times = (launches[principal] ?? []).filter { $0 + Self.windowNanoseconds > now }
            defer { launches[principal] = times }
            if let refusal = Self.refusal(times, at: now) { return refusal }
            times.append(now)
            return nil
        }
    }

    /// Why a launch would be refused; nothing is taken.
    func refusal(of principal: String, at now: UInt64) -> ClientError? {
        launches.withLock { launches in
            Self.refusal((launches[principal] ?? []).filter { $0 + Self.windowNanoseconds > now }, at: now)
        }
    }

    private static func refusal(_ times: [UInt64], at now: UInt64) -> ClientError? {
        guard times.count >= launchesLimit, let oldest = times.min() else { return nil }
        return refusal(waitMilliseconds: Int((oldest + windowNanoseconds - now) / 1_000_000) + 1)
    }

    static func refusal(waitMilliseconds: Int) -> ClientError {
        ClientError(
            .rateLimited, "at most \(launchesLimit) launches a minute", retryAfterMilliseconds: waitMilliseconds)
    }

    private static func forget(_ launches: inout [String: [UInt64]], at now: UInt64) {
        launches = launches.filter { $0.value.contains { $0 + windowNanoseconds > now } }
        while launches.count >= principalsLimit, let any = launches.keys.first { launches[any] = nil }
    }
}
