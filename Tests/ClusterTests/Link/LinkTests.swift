import Platform
import Protocol
import Synchronization
import TestSupport
import Testing

@testable import Cluster

/// Two nodes, one loop each, with a link from the first to the second.
@Suite(.timeLimit(.minutes(5)))
struct LinkTests {
    private func request(_ remaining: UInt32 = 60_000) -> FrameHeader {
        FrameHeader(.request, slot: Slot(17), epoch: 4, remainingMilliseconds: remaining)
    }

    /// Runs a test with a node and a link to it.
    private func withLink(
        _ own: LinkConfiguration = configuration("node-1", 1), _ other: LinkConfiguration = configuration("node-2", 2),
        service: EchoService = EchoService(), host: String = "127.0.0.1", expecting: String? = "node-2",
        incarnation: UInt128? = nil, _ body: (Link, RecordingHandler, TestNode, EchoService) async throws -> Void
    ) async throws {
        try await withLoops(2) { group in
            let node = try await TestNode(group.loops[1], other, service: service)
            try await withDialer(
                group.loops[0], node.port, own, to: host, expecting: expecting, incarnation: incarnation
            ) { link, handler in
                try await body(link, handler, node, service)
            }
            await node.stop()
        }
    }

    private func withDialer(
        _ loop: EventLoop, _ port: UInt16, _ own: LinkConfiguration = configuration("node-1", 1),
        to host: String = "127.0.0.1", expecting: String? = "node-2", incarnation: UInt128? = nil,
        _ body: (Link, RecordingHandler) async throws -> Void
    ) async throws {
        let shared = LinkLoop(on: loop, configuration: own)
        await shared.start()
        let handler = RecordingHandler()
        let link = Link(
            to: host, port: port, expecting: expecting, incarnation: incarnation, shared: shared, handler: handler)
        await link.open()
        try await body(link, handler)
        await link.close()
        await shared.stop()
    }

