// The dialer's end of a link: one for each loop and peer. It dials, shakes hands, carries requests and their answers,
// and dials again after a loss, until it is closed.
//
//   resolving ─► connecting ─► shaking hands ─► open ──lost──┐
//        ▲            └──failed──────┘└──refused─┐           │
//        └────────────────── pause ◄─────────────┴───────────┘
//
// Where the node cannot be reached, the link leads through another one: see `Link+Relay.swift`.
//
// A request that is taken gets exactly one outcome, by way of the handler, on the loop: an answer, or what became of it.

public import Platform

/// Why a link that was open is so no longer.
public enum LinkCloseReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// This side closed it.
    case local
    /// The other node said goodbye, and everything was answered.
    case goodbye
    /// The other node closed the connection.
    case endOfStream
    /// The connection broke; the errno value.
    case broken(Int32)
    /// Pings stayed unanswered.
    case silent
    /// It led through another node, and need not any more.
    case detour
    /// Something arrived that is no frame.
    case garbage(FrameError)
    /// A frame arrived that a listener does not send.
    case unexpectedKind(FrameKind)

    /// A few words for the log.
    public var description: String {
        switch self {
        case .local: "closed here"
        case .goodbye: "the other node left"
        case .endOfStream: "the other node closed the connection"
        case .broken(let code): "the connection broke, errno \(code)"
        case .silent: "nothing was heard from the other node"
        case .detour: "the other node can be reached without help again"
        case .garbage(let error): "\(error)"
        case .unexpectedKind(let kind): "a frame of kind \(kind) has no place here"
        }
    }
}

/// Who uses a link. Every call is made on the link's loop, from inside the link: a handler that lives there enters its
/// own isolation, and may call the link.
public protocol LinkHandler: AnyObject, Sendable {
    /// The link is open.
    func linkOpened(_ link: Link, _ peer: LinkPeer)
    /// A `reply` or `error` to the request with this token; the body is valid during the call alone.
    func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>)
    /// A request that gets no answer: its time ran out, or the link was lost.
    func linkLost(_ link: Link, _ loss: LinkLoss)
    /// An `event` or `moved` frame; the body is valid during the call alone.
    func linkReceived(_ link: Link, _ header: FrameHeader, _ body: Span<UInt8>)
    /// Whether the other node has become suspect, or is so no longer.
    func linkSuspects(_ link: Link, _ isSuspect: Bool)
    /// The other node has a newer placement table than this one.
    func linkSawTable(_ link: Link, _ version: UInt64)
    /// The link is closed; every request has been told of before. It is dialled again, unless this side closed it.
    func linkClosed(_ link: Link, _ reason: LinkCloseReason)
}

