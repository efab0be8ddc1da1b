// The listener's end of the links of one loop: takes over accepted sockets, lets in who knows the secret, hands requests
// to whoever serves, and carries back answers and events.

public import Platform

/// The way back of a request. The generation keeps an answer from reaching a newer link in the same place.
public struct LinkTicket: Hashable, Sendable {
    /// The link that it came by.
    public let link: HostedLinkID
    /// The id under which the dialer knows it.
    public let request: UInt64
}

/// A link of a host, never that of an older one in the same place.
public struct HostedLinkID: Hashable, Sendable {
    let index: Int
    let generation: UInt32
}

/// Who serves what comes by the links of a host. Every call is made on the host's loop, from inside the host: a service
/// that lives there enters its own isolation, and may call the host.
public protocol LinkService: AnyObject, Sendable {
    /// A `request` or `subscribe`: it must get one `reply` or `refuse`, now or later.
    func serve(_ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>)
    /// An `unsubscribe`.
    func unsubscribed(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>)
    /// A `presence`.
    func present(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>)
    /// A dialer has a newer placement table than this node.
    func hostSawTable(_ host: LinkHost, _ peer: LinkPeer, _ version: UInt64)
    /// The link is gone, its subscriptions with it; its requests need no answer any more.
    func linkGone(_ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer)
}