    @Test(arguments: ["127.0.0.1", "localhost"])
    func `a link opens, carries a request there and its answer back`(_ host: String) async throws {
        try await withLink(configuration("node-1", 1, table: 5), configuration("node-2", 2, table: 9), host: host) {
            link, handler, node, service in
            await handler.events.wait { $0.contains(where: \.isOpened) }
            #expect(
                handler.events.all.first
                    == .opened(LinkPeer(identity: NodeIdentity(name: "node-2", incarnation: 2), protocolVersion: 1)))
            #expect(await link.isOpen)
            #expect(await link.request(request(), body: [1, 2, 3], token: 77) == nil)
            await handler.events.wait { $0.contains(where: \.isAnswer) }
            guard case .request(_, let asked, [1, 2, 3])? = service.events.all.first(where: \.isRequest) else {
                return #expect(Bool(false))
            }
            #expect(asked.slot == Slot(17) && asked.epoch == 4 && asked.hops == 1 && asked.tableVersion == 5)
            #expect((59_000...60_000).contains(asked.remainingMilliseconds))
            guard case .answered(77, let answer, [1, 2, 3])? = handler.events.all.first(where: \.isAnswer) else {
                return #expect(Bool(false))
            }
            #expect(answer.kind == .reply && answer.slot == Slot(17) && answer.tableVersion == 9)
            #expect(handler.events.all.contains(.sawTable(9)))
            #expect(!service.events.all.contains(.sawTable(5)))
            #expect(await node.host.openLinks == 1)
        }
    }

    @Test func `frames and bytes are counted by kind at both ends`() async throws {
        try await withLink { link, handler, node, service in
            await handler.events.wait { $0.contains(where: \.isOpened) }
            for token in 0..<10 as Range<UInt64> {
                #expect(await link.request(request(), body: [UInt8](repeating: 1, count: 7), token: token) == nil)
            }
            #expect(await link.tell(FrameHeader(.presence, slot: Slot(3)), body: [1, 2, 3]) == nil)
            await handler.events.wait { $0.count(where: \.isAnswer) == 10 }
            await service.events.wait { $0.contains { if case .present = $0 { true } else { false } } }
            let overhead = UInt64(ClusterFrame.headerBytes + ClusterFrame.checksumBytes)
            let (here, there) = (link.shared.counters, node.shared.counters)
            // What a turn sends and reads is counted when it is over: the second visit comes in a later one.
            await link.flush()
            for _ in 1...2 { _ = await (link.isOpen, node.host.openLinks) }
            let requests = LinkCounters.Count(frames: 10, bytes: 10 * (overhead + 7))
            #expect(here.sent(.request) == requests && there.received(.request) == requests)
            #expect(there.sent(.reply) == requests && here.received(.reply) == requests)
            let presence = LinkCounters.Count(frames: 1, bytes: overhead + 3)
            #expect(here.sent(.presence) == presence && there.received(.presence) == presence)
            #expect(here.sent(.hello).frames == 1 && here.received(.welcome).frames == 1)
            #expect(here.received(.request).frames == 0 && there.sent(.event).frames == 0)
        }
    }

    @Test func `a subscriber gets events and the news of a move in order`() async throws {
        try await withLink { link, handler, node, service in
            await handler.events.wait { $0.contains(where: \.isOpened) }
            let subscribe = FrameHeader(.subscribe, slot: Slot(3), remainingMilliseconds: 60_000)
            #expect(await link.request(subscribe, body: [9], token: 1) == nil)
            await handler.events.wait { $0.contains(where: \.isAnswer) }
            guard case .request(let ticket, _, _)? = service.events.all.first(where: \.isRequest) else {
                return #expect(Bool(false))
            }
            var moved: [UInt8] = []
            MovedNotice(target: OwnerHint(name: "node-3", incarnation: 3)).append(to: &moved)
            for number in 0..<100 as Range<UInt8> {
                #expect(await node.host.publish(on: ticket.link, FrameHeader(.event, slot: Slot(3)), body: [number]))
            }
            #expect(await node.host.publish(on: ticket.link, FrameHeader(.moved, slot: Slot(3), epoch: 8), body: moved))
            await handler.events.wait { $0.count >= 103 }
            var bodies: [[UInt8]] = []
            for case .received(let header, let body) in handler.events.all {
                #expect(header.kind == (bodies.count < 100 ? .event : .moved))
                bodies.append(body)
            }
            #expect(bodies == (0..<100).map { [$0] } + [moved])
            #expect(await link.tell(FrameHeader(.unsubscribe, slot: Slot(3)), body: [9]) == nil)
            await service.events.wait { $0.count == 2 }
            #expect(service.events.all.last.map { if case .unsubscribed = $0 { true } else { false } } == true)
        }
    }

    @Test func `without an open link nothing is taken`() async throws {
        try await withLoops(1) { group in
            try await withDialer(group.loops[0], 1) { link, handler in
                #expect(await link.request(request(), body: [], token: 1) == .notOpen)
                #expect(await link.tell(FrameHeader(.unsubscribe), body: []) == .notOpen)
                #expect(handler.events.all.isEmpty)
            }
        }
    }

    @Test func `a node with another secret gets no link, and both logs say why`() async throws {
        let (ownLog, otherLog) = (LogLines(), LogLines())
        try await withLink(
            configuration("node-1", 1, secret: 1, log: ownLog.log()), configuration("node-2", 2, log: otherLog.log())
        ) { link, handler, node, service in
            await ownLog.wait("link.failed", "another cluster secret")
            await otherLog.wait("link.refused", "another cluster secret")
            #expect(handler.events.all.isEmpty && service.events.all.isEmpty)
            #expect(await node.host.openLinks == 0)
        }
    }

    @Test func `releases without a common protocol get no link, and both logs tell both ranges`() async throws {
        let (ownLog, otherLog) = (LogLines(), LogLines())
        var newer = configuration("node-2", 2, log: otherLog.log())
        newer.versions = LinkVersions(protocols: 2...3, slotFunction: 1)
        try await withLink(configuration("node-1", 1, log: ownLog.log()), newer) { link, handler, _, _ in
            await ownLog.wait("link.failed", "speaks 1...1, the other one 2...3")
            await otherLog.wait("link.refused", "speaks 2...3, the other one 1...1")
            #expect(handler.events.all.isEmpty)
        }
    }

    @Test func `another node than the expected one, and oneself, are refused`() async throws {
        let log = LogLines()
        try await withLink(configuration("node-1", 1, log: log.log()), expecting: "node-7") { _, handler, _, _ in
            await log.wait("link.failed", "another node than the one that was dialled")
            #expect(handler.events.all.isEmpty)
        }
        try await withLink(configuration("node-2", 2, log: log.log())) { _, handler, _, _ in
            await log.wait("link.failed", "this node itself")
            #expect(handler.events.all.isEmpty)
        }
    }

    @Test func `a process that has taken the place of the one that is meant gets no link of that one's`() async throws {
        let log = LogLines()
        try await withLink(configuration("node-1", 1, log: log.log()), incarnation: 7) { link, handler, _, _ in
            await log.wait("link.failed", "another process answers at its address")
            #expect(handler.events.all.isEmpty && link.shared.configuration.routes.reached.isEmpty)
        }
        try await withLink(incarnation: 2) { link, handler, _, _ in
            await handler.events.wait { $0.contains(where: \.isOpened) }
            #expect(link.shared.configuration.routes.reached == [2])
        }
    }

    @Test func `garbage, and a handshake that is not a dialer's, are closed at once`() async throws {
        let hello = WholeFrame(header: FrameHeader(.proof), body: [UInt8](repeating: 0, count: 32)).bytes
        let long = WholeFrame(header: FrameHeader(.hello), body: [UInt8](repeating: 0, count: 2000)).bytes
        for bytes in [Array("GET / HTTP/1.1\r\n\r\n".utf8), hello, long] {
            try await withLoops(2) { group in
                let log = LogLines()
                let node = try await TestNode(
                    group.loops[0], configuration("node-2", 2, log: log.log()), service: EchoService())
                let peer = RawPeer()
                let stream = try await peer.dial(node.port, on: group.loops[1])
                await on(group.loops[1]) { bytes.withUnsafeBytes { stream.write($0) } }
                await peer.closed.wait { !$0.isEmpty }
                await log.wait("link.refused")
                await node.stop()
            }
        }
    }

    @Test func `a handshake that dawdles is cut after two seconds, whatever trickles in`() async throws {
        try await withLoops(2) { group in
            let log = LogLines()
            let node = try await TestNode(
                group.loops[0], configuration("node-2", 2, log: log.log()), service: EchoService())
            let peer = RawPeer()
            let loop = group.loops[1]
            let stream = try await peer.dial(node.port, on: loop)
            var hello = Sample.bare.bytes
            hello[7] = FrameKind.hello.rawValue
            // A byte every 100 ms: the frame would be complete after five seconds.
            let rest = Locked(hello[...])
            let dripping = await on(loop) {
                let timer = LoopTimer(on: loop) {
                    if let byte = rest.withLock({ $0.popFirst() }) { [byte].withUnsafeBytes { stream.write($0) } }
                }
                timer.schedule(afterNanoseconds: 0, repeatingNanoseconds: 100_000_000)
                return timer
            }
            await peer.closed.wait { !$0.isEmpty }
            await log.wait("link.refused", "not over in time")
            #expect(rest.withLock { $0.count } > 0)
            await on(loop) { dripping.close() }
            await node.stop()
        }
    }

    @Test func `of too many handshakes at once the surplus is refused`() async throws {
        try await withLoops(2) { group in
            // Time stands still, so that no handshake is over before the last one begins.
            let clock = ManualClock(at: Timestamp(milliseconds: 0))
            let node = try await TestNode(
                group.loops[0], configuration("node-2", 2, clock: clock), service: EchoService())
            let peers = (0...LinkHost.handshakesLimit).map { _ in RawPeer() }
            var streams: [TCPStream] = []
            for peer in peers { streams.append(try await peer.dial(node.port, on: group.loops[1])) }
            let last = try #require(peers.last)
            await last.received.wait { !$0.isEmpty }
            let refusal = WholeFrame(
                header: FrameHeader(.refusal), body: HandshakeRefusal(.busy, .current).body)
            #expect(last.received.all.flatMap { $0 } == refusal.bytes)
            await last.closed.wait { !$0.isEmpty }
            #expect(peers.dropLast().allSatisfy { $0.closed.all.isEmpty })
            await node.stop()
            for peer in peers { await peer.closed.wait { !$0.isEmpty } }
        }
    }

    @Test func `a peer that goes silent is suspected, then given up, and its requests are lost as sent`() async throws {
        try await withLoops(2) { group in
            let fake = FakeNode(configuration("node-2", 2))
            let listener = try await fake.listen(group.loops[1])
            try await withDialer(group.loops[0], listener.boundAddress.port) { link, handler in
                await handler.events.wait { $0.contains(where: \.isOpened) }
                #expect(await link.request(request(), body: [], token: 5) == nil)
                await handler.events.wait { $0.contains(where: \.isClosed) }
                let events = handler.events.all.drop { !$0.isOpened }.dropFirst()
                #expect(
                    Array(events.prefix(3))
                        == [.suspects(true), .lost(LinkLoss(token: 5, wasSent: true)), .closed(.silent)])
            }
            await on(group.loops[1]) { listener.close() }
        }
    }

    @Test func `a peer that answers again is trusted again`() async throws {
        try await withLoops(2) { group in
            let pings = Atomic<Int>(0)
            let fake = FakeNode(
                configuration("node-2", 2),
                took: { stream, header in
                    guard header.kind == .ping else { return }
                    if pings.add(1, ordering: .relaxed).newValue >= 4 {
                        WholeFrame(header: FrameHeader(.pong, request: header.request)).write(to: stream)
                    }
                })
            let listener = try await fake.listen(group.loops[1])
            try await withDialer(group.loops[0], listener.boundAddress.port) { link, handler in
                await handler.events.wait { $0.contains(.suspects(false)) }
                #expect(handler.events.all.filter { $0 == .suspects(true) }.count == 1)
                #expect(await link.roundTripNanoseconds != nil)
            }
            await on(group.loops[1]) { listener.close() }
        }
    }

    @Test func `a request that is not answered in time is lost, and the link stays`() async throws {
        try await withLink(service: EchoService(answers: false)) { link, handler, _, service in
            await handler.events.wait { $0.contains(where: \.isOpened) }
            #expect(await link.request(request(100), body: [], token: 3) == nil)
            await handler.events.wait { $0.contains(.lost(LinkLoss(token: 3, wasSent: true))) }
            #expect(await link.isOpen)
            #expect(await link.requestsInFlight == 0)
        }
    }

    @Test func `a link comes back when the peer has restarted`() async throws {
        try await withLoops(3) { group in
            let first = try await TestNode(group.loops[1], configuration("node-2", 2), service: EchoService())
            let port = first.port
            try await withDialer(group.loops[0], port) { link, handler in
                await handler.events.wait { $0.contains(where: \.isOpened) }
                await first.stop()
                await handler.events.wait { $0.contains(where: \.isClosed) }
                #expect(await link.request(request(), body: [], token: 1) == .notOpen)
                let second = try await TestNode(
                    group.loops[2], configuration("node-2", 22), service: EchoService(), port: port)
                await handler.events.wait { $0.filter(\.isOpened).count == 2 }
                #expect(await link.peer?.identity.incarnation == 22)
                #expect(await link.request(request(), body: [4], token: 2) == nil)
                await handler.events.wait { $0.contains(where: \.isAnswer) }
                await second.stop()
            }
        }
    }

    @Test func `after a goodbye the last answer comes, then the link closes`() async throws {
        let log = LogLines()
        try await withLink(
            configuration("node-1", 1, log: log.log()), service: EchoService(answers: false)
        ) { link, handler, node, service in
            await handler.events.wait { $0.contains(where: \.isOpened) }
            #expect(await link.request(request(), body: [1], token: 1) == nil)
            await service.events.wait { $0.contains(where: \.isRequest) }
            await node.host.sayGoodbye()
            guard case .request(let ticket, _, _)? = service.events.all.first else { return #expect(Bool(false)) }
            // The goodbye was gathered before; what arrives behind it finds the link leaving.
            await node.host.reply(to: ticket, FrameHeader(.reply), body: [2])
            await handler.events.wait { $0.contains(where: \.isClosed) }
            #expect(handler.events.all.contains { if case .answered(1, _, [2]) = $0 { true } else { false } })
            await log.wait("link.failed", "the other node leaves")
            #expect(handler.events.all.filter(\.isOpened).count == 1)
        }
    }

    @Test func `closing tells what became of each request`() async throws {
        try await withLoops(2) { group in
            let service = EchoService(answers: false)
            let node = try await TestNode(group.loops[1], configuration("node-2", 2), service: service)
            let shared = LinkLoop(on: group.loops[0], configuration: configuration("node-1", 1))
            await shared.start()
            let handler = RecordingHandler()
            let link = Link(to: "127.0.0.1", port: node.port, expecting: nil, shared: shared, handler: handler)
            await link.open()
            await handler.events.wait { $0.contains(where: \.isOpened) }
            for token in 1...3 as ClosedRange<UInt64> {
                #expect(await link.request(request(), body: [], token: token) == nil)
            }
            await link.close()
            let losses = (1...3).map { LinkEvent.lost(LinkLoss(token: $0, wasSent: true)) }
            #expect(Array(handler.events.all.dropFirst()) == losses + [.closed(.local)])
            // What was gathered has left all the same.
            await service.events.wait { $0.filter(\.isRequest).count == 3 }
            await link.close()
            await shared.stop()
            await node.stop()
        }
    }
}
