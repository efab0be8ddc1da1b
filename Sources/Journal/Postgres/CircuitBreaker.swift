// Keeps a store that is in trouble from being asked over and over: after a failure it is left alone for a while, the
// longer the more failures came in a row, and then one attempt decides.
//
//   closed ──failure──► open ──pause over──► trying ──success──► closed
//                         ▲                     │
//                         └──────failure────────┘

/// A pure decision; times are monotonic nanoseconds.
struct CircuitBreaker {
    static let firstPause: UInt64 = 50_000_000
    static let longestPause: UInt64 = 1_000_000_000
    /// Failures in a row before the store is left alone.
    static let tolerance = 2

    private(set) var failures = 0
    private var openUntil: UInt64 = 0
    private var isTrying = false

    /// Whether an attempt may be made now; it must be answered by `succeeded` or `failed`.
    mutating func admits(at now: UInt64) -> Bool {
        guard failures >= Self.tolerance else { return true }
        guard !isTrying, now >= openUntil else { return false }
        isTrying = true
        return true
    }

    mutating func succeeded() {
        failures = 0
        isTrying = false
    }

    /// - Parameter spread: 0 to 1; so that nodes which failed together do not come back together.
    mutating func failed(at now: UInt64, spread: Double) {
        failures += 1
        isTrying = false
        let exponent = min(max(0, failures - Self.tolerance), 8)
        let pause = min(Self.longestPause, Self.firstPause << UInt64(exponent))
        openUntil = now + pause / 2 + UInt64(Double(pause / 2) * min(max(spread, 0), 1))
    }
}
