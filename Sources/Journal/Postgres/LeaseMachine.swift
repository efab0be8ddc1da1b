// A node's lease, decided from what the server answered and when it was asked. While it holds, nobody may declare the
// node dead; once its deadline has passed, the node neither writes nor shows anything until a renewal is answered.
//
//   held ──deadline passed──► suspended ──renewed──► held
//    └──────────┬──────────────────┘
//               └──the row is gone or marked dead──► lost      (for good: the process ends)

/// A pure machine; times are nanoseconds of a clock that runs on while the machine sleeps.
struct LeaseMachine: Sendable {
    /// How long a lease lasts without a renewal.
    static let ttl: UInt64 = 3_000_000_000
    /// The node stops this long before the server may let others act.
    static let margin: UInt64 = 750_000_000
    static let renewalInterval: UInt64 = 1_000_000_000
    /// After a renewal that failed: the server may be back at any moment, and others may count the time.
    static let retryInterval: UInt64 = 250_000_000
    /// A renewal that took longer says that the node, or the server, was in trouble.
    static let promptRenewal: UInt64 = 750_000_000

    /// This lease's length; tests that are not about leases have a long one.
    let ttl: UInt64
    private(set) var deadline: UInt64 = 0
    private(set) var isLost = false
    /// Since when renewals have succeeded one after the other, each promptly.
    private var unbrokenSince: UInt64?

    init(ttl: UInt64 = LeaseMachine.ttl) { self.ttl = ttl }

    /// A renewal that was sent at `sentAt` returned its row at `now`.
    mutating func renewed(sentAt: UInt64, now: UInt64) {
        guard !isLost else { return }
        // Who was suspended stood still itself, perhaps with others, who get the same time to come back.
        if sentAt >= deadline { unbrokenSince = nil }
        // Counted from before the sending: the server's own count began later.
        deadline = max(deadline, sentAt + ttl - Self.margin)
        let isPrompt = now >= sentAt && now - sentAt <= Self.promptRenewal
        if !isPrompt { unbrokenSince = nil } else if unbrokenSince == nil { unbrokenSince = sentAt }
    }

    /// A renewal got no answer, or an error.
    mutating func failed() { unbrokenSince = nil }

    /// The session of renewals had to be opened anew: whatever ended the last one may have kept others from renewing, and
    /// gets them the same time to come back.
    mutating func reconnected() { unbrokenSince = nil }

    /// The server answered that there is no such living node: others may own what this one owned.
    mutating func lost() {
        isLost = true
        deadline = 0
        unbrokenSince = nil
    }

    /// Whether anything may be written or shown at `now`, a reading made just before.
    func holds(at now: UInt64) -> Bool { !isLost && now < deadline }

    /// Whether this node may declare another dead: after an outage of the server every lease has lapsed, and the first
    /// one back must not kill the rest.
    func mayAccuse(at now: UInt64) -> Bool {
        guard holds(at: now), let unbrokenSince else { return false }
        return now >= unbrokenSince + ttl
    }
}
