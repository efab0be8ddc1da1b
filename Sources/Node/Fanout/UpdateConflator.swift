// When a poll's tally may leave: at once after a quiet moment (the leading edge), then at most ten times a second.

/// Decides for one campaign; times are monotonic nanoseconds.
struct UpdateConflator {
    static let intervalNanoseconds: UInt64 = 100_000_000

    private var lastSentAt: UInt64?
    /// Votes were committed that no sent update shows.
    private(set) var isOwed = false

    /// Committed votes changed the tally.
    mutating func tallyChanged() { isOwed = true }

    /// Whether an owed update may leave now.
    func mayLeave(at now: UInt64) -> Bool {
        guard let lastSentAt else { return true }
        return now &- lastSentAt >= Self.intervalNanoseconds
    }

    /// Nanoseconds until an owed update may leave; `nil` where none is owed.
    func delay(at now: UInt64) -> UInt64? {
        guard isOwed else { return nil }
        guard let lastSentAt, now &- lastSentAt < Self.intervalNanoseconds else { return 0 }
        return Self.intervalNanoseconds - (now &- lastSentAt)
    }

    /// An update that shows everything committed has left.
    mutating func updateSent(at now: UInt64) {
        lastSentAt = now
        isOwed = false
    }

    /// The poll's start or end was sent: it shows the whole tally, and nothing is owed any more.
    mutating func superseded() { isOwed = false }
}
