// A host as the way of other nodes around a broken path: the link on which a dialer asks for that becomes one end of a
// pair of sockets, and is a link no more. One relay at most lies on a way, since this node dials the target itself, and
// only where it has an open link to it already.

import Platform

extension LinkHost {
    /// Links that lead through this loop at a time; a further one is refused.
    static let relayedLimit = 256
    /// What connecting to the target may take.
    static let relayTimeout: UInt64 = 1_000_000_000

    func relay(_ link: HostedLink, _ peer: LinkPeer, to target: UInt128?) {
        guard relayed.count < Self.relayedLimit, let target, target != peer.identity.incarnation,
            let address = shared.configuration.routes.address(of: target)
        else { return refuseRelay(link) }
        // What the dialer says next is for the target.
        link.pipe.stream.stopReading()
        let id = link.id
        link.connecting = TCPConnectAttempt(
            to: address, on: shared.loop, timeoutNanoseconds: Self.relayTimeout
        ) { [weak self] outcome in
            guard let self else {
                if case .success(let stream) = outcome { stream.close() }
                return
            }
            assumeIsolated { $0.relayConnected(id, peer, outcome) }
        }
    }

    private func refuseRelay(_ link: HostedLink) {
        var body: [UInt8] = []
        PeerError(.unavailable).append(to: &body)
        write(link, FrameHeader(.error), body.span)
        end(link, "the node that it wishes to reach is not reached from here either")
    }

    private func relayConnected(_ id: HostedLinkID, _ peer: LinkPeer, _ outcome: Result<TCPStream, SystemError>) {
        guard let link = self.link(id) else {
            if case .success(let stream) = outcome { stream.close() }
            return
        }
        link.connecting = nil
        guard case .success(let far) = outcome else { return refuseRelay(link) }
        write(link, FrameHeader(.relayed), Span())
        guard !link.pipe.isClosed else { return far.close() }
        let near = link.pipe.surrender()
        forget(link)
        let pair = RelayedPair(near: near, far: far) { [weak self] pair in
            self?.assumeIsolated { host in host.relayed.removeAll { $0 === pair } }
        }
        relayed.append(pair)
        pair.assumeIsolated { $0.start() }
        shared.configuration.log.info(
            "link.relayed", [("peer", .string(peer.identity.name)), ("to", .string("\(far.peer)"))])
        gone(link, peer)
    }
}
