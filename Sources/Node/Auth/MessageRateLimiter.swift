// How many messages a connection may send. Services and open mode are never limited.

import Protocol

/// A token bucket; times are monotonic nanoseconds.
struct MessageRateLimiter {
    private let perSecond: UInt64
    private let burst: UInt64
    /// Tokens in billionths.
    private var tokens: UInt64
    private var refilledAt: UInt64

    private static let unit: UInt64 = 1_000_000_000

    init?(for principal: Principal, at now: UInt64) {
        switch principal.role {
        case .service: return nil
        case .host: self.init(perSecond: 100, burst: 200, at: now)
        case .voter: self.init(perSecond: 20, burst: 100, at: now)
        }
    }

    init(perSecond: UInt64, burst: UInt64, at now: UInt64) {
        self.perSecond = perSecond
        self.burst = burst
        tokens = burst * Self.unit
        refilledAt = now
    }

    /// Takes one message; `nil` where it may pass, else the milliseconds to wait.
    mutating func refusal(at now: UInt64) -> Int? {
        // Longer absences than it takes to fill the bucket count no more than that.
        let elapsed = min(now > refilledAt ? now - refilledAt : 0, burst * Self.unit / perSecond)
        tokens = min(burst * Self.unit, tokens + elapsed * perSecond)
        refilledAt = now
        guard tokens < Self.unit else {
            tokens -= Self.unit
            return nil
        }
        return Int((Self.unit - tokens) / perSecond / 1_000_000) + 1
    }
}