/// The accepted links of one loop.
public actor LinkHost: TCPStreamHandler, LinkMember, LoopActor {
    /// Handshakes that run at a time; a further connection is refused.
    public static let handshakesLimit = 64
    /// Links at a time; a further connection is refused.
    public static let linksLimit = 1024

    /// What the links of this loop share.
    public nonisolated let shared: LinkLoop
    /// The loop that it lives on.
    public nonisolated var loop: EventLoop { shared.loop }
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe shared.loop.asUnownedSerialExecutor() }

    private let service: any LinkService
    private var links: [HostedLink?] = []
    private var generations: [UInt32] = []
    private var freeIndexes: [Int] = []
    /// Links of others that lead through this node.
    var relayed: [RelayedPair] = []
    private var handshakes = 0
    private var dirty: [HostedLink] = []
    private var isDirty = false
    private var isLeaving = false
    private var isClosed = false
    private var seenTable: UInt64 = 0

    /// Makes a host without links.
    ///
    /// - Parameter service: lives on the same loop; held until the host is gone.
    public init(shared: LinkLoop, service: any LinkService) {
        self.shared = shared
        self.service = service
    }

    /// Links that are open.
    public var openLinks: Int { links.count { $0?.peer != nil } }

    // MARK: - Life

    /// Makes the host known to its loop; call once, before the first `accept`.
    public func start() { shared.assumeIsolated { $0.add(self) } }

    /// Takes over an accepted socket of this loop.
    public func accept(_ stream: TCPStream) {
        guard !isClosed, handshakes < Self.handshakesLimit, links.count - freeIndexes.count < Self.linksLimit else {
            var refusal: [UInt8] = []
            let body = HandshakeRefusal(.busy, shared.configuration.versions).body
            ClusterFrame.append(FrameHeader(.refusal), body: body.span, to: &refusal)
            unsafe refusal.withUnsafeBytes { unsafe stream.write($0) }
            return stream.close()
        }
        let index = freeIndexes.popLast() ?? links.count
        if index == links.count {
            links.append(nil)
            generations.append(0)
        }
        generations[index] &+= 1
        let configuration = shared.configuration
        let handshake = LinkHandshake(
            .listener, as: configuration.identity, versions: configuration.versions, key: configuration.key,
            random: configuration.random, now: shared.now)
        let link = HostedLink(
            id: HostedLinkID(index: index, generation: generations[index]),
            pipe: LinkPipe(stream, shared.counters), handshake)
        links[index] = link
        handshakes += 1
        stream.token = index
        stream.handler = self
        stream.startReading()
    }

    /// Tells every dialer to send no further requests; each link closes after its last answer, and no new one opens.
    public func sayGoodbye() {
        isLeaving = true
        for case let link? in links where link.peer != nil {
            link.machine.leaves()
            write(link, FrameHeader(.goodbye), Span())
            closeIfDone(link)
        }
    }

    /// Closes every link and takes no more; safe to repeat.
    public func stop() {
        isClosed = true
        for case let link? in links { end(link, "closed here") }
        for pair in relayed { pair.assumeIsolated { $0.close() } }
        shared.assumeIsolated { $0.remove(self) }
    }

    // MARK: - Answers and events

    /// Answers a request, at the end of this turn. Where its link is gone nothing happens.
    ///
    /// - Parameter header: of kind `reply`, with slot and epoch; request id and table version are filled in.
    public func reply(to ticket: LinkTicket, _ header: FrameHeader, body: [UInt8]) {
        precondition(header.kind == .reply, "\(header.kind) is no reply")
        guard let link = link(ticket.link) else { return }
        answer(link, ticket.request, header, body)
    }

    /// Answers a request with which nothing was done.
    ///
    /// - Parameter header: of kind `error`, with slot and epoch.
    public func refuse(_ ticket: LinkTicket, _ header: FrameHeader, _ error: PeerError) {
        precondition(header.kind == .error, "\(header.kind) is no error")
        guard let link = link(ticket.link) else { return }
        var body: [UInt8] = []
        error.append(to: &body)
        answer(link, ticket.request, header, body)
    }

    private func answer(_ link: HostedLink, _ request: UInt64, _ header: FrameHeader, _ body: [UInt8]) {
        var header = header
        header.request = request
        link.machine.answered()
        write(link, header, body.span)
        closeIfDone(link)
    }

    /// Sends an event or the news of a move to a subscriber. `false`: its link is gone, and it must subscribe again.
    public func publish(on link: HostedLinkID, _ header: FrameHeader, body: [UInt8]) -> Bool {
        precondition(header.kind == .event || header.kind == .moved, "\(header.kind) is no event")
        guard let link = self.link(link) else { return false }
        write(link, header, body.span)
        return !link.pipe.isClosed
    }

    /// The open link of an id.
    func link(_ id: HostedLinkID) -> HostedLink? {
        guard let link = links[id.index], link.id == id, link.peer != nil else { return nil }
        return link
    }

    func write(_ link: HostedLink, _ header: FrameHeader, _ body: Span<UInt8>) {
        var header = header
        if !header.kind.isOfHandshake { header.tableVersion = shared.turn.tableVersion }
        let size = ClusterFrame.byteCount(header, bodyBytes: body.count)
        if !link.machine.admits(size, waiting: link.pipe.waitingBytes) {
            // A large turn is written in parts; what a slow dialer does not take ends its link.
            flush(link)
            guard link.machine.admits(size, waiting: link.pipe.waitingBytes) else {
                return end(link, ServingFault.tooSlow.description)
            }
        }
        if link.pipe.append(header, body) { flush(link) }
        guard !link.isDirty else { return }
        link.isDirty = true
        dirty.append(link)
        guard !isDirty else { return }
        isDirty = true
        shared.onLoop { $0.markDirty(self) }
    }

    nonisolated func turnEnded() { assumeIsolated { $0.flushAll() } }

    private func flushAll() {
        isDirty = false
        let batch = dirty
        dirty.removeAll(keepingCapacity: true)
        for link in batch {
            link.isDirty = false
            flush(link)
        }
    }

    private func flush(_ link: HostedLink) {
        guard !link.pipe.isClosed else { return }
        link.pipe.flush()
        guard link.pipe.stream.isBlocked else { return }
        // Who does not take answers gets to send nothing either.
        link.machine.blocked(now: shared.now)
        link.pipe.stream.stopReading()
    }

    // MARK: - Receiving

    private func received(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        guard let link = links[stream.token], link.pipe.stream === stream else { return }
        do throws(FrameError) {
            try unsafe link.pipe.received(bytes) { header, body in frame(link, header, body) }
        } catch {
            end(link, "\(error)")
        }
    }

    private func frame(_ link: HostedLink, _ header: FrameHeader, _ body: Span<UInt8>) {
        guard let peer = link.peer else {
            return run(link, isLeaving ? link.handshake.left() : link.handshake.received(header.kind, body))
        }
        switch link.machine.received(header, now: shared.now) {
        case .deliver:
            noteTable(peer, header)
            if header.kind == .unsubscribe {
                service.unsubscribed(self, link.id, peer, header, body)
            } else if header.kind == .presence {
                service.present(self, link.id, peer, header, body)
            } else {
                service.serve(self, LinkTicket(link: link.id, request: header.request), peer, header, body)
            }
        case .answer(let error):
            var body: [UInt8] = []
            error.append(to: &body)
            let answer = FrameHeader(.error, slot: header.slot, request: header.request)
            write(link, answer, body.span)
        case .pong:
            noteTable(peer, header)
            write(link, FrameHeader(.pong, request: header.request), Span())
        case .relay: relay(link, peer, to: header.target)
        case .close(let fault): end(link, "\(fault)")
        }
    }

    private func noteTable(_ peer: LinkPeer, _ header: FrameHeader) {
        guard header.tableVersion > seenTable else { return }
        seenTable = header.tableVersion
        if seenTable > shared.turn.tableVersion { service.hostSawTable(self, peer, seenTable) }
    }

    private func run(_ link: HostedLink, _ actions: [LinkHandshake.Action]) {
        for action in actions {
            switch action {
            case .send(let kind, let body): write(link, FrameHeader(kind), body.span)
            case .open(let peer):
                handshakes -= 1
                link.pipe.opened()
                link.peer = peer
                link.machine = ServingMachine(now: shared.now)
                shared.configuration.log.info(
                    "link.accepted",
                    [("peer", .string(peer.identity.name)), ("protocol", .integer(Int(peer.protocolVersion)))])
            case .close(let failure): end(link, "\(failure)")
            }
        }
    }

    // MARK: - The end

    private func closeIfDone(_ link: HostedLink) {
        if link.machine.isDone { end(link, "everything is answered") }
    }

    /// Forgets a link; its socket is the caller's.
    func forget(_ link: HostedLink) {
        links[link.id.index] = nil
        freeIndexes.append(link.id.index)
    }

    func end(_ link: HostedLink, _ reason: String) {
        guard links[link.id.index] === link else { return }
        forget(link)
        link.pipe.close()
        guard let peer = link.peer else {
            handshakes -= 1
            return shared.configuration.log.warn(
                "link.refused", [("address", .string("\(link.pipe.stream.peer)")), ("reason", .string(reason))])
        }
        shared.configuration.log.info(
            "link.ended", [("peer", .string(peer.identity.name)), ("reason", .string(reason))])
        link.connecting?.cancel()
        gone(link, peer)
    }

    /// Whoever serves is to forget a link that is none any more.
    func gone(_ link: HostedLink, _ peer: LinkPeer) { service.linkGone(self, link.id, peer) }

    nonisolated func ticked(now: UInt64) { assumeIsolated { $0.tick(now) } }

    private func tick(_ now: UInt64) {
        for case let link? in links {
            if link.peer == nil {
                run(link, link.handshake.ticked(now: now))
            } else if let fault = link.machine.ticked(now: now) {
                end(link, "\(fault)")
            }
        }
    }

    // MARK: - The socket

    /// For the stream alone.
    public nonisolated func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        // Safe: the buffer is the loop's own, valid during this call, and the call stays on the loop's thread.
        nonisolated(unsafe) let bytes = unsafe bytes
        onLoop { unsafe $0.received(stream, bytes) }
    }

    /// For the stream alone.
    public nonisolated func streamDrained(_ stream: TCPStream) { assumeIsolated { $0.drained(stream) } }

    private func drained(_ stream: TCPStream) {
        guard let link = links[stream.token], link.pipe.stream === stream else { return }
        flush(link)
        guard !stream.isBlocked else { return }
        link.machine.drained(now: shared.now)
        stream.startReading()
    }

    /// For the stream alone.
    public nonisolated func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        assumeIsolated { $0.closed(stream, reason) }
    }

    private func closed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        guard let link = links[stream.token], link.pipe.stream === stream else { return }
        link.pipe.closed()
        switch reason {
        case .local: end(link, "closed here")
        case .endOfFile: end(link, "the other node closed the connection")
        case .failed(let code): end(link, "the connection broke, errno \(code)")
        }
    }
}

/// The state of one accepted link. It belongs to its host and is touched on the host's loop alone.
final class HostedLink {
    let id: HostedLinkID
    let pipe: LinkPipe
    var handshake: LinkHandshake
    /// Set once the link is open.
    var peer: LinkPeer?
    var machine = ServingMachine(now: 0)
    var isDirty = false
    /// The connection to the node that the dialer wishes to reach through this one.
    var connecting: TCPConnectAttempt?

    init(id: HostedLinkID, pipe: LinkPipe, _ handshake: LinkHandshake) {
        self.id = id
        self.pipe = pipe
        self.handshake = handshake
    }
}
