// Whether a node is cut off from its peers, decided from who lives and whom it reaches. One that reaches fewer than half
// of the living nodes for five seconds gives its slots away: most clients could not get to them. On a tie the half with
// the lowest name stays, so that of two halves exactly one does.
//
//   starting ──reaches half──► connected ◄──reaches half── doubtful
//      │                          └──does not──────────────►  │
//      └──five seconds──► isolated ◄───────five seconds───────┘
//                             └──reaches half──► connected

/// A pure machine; times are monotonic nanoseconds.
public struct IsolationMachine: Sendable {
    /// How long a node may reach too few before it counts as cut off.
    public static let patience: UInt64 = 5_000_000_000

    private enum State: Sendable {
        /// It has not reached half of the nodes yet. Can transition to: connected, isolated.
        case starting(since: UInt64?)
        /// It reaches half of them, or more. Can transition to: doubtful.
        case connected
        /// It did until lately. Can transition to: connected, isolated.
        case doubtful(since: UInt64)
        /// It has not for too long. Can transition to: connected.
        case isolated
    }

    private var state = State.starting(since: nil)

    /// A node that has looked around not yet.
    public init() {}

    /// Whether the node is cut off: it gives its slots away.
    public var isIsolated: Bool { if case .isolated = state { true } else { false } }

    /// Whether the node reached half of the others when it last looked.
    public var reachesHalf: Bool { if case .connected = state { true } else { false } }

    /// Whether the node may take slots: it has reached half of the nodes, and is not cut off.
    public var mayTake: Bool {
        switch state {
        case .connected, .doubtful: true
        case .starting, .isolated: false
        }
    }

    /// The node has looked around.
    ///
    /// - Parameters:
    ///   - name: its own.
    ///   - living: the names of all nodes whose leases hold, its own among them or not.
    ///   - reached: the names of those to which an open link leads, relays included.
    public mutating func looked(name: String, living: Set<String>, reached: Set<String>, now: UInt64) {
        let all = living.union([name])
        let side = all.intersection(reached).union([name])
        let isEnough =
            2 * side.count > all.count || (2 * side.count == all.count && all.min().map(side.contains) ?? true)
        switch state {
        case _ where isEnough: state = .connected
        case .starting(nil): state = .starting(since: now)
        case .connected: state = .doubtful(since: now)
        case .starting(let since?), .doubtful(let since): if now >= since + Self.patience { state = .isolated }
        case .isolated: break
        }
    }
}
