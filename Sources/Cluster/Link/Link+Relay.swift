// The way of a link around a broken path. The dialer opens a link to a third node that it reaches, asks there for the node
// that it means, and from then on speaks with that one as if it had dialled it: the same handshake, the same frames.
//
//   dialer ── hello … welcome ──► relay            a link like any other
//          ── relay(target) ────► relay ─ connects ─► target
//          ◄───────── relayed ── relay             from here on bytes are passed on, both ways
//          ── hello … welcome ───────────────────► target
//
// A link that leads through another node looks now and then whether it still must.

import Platform

/// What a link knows of ways around a broken path. It belongs to its link and is touched on that one's loop alone.
struct LinkDetour {
    /// Between two looks at the straight path.
    static let probeInterval: UInt64 = 3_000_000_000
    /// What connecting to a node on the way, asking it, and a look at the straight path may take, each.
    static let timeout: UInt64 = 1_500_000_000

    /// The process that the link is to.
    var target: UInt128?
    /// Where that was dialled last.
    var directAddress: TCPAddress?
    /// The last link was lost in silence.
    var isBroken = false
    /// The node on the way, while it is dialled and from then on.
    var relay: LinkRoutes.Relay?
    /// Its name, once it has shaken hands.
    var relayName: String?
    /// Whether it is the node on the way that is spoken with.
    var isAtRelay = false
    /// How many were tried: the next time it is another one's turn.
    var attempts = 0
    /// What the routes were told of this link.
    var noted: (incarnation: UInt128, address: TCPAddress?)?
    /// The look at the straight path that is under way, and when the next one is due.
    var probe: TCPConnectAttempt?
    var nextProbe: UInt64 = 0
    /// The straight path works again.
    var isMended = false

    mutating func takeBroken() -> Bool {
        defer { isBroken = false }
        return isBroken
    }

    /// The connection is over.
    mutating func released() {
        relay = nil
        relayName = nil
        isAtRelay = false
        isMended = false
    }
}

extension Link {
    /// Tries one node on the way, and stays there until the connection is over.
    ///
    /// - Returns: whether there was a connection.
    func stayThroughRelay() async -> Bool {
        guard !isClosing, let target = detour.target else { return false }
        let relays = shared.configuration.routes.relays(to: target)
        guard !relays.isEmpty else { return false }
        let relay = relays[detour.attempts % relays.count]
        detour.attempts += 1
        guard case .success(let stream) = await connect(relay.address, timeout: LinkDetour.timeout) else {
            return false
        }
        detour.relay = relay
        detour.isAtRelay = true
        await stay(stream)
        return true
    }

    /// The node on the way has shaken hands.
    func reachedRelay(_ peer: LinkPeer) {
        guard peer.identity.incarnation == detour.relay?.incarnation, let target = detour.target else {
            return endAttempt("another node on the way than the one that was dialled")
        }
        detour.relayName = peer.identity.name
        phase = .awaitingRelay(until: shared.now + LinkDetour.timeout)
        write(FrameHeader(.relay, target: target), Span())
    }

    /// The node on the way passes bytes on from here, or does not.
    func relayAnswered(_ kind: FrameKind) {
        guard kind == .relayed else { return endAttempt("no other node reaches it either") }
        detour.isAtRelay = false
        detour.nextProbe = shared.now + LinkDetour.probeInterval
        shakeHands(with: expectedName)
    }

    /// Whether pings stay unanswered.
    func suspect(_ isSuspect: Bool) {
        if case .open(let peer) = phase { noteRoute(peer, isOpen: !isSuspect) }
        handler.linkSuspects(self, isSuspect)
    }

    /// Tells the other links whether this one leads to a node.
    func noteRoute(_ peer: LinkPeer, isOpen: Bool) {
        let routes = shared.configuration.routes
        if let noted = detour.noted {
            guard !isOpen else { return }
            routes.closed(noted.incarnation, at: noted.address)
            detour.noted = nil
        } else if isOpen {
            let address = detour.relay == nil ? pipe?.stream.peer : nil
            routes.opened(peer.identity.incarnation, at: address)
            detour.noted = (peer.identity.incarnation, address)
        }
    }

    /// Where the link leads through another node: whether it still must.
    ///
    /// - Returns: whether the link has ended, to be dialled anew.
    func lookForDirectPath(_ now: UInt64) -> Bool {
        guard detour.relay != nil else { return false }
        if detour.isMended, machine.inFlight == 0 {
            end(.detour)
            return true
        }
        guard !detour.isMended, now >= detour.nextProbe, detour.probe == nil, let address = detour.directAddress else {
            return false
        }
        detour.nextProbe = now + LinkDetour.probeInterval
        detour.probe = TCPConnectAttempt(
            to: address, on: shared.loop, timeoutNanoseconds: LinkDetour.timeout
        ) { [weak self] outcome in
            if case .success(let stream) = outcome { stream.close() }
            self?.assumeIsolated { $0.probed((try? outcome.get()) != nil) }
        }
        return false
    }

    private func probed(_ isReached: Bool) {
        detour.probe = nil
        if isReached, detour.relay != nil { detour.isMended = true }
    }
}
