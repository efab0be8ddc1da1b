// The dialer's end of an open link: which requests are under way, what waits while the socket takes nothing, and whether
// the other node still lives.
//
//   submit ──► write now ──► in flight ──answer──► done
//        └───► queued (blocked) ──drained──┘  └──deadline, link closed──► failed, and whether it had been sent
//
// Every request that was taken ends exactly once. Pings go out every 500 ms; anything that arrives counts as a sign of
// life. Missed pings are counted, not time: a process that was stopped itself must not suspect the others.

/// The bounds of one link.
public struct LinkLimits: Hashable, Sendable {
    /// Requests without an answer, those that wait for the socket included.
    public var requestsInFlight = 16_384
    /// Bytes of frames that wait: for the end of the turn, or for the socket.
    public var queuedBytes = 4 << 20

    /// The defaults.
    public init() {}
}

/// Why a link took no request. Nothing was sent.
public enum LinkRefusal: Error, Hashable, Sendable {
    /// There is no open link to the node.
    case notOpen
    /// The other node said goodbye.
    case leaving
    /// As much is under way or waits as may.
    case overloaded
    /// The request has no time left.
    case expired
    /// The frame has passed as many nodes as it may.
    case hopsExceeded
}

/// What became of a request that got no answer.
public struct LinkLoss: Hashable, Sendable {
    /// The submitter's mark.
    public let token: UInt64
    /// Whether any byte of it may have reached the other node: if not, it can be sent elsewhere without a second thought.
    public let wasSent: Bool
}

/// A pure machine; times are monotonic nanoseconds.
public struct LinkMachine: Sendable {
    /// Between two pings.
    public static let pingInterval: UInt64 = 500_000_000
    /// Pings without a sign of life, after which the other node is under suspicion.
    static let suspicionLimit = 2
    /// Pings without a sign of life, after which the link is given up.
    static let silenceLimit = 6

    /// What became of a submitted frame.
    public enum Submission: Hashable, Sendable {
        /// Write it now, under this header.
        case write(FrameHeader)
        /// It waits until the socket has drained.
        case queued
        /// It was not taken.
        case refused(LinkRefusal)
    }

    /// A frame that waited.
    public struct Waiting: Hashable, Sendable {
        /// As it is to be written.
        public var header: FrameHeader
        /// Its body.
        public let body: [UInt8]
    }

    /// What is to be done.
    public enum Action: Hashable, Sendable {
        /// Write this frame, which has no body.
        case write(FrameHeader)
        /// Pings stay unanswered.
        case suspect
        /// There was a sign of life after a suspicion.
        case trust
        /// The request's time has run out.
        case expire(LinkLoss)
        /// Nothing was heard for too long: close the link.
        case giveUp
    }

    private struct Entry: Sendable {
        /// 0 where the place is free.
        var id: UInt64 = 0
        var token: UInt64 = 0
        var deadline: UInt64 = 0
        var isSent = false
    }

    private let limits: LinkLimits
    /// Requests under way, at their id modulo the size, which is a power of two.
    private var entries: [Entry]
    private var lastID: UInt64 = 0
    /// No request's deadline is before this.
    private var earliestDeadline = UInt64.max

    private var waiting: [Waiting] = []
    private var nextPing: UInt64
    private var pingSentAt: UInt64?
    private var pingID: UInt64 = 0
    private var missedPings = 0

    /// Requests without an answer.
    public private(set) var inFlight = 0
    /// Bytes of frames that the socket has not taken.
    public private(set) var queuedBytes = 0
    /// Whether the socket takes nothing.
    public private(set) var isBlocked = false
    /// Whether the other node takes no further requests.
    public private(set) var isLeaving = false
    /// Whether pings stay unanswered.
    public private(set) var isSuspected = false
    /// How long the last ping took that was answered.
    public private(set) var roundTripNanoseconds: UInt64?

    /// A link that opened just now.
    public init(limits: LinkLimits = LinkLimits(), now: UInt64) {
        precondition(limits.requestsInFlight >= 1)
        self.limits = limits
        entries = Array(repeating: Entry(), count: 64)
        nextPing = now + Self.pingInterval
    }

    // MARK: - Requests

    /// Takes a frame that an answer follows.
    ///
    /// - Parameters:
    ///   - header: with the time that is left and the nodes passed so far; the id is given here.
    ///   - token: the submitter's mark, told at the end.
    public mutating func submit(
        _ header: FrameHeader, body: [UInt8], token: UInt64, now: UInt64
    ) -> Submission {
        precondition(header.kind == .request || header.kind == .subscribe, "\(header.kind) gets no answer")
        guard !isLeaving else { return .refused(.leaving) }
        guard header.remainingMilliseconds > 0 else { return .refused(.expired) }
        guard header.hops < ClusterFrame.hopsLimit else { return .refused(.hopsExceeded) }
        guard inFlight < limits.requestsInFlight, fits(header, body) else { return .refused(.overloaded) }
        var header = header
        header.remainingMilliseconds = min(header.remainingMilliseconds, ClusterFrame.remainingMillisecondsLimit)
        header.hops += 1
        let deadline = now + UInt64(header.remainingMilliseconds) * 1_000_000
        header.request = enter(token: token, deadline: deadline)
        return send(header, body)
    }