/// A link to one peer.
public actor Link: TCPStreamHandler, LinkMember, LoopActor {
    /// What resolving and connecting may take together.
    static let connectTimeout: UInt64 = 2_000_000_000
    /// A link that was open so long counts as a success; one that is lost sooner is dialled again ever more slowly.
    static let steadyTime: UInt64 = 1_000_000_000
    /// Kinds of failure that are logged before the link is open again.
    static let loggedFailuresLimit = 8

    enum Phase {
        /// Resolving, connecting or pausing.
        case away
        /// The socket is there. Can transition to: awaitingRelay, open, away.
        case shakingHands(LinkHandshake)
        /// A node on the way was asked to pass bytes on, and may take this long. Can transition to: shakingHands, away.
        case awaitingRelay(until: UInt64)
        /// Frames go both ways. Can transition to: away.
        case open(LinkPeer)
    }

    /// What the links of this loop share.
    public nonisolated let shared: LinkLoop
    /// The loop that it lives on.
    public nonisolated var loop: EventLoop { shared.loop }
    /// The name of the node that is dialled, or `nil` for any.
    public nonisolated let expectedName: String?
    /// Where it is dialled: a name or a numeric address, without brackets.
    public nonisolated let host: String
    /// The port there.
    public nonisolated let port: UInt16
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe shared.loop.asUnownedSerialExecutor() }

    var phase = Phase.away {
        didSet { if case .open = phase { isUp = true } else { isUp = false } }
    }
    /// Whether the phase is `open`: asked for each frame.
    private(set) var isUp = false
    var pipe: LinkPipe?
    var machine: LinkMachine
    let handler: any LinkHandler
    var isClosing = false
    var isDirty = false
    var backoff = Backoff(firstNanoseconds: 50_000_000, longestNanoseconds: 2_000_000_000, jitter: .half)
    /// When the link opened last.
    var openedAt: UInt64 = 0

    // The task that dials, and what it waits for
    var dialing: Task<Void, Never>?
    var attempt: TCPConnectAttempt?
    var pause: (until: UInt64, continuation: CheckedContinuation<Void, Never>)?
    var whileConnected: CheckedContinuation<Void, Never>?
    /// Failures that were logged since the link was open last: the same ones again are not.
    var loggedFailures: Set<String> = []
    /// The newest version of the table that the handler was told of.
    var seenTable: UInt64 = 0
    /// How it gets around a broken path.
    var detour = LinkDetour()

    /// Makes a link that is not dialled.
    ///
    /// - Parameters:
    ///   - incarnation: the process that is meant, and no other of its name; without it any is taken, and no other node
    ///     is asked for help.
    ///   - handler: lives on the same loop; held until the link is closed.
    public init(
        to host: String, port: UInt16, expecting name: String?, incarnation: UInt128? = nil, shared: LinkLoop,
        handler: any LinkHandler
    ) {
        detour.target = incarnation
        self.host = host
        self.port = port
        expectedName = name
        self.shared = shared
        self.handler = handler
        machine = LinkMachine(limits: shared.configuration.limits, now: 0)
    }

    // MARK: - State

    /// The node at the other end, while the link is open.
    public var peer: LinkPeer? { if case .open(let peer) = phase { peer } else { nil } }

    /// Whether requests are taken now, room aside.
    public var isOpen: Bool { peer != nil && !machine.isLeaving }

    /// Requests without an answer.
    public var requestsInFlight: Int { machine.inFlight }

    /// How long the last ping took that was answered, in nanoseconds.
    public var roundTripNanoseconds: UInt64? { machine.roundTripNanoseconds }

    /// What went through the present socket.
    public var traffic: LinkTraffic { pipe?.traffic ?? LinkTraffic() }

    // MARK: - Sending

    /// Sends a request, or a wish to follow a campaign, at the end of this turn.
    ///
    /// - Parameters:
    ///   - header: of kind `request` or `subscribe`, with the time that is left, the nodes passed before this one, and
    ///     whatever else the receiver is to know; request id and table version are filled in.
    ///   - body: at most `ClusterFrame.bodyBytesLimit` bytes.
    ///   - token: told with the outcome.
    /// - Returns: why it was not taken, in which case the handler hears nothing of it; `nil` where it was.
    public func request(_ header: FrameHeader, body: [UInt8], token: UInt64) -> LinkRefusal? {
        guard isUp else { return .notOpen }
        let now = shared.now
        return accept(body) { machine in machine.submit(header, body: body, token: token, now: now) }
    }

    /// Ends a subscription, or tells of its clients: as `request`, but of kind `unsubscribe` or `presence`, and no
    /// answer follows.
    public func tell(_ header: FrameHeader, body: [UInt8]) -> LinkRefusal? {
        guard case .open = phase else { return .notOpen }
        return accept(body) { machine in machine.submit(header, body: body) }
    }

    private func accept(
        _ body: [UInt8], _ submit: (inout LinkMachine) -> LinkMachine.Submission
    ) -> LinkRefusal? {
        var submission = submit(&machine)
        if submission == .refused(.overloaded), !machine.isBlocked, machine.queuedBytes > 0 {
            // A large turn is written in parts.
            flush()
            submission = submit(&machine)
        }
        switch submission {
        case .write(let header):
            write(header, body.span)
            return nil
        case .queued: return nil
        case .refused(let refusal): return refusal
        }
    }

    func write(_ header: FrameHeader, _ body: Span<UInt8>) {
        guard let pipe else { return }
        var header = header
        // Who has not shown that it belongs to the cluster learns nothing of it.
        if !header.kind.isOfHandshake { header.tableVersion = shared.turn.tableVersion }
        if pipe.append(header, body) { write(pipe) }
        guard !isDirty else { return }
        isDirty = true
        shared.onLoop { $0.markDirty(self) }
    }

    /// The turn is over: one write.
    nonisolated func turnEnded() { assumeIsolated { $0.flush() } }

    func flush() {
        isDirty = false
        if let pipe { write(pipe) }
    }

    private func write(_ pipe: LinkPipe) {
        guard !pipe.isClosed else { return }
        pipe.flush()
        guard case .open = phase else { return }
        if pipe.stream.isBlocked { machine.blocked() } else { machine.flushed() }
    }

    // MARK: - Receiving

    func received(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        guard let pipe, pipe.stream === stream else { return }
        if case .open = phase, machine.heard() != nil { suspect(false) }
        do throws(FrameError) {
            try unsafe pipe.received(bytes) { header, body in frame(header, body) }
        } catch {
            end(.garbage(error))
        }
    }

    private func frame(_ header: FrameHeader, _ body: Span<UInt8>) {
        if isUp { return received(header, body) }
        switch phase {
        case .away: break
        case .shakingHands(var handshake):
            let actions = handshake.received(header.kind, body)
            phase = .shakingHands(handshake)
            run(actions)
        case .awaitingRelay: relayAnswered(header.kind)
        case .open: received(header, body)
        }
    }

    private func received(_ header: FrameHeader, _ body: Span<UInt8>) {
        switch header.kind {
        case .reply, .error:
            noteTable(header)
            guard let token = machine.answered(header.request) else { break }
            handler.linkAnswered(self, token, header, body)
        case .event, .moved:
            noteTable(header)
            handler.linkReceived(self, header, body)
        case .pong:
            noteTable(header)
            machine.ponged(header.request, now: shared.now)
        case .goodbye: machine.saidGoodbye()
        case .hello, .challenge, .proof, .welcome, .refusal, .ping, .relay, .relayed, .request, .subscribe,
            .unsubscribe, .presence:
            return end(.unexpectedKind(header.kind))
        }
        if machine.isDone { end(.goodbye) }
    }

    private func noteTable(_ header: FrameHeader) {
        guard header.tableVersion > seenTable else { return }
        seenTable = header.tableVersion
        if seenTable > shared.turn.tableVersion { handler.linkSawTable(self, seenTable) }
    }

    func run(_ actions: [LinkHandshake.Action]) {
        for action in actions {
            switch action {
            case .send(let kind, let body): write(FrameHeader(kind), body.span)
            case .open(let peer): if detour.isAtRelay { reachedRelay(peer) } else { reached(peer) }
            case .close(let failure): endAttempt("\(failure)")
            }
        }
    }

    /// Somebody has shaken hands at the address of the node. A process that took the place of the one that is meant has
    /// links of its own: events that came from it by two of them would be in no order.
    private func reached(_ peer: LinkPeer) {
        guard peer.identity.incarnation == detour.target ?? peer.identity.incarnation else {
            return endAttempt("another process answers at its address")
        }
        opened(peer)
    }

    private func opened(_ peer: LinkPeer) {
        pipe?.opened()
        phase = .open(peer)
        machine = LinkMachine(limits: shared.configuration.limits, now: shared.now)
        openedAt = shared.now
        loggedFailures = []
        shared.configuration.log.info(
            "link.open",
            [
                ("peer", .string(peer.identity.name)), ("protocol", .integer(Int(peer.protocolVersion))),
                ("through", .string(detour.relayName ?? "")),
            ])
        noteRoute(peer, isOpen: true)
        handler.linkOpened(self, peer)
    }

    func drained(_ stream: TCPStream) {
        guard let pipe, pipe.stream === stream, !pipe.isClosed, case .open = phase else { return }
        for waiting in machine.drained(now: shared.now) { write(waiting.header, waiting.body.span) }
        flush()
    }

    // MARK: - Time

    nonisolated func ticked(now: UInt64) { assumeIsolated { $0.tick(now) } }

    private func tick(_ now: UInt64) {
        switch phase {
        case .away:
            guard let pause, now >= pause.until else { return }
            endPause()
        case .shakingHands(var handshake):
            let actions = handshake.ticked(now: now)
            phase = .shakingHands(handshake)
            run(actions)
        case .awaitingRelay(let end):
            if now >= end { endAttempt("the node on the way did not answer in time") }
        case .open:
            if lookForDirectPath(now) { return }
            for action in machine.ticked(now: now) {
                switch action {
                case .write(let header): write(header, Span())
                case .suspect: suspect(true)
                case .trust: suspect(false)
                case .expire(let loss): handler.linkLost(self, loss)
                case .giveUp: return end(.silent)
                }
            }
            if machine.isDone { end(.goodbye) }
        }
    }
}
