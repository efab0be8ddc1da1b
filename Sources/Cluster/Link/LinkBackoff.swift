// How long a dialer waits before it tries again: twice as long after each failure, up to two seconds, with chance in it,
// so that the nodes of a cluster do not come back to a restarted one all at once.

/// A pure decision; pauses are nanoseconds.
public struct LinkBackoff: Sendable {
    static let firstPause: UInt64 = 50_000_000
    static let longestPause: UInt64 = 2_000_000_000

    private var failures: UInt64 = 0

    /// Starts without failures.
    public init() {}

    /// The link was open.
    public mutating func succeeded() { failures = 0 }

    /// An attempt failed, or an open link was lost: the pause before the next one, between a half and the whole of what
    /// the failures in a row ask for.
    ///
    /// - Parameter random: 64 random bits.
    public mutating func failed(random: UInt64) -> UInt64 {
        let whole = min(Self.longestPause, Self.firstPause << min(failures, 16))
        failures += 1
        return whole / 2 + random % (whole / 2 + 1)
    }
}