    /// Takes a frame without an answer: the end of a subscription, or its clients.
    public mutating func submit(_ header: FrameHeader, body: [UInt8]) -> Submission {
        precondition(
            header.kind == .unsubscribe || header.kind == .presence, "\(header.kind) is not for this")
        guard fits(header, body) else { return .refused(.overloaded) }
        var header = header
        header.hops = 1
        return send(header, body)
    }

    private func fits(_ header: FrameHeader, _ body: [UInt8]) -> Bool {
        queuedBytes + ClusterFrame.byteCount(header, bodyBytes: body.count) <= limits.queuedBytes
    }

    private mutating func send(_ header: FrameHeader, _ body: [UInt8]) -> Submission {
        queuedBytes += ClusterFrame.byteCount(header, bodyBytes: body.count)
        guard isBlocked else { return .write(header) }
        waiting.append(Waiting(header: header, body: body))
        return .queued
    }

    /// An answer arrived: the token of its request, or `nil` where none is under way any more under this id.
    public mutating func answered(_ request: UInt64) -> UInt64? {
        let place = self.place(request)
        guard request != 0, entries[place].id == request else { return nil }
        inFlight -= 1
        entries[place].id = 0
        return entries[place].token
    }

    private func place(_ id: UInt64) -> Int { Int(truncatingIfNeeded: id & UInt64(entries.count - 1)) }

    private mutating func enter(token: UInt64, deadline: UInt64) -> UInt64 {
        if inFlight == entries.count { grow() }
        repeat { lastID += 1 } while entries[place(lastID)].id != 0
        entries[place(lastID)] = Entry(id: lastID, token: token, deadline: deadline, isSent: !isBlocked)
        inFlight += 1
        earliestDeadline = min(earliestDeadline, deadline)
        return lastID
    }

    private mutating func grow() {
        let old = entries
        entries = Array(repeating: Entry(), count: 2 * old.count)
        // Places that differ modulo the old size differ modulo the new one.
        for entry in old where entry.id != 0 { entries[place(entry.id)] = entry }
    }

    // MARK: - The socket

    /// The socket has taken everything that was to be written.
    public mutating func flushed() { if !isBlocked { queuedBytes = 0 } }

    /// The socket takes nothing more.
    public mutating func blocked() { isBlocked = true }

    /// The socket takes bytes again: what waited, to be written in this order, each with the time that it still has.
    public mutating func drained(now: UInt64) -> [Waiting] {
        isBlocked = false
        queuedBytes = 0
        guard !waiting.isEmpty else { return [] }
        let frames = waiting
        waiting = []
        var ready: [Waiting] = []
        ready.reserveCapacity(frames.count)
        for var frame in frames {
            if frame.header.request != 0 {
                let place = self.place(frame.header.request)
                let entry = entries[place]
                // Its time has run out: the submitter has been told, or the next tick tells.
                guard entry.id == frame.header.request, entry.deadline >= now + 1_000_000 else { continue }
                entries[place].isSent = true
                frame.header.remainingMilliseconds = UInt32((entry.deadline - now) / 1_000_000)
            }
            queuedBytes += ClusterFrame.byteCount(frame.header, bodyBytes: frame.body.count)
            ready.append(frame)
        }
        return ready
    }

    /// Something arrived.
    public mutating func heard() -> Action? {
        missedPings = 0
        guard isSuspected else { return nil }
        isSuspected = false
        return .trust
    }

    /// A ping was answered.
    public mutating func ponged(_ request: UInt64, now: UInt64) {
        guard request == pingID, let sentAt = pingSentAt else { return }
        pingSentAt = nil
        roundTripNanoseconds = now - sentAt
    }

    /// The other node takes no further requests.
    public mutating func saidGoodbye() { isLeaving = true }

    /// Whether nothing keeps the link any more.
    public var isDone: Bool { isLeaving && inFlight == 0 }

    // MARK: - Time

    /// Time has passed; call every 50 ms or so.
    public mutating func ticked(now: UInt64) -> [Action] {
        var actions: [Action] = []
        if now >= earliestDeadline { expire(now, into: &actions) }
        guard now >= nextPing else { return actions }
        nextPing = now + Self.pingInterval
        if missedPings >= Self.silenceLimit {
            actions.append(.giveUp)
            return actions
        }
        if missedPings >= Self.suspicionLimit, !isSuspected {
            isSuspected = true
            actions.append(.suspect)
        }
        missedPings += 1
        // A blocked socket would only carry it too late; that it is blocked is no sign of life either.
        if !isBlocked {
            pingID += 1
            pingSentAt = now
            actions.append(.write(FrameHeader(.ping, request: pingID)))
        }
        return actions
    }

    private mutating func expire(_ now: UInt64, into actions: inout [Action]) {
        var earliest = UInt64.max
        for place in entries.indices where entries[place].id != 0 {
            let entry = entries[place]
            if entry.deadline <= now {
                entries[place].id = 0
                inFlight -= 1
                actions.append(.expire(LinkLoss(token: entry.token, wasSent: entry.isSent)))
            } else {
                earliest = min(earliest, entry.deadline)
            }
        }
        earliestDeadline = earliest
    }

    /// The link is gone: every request that got no answer, in the order of submission.
    public mutating func closed() -> [LinkLoss] {
        let left = entries.filter { $0.id != 0 }.sorted { $0.id < $1.id }
        entries = Array(repeating: Entry(), count: 64)
        inFlight = 0
        waiting = []
        queuedBytes = 0
        isLeaving = true
        return left.map { LinkLoss(token: $0.token, wasSent: $0.isSent) }
    }
}
