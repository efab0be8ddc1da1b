// The listener's end of an open link: which frames may come, which requests are answered without asking anybody, how
// much may wait for a node that reads slowly, and when a silent dialer is given up.

/// Why a listener closes a link.
public enum ServingFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// A frame of a kind that a dialer does not send.
    case unexpectedKind(FrameKind)
    /// The dialer takes its answers and events too slowly. It dials again, and resubscribes.
    case tooSlow
    /// Nothing came from the dialer, not even pings.
    case silent

    /// A few words for the log.
    public var description: String {
        switch self {
        case .unexpectedKind(let kind): "a frame of kind \(kind) has no place here"
        case .tooSlow: "the other node reads too slowly"
        case .silent: "nothing was heard from the other node"
        }
    }
}

/// A pure machine; times are monotonic nanoseconds.
public struct ServingMachine: Sendable {
    /// Requests of one link without an answer. A dialer has fewer under way; those whose time ran out there count here.
    public static let openRequestsLimit = 32_768
    /// Bytes of answers and events that wait for one dialer.
    public static let queuedBytesLimit = 8 << 20
    /// How long a dialer may be silent, or take nothing: six of its pings.
    static let patience: UInt64 = 3_000_000_000
    /// Between two ticks at most; a longer gap means that this process was stopped, and heard nobody.
    static let tickGapLimit: UInt64 = 1_000_000_000

    /// What to do with a frame.
    public enum Verdict: Hashable, Sendable {
        /// Hand it to whoever serves.
        case deliver
        /// Answer it so.
        case answer(PeerError)
        /// Answer with a pong.
        case pong
        /// Pass the link's bytes on to another node.
        case relay
        /// Close the link.
        case close(ServingFault)
    }

    private var lastHeard: UInt64
    private var lastTick: UInt64
    private var blockedSince: UInt64?

    /// Requests without an answer.
    public private(set) var openRequests = 0
    /// Whether goodbye was said.
    public private(set) var isLeaving = false

    /// A link that opened just now.
    public init(now: UInt64) {
        lastHeard = now
        lastTick = now
    }

    /// A frame arrived.
    public mutating func received(_ header: FrameHeader, now: UInt64) -> Verdict {
        lastHeard = now
        switch header.kind {
        case .ping: return .pong
        case .unsubscribe, .presence: return .deliver
        case .relay:
            // Only of a fresh link: nobody may wait for an answer on it.
            return openRequests == 0 && !isLeaving ? .relay : .answer(PeerError(.unavailable))
        case .request, .subscribe:
            guard !isLeaving else { return .answer(PeerError(.unavailable)) }
            guard (1...ClusterFrame.hopsLimit).contains(header.hops) else { return .answer(PeerError(.hopsExceeded)) }
            guard header.remainingMilliseconds > 0 else { return .answer(PeerError(.expired)) }
            guard openRequests < Self.openRequestsLimit else {
                return .answer(PeerError(.overloaded, retryAfterMilliseconds: 1000))
            }
            openRequests += 1
            return .deliver
        case .hello, .challenge, .proof, .welcome, .refusal, .pong, .goodbye, .relayed, .reply, .error, .event, .moved:
            return .close(.unexpectedKind(header.kind))
        }
    }

    /// A request that was delivered got its answer.
    public mutating func answered() {
        precondition(openRequests > 0, "a link's request was answered twice")
        openRequests -= 1
    }

    /// Whether so many bytes may still wait; if not, the link must go: answers and events are never dropped.
    public func admits(_ bytes: Int, waiting: Int) -> Bool { waiting + bytes <= Self.queuedBytesLimit }

    /// The socket takes nothing more; nothing is read meanwhile either, so that a slow dialer gets slower itself.
    public mutating func blocked(now: UInt64) { blockedSince = blockedSince ?? now }

    /// The socket takes bytes again.
    public mutating func drained(now: UInt64) {
        blockedSince = nil
        lastHeard = now
    }

    /// This side takes no further requests.
    public mutating func leaves() { isLeaving = true }

    /// Whether nothing keeps the link any more.
    public var isDone: Bool { isLeaving && openRequests == 0 }

    /// Time has passed; call every 50 ms or so.
    public mutating func ticked(now: UInt64) -> ServingFault? {
        let wasStopped = now - lastTick > Self.tickGapLimit
        lastTick = now
        if wasStopped {
            lastHeard = now
            if blockedSince != nil { blockedSince = now }
        }
        if let blockedSince { return now - blockedSince > Self.patience ? .tooSlow : nil }
        return now - lastHeard > Self.patience ? .silent : nil
    }
}
