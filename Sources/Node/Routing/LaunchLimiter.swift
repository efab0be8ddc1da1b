// Poll launches are limited per principal: 20 in 60 seconds. A sliding window would remember every launch; a bucket
// that refills once in three seconds has the same long-run rate and needs two words.

import Platform
import Protocol

/// Shared by the edges; asked once per launch, so that a lock costs nothing that matters.
final class LaunchLimiter: Sendable {
    static let burst: UInt64 = 20
    static let refillNanoseconds: UInt64 = 3_000_000_000
    /// Principals that are remembered; over it those whose buckets are full again are forgotten.
    static let principalsLimit = 10_000

    private struct Bucket {
        var tokens: UInt64
        var refilledAt: UInt64
    }

    private let buckets = Locked<[String: Bucket]>([:])

    /// Takes one launch of `principal`, or throws `rate_limited` with the wait.
    func admit(_ principal: String, at now: UInt64) throws(ClientError) {
        let wait = buckets.withLock { buckets -> UInt64? in
            if buckets.count >= Self.principalsLimit {
                buckets = buckets.filter { now &- $0.value.refilledAt < Self.burst * Self.refillNanoseconds }
            }
            var bucket = buckets[principal] ?? Bucket(tokens: Self.burst, refilledAt: now)
            let refills = (now &- bucket.refilledAt) / Self.refillNanoseconds
            bucket.tokens = min(Self.burst, bucket.tokens + refills)
            bucket.refilledAt = bucket.tokens == Self.burst ? now : bucket.refilledAt + refills * Self.refillNanoseconds
            guard bucket.tokens > 0 else {
                buckets[principal] = bucket
                return Self.refillNanoseconds - (now &- bucket.refilledAt)
            }
            bucket.tokens -= 1
            buckets[principal] = bucket
            return nil
        }
        guard let wait else { return }
        throw ClientError(
            .rateLimited, "at most \(Self.burst) launches a minute", retryAfterMilliseconds: Int(wait / 1_000_000) + 1)
    }
}
