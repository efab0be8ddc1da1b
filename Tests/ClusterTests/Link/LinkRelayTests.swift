import Platform
import Protocol
import TestSupport
import Testing

@testable import Cluster

/// Three nodes, one loop each: `a` means `b`, and reaches `c` alone, which reaches both.
@Suite(.timeLimit(.minutes(5)))
struct LinkRelayTests {
    private struct Nodes {
        let log: LogLines
        /// Where `b` seems to be, and is not.
        let wrongPort: UInt16
        let group: LoopGroup
        let shared: LinkLoop
        let b: TestNode
        let c: TestNode
        let serviceOfB: EchoService
        let serviceOfC: EchoService
        let link: Link
        let handler: RecordingHandler
        let helper: Link
    }

    private static func deadPort(_ loop: EventLoop) async throws -> UInt16 {
        let listener = try await on(loop) {
            Result { () throws(SystemError) in
                try TCPListener(
                    TCPAddress(bytes: [127, 0, 0, 1], port: 0), options: TCPListenerOptions(), loops: [loop]
                ) { _, stream in stream.close() }
            }
        }.get()
        await on(loop) { listener.close() }
        return listener.boundAddress.port
    }

    /// - Parameter isReached: whether `c` has a link to `b`.
    private func withNodes(isReached: Bool = true, _ body: (Nodes) async throws -> Void) async throws {
        try await withLoops(3) { group in
            let log = LogLines()
            let (serviceOfB, serviceOfC) = (EchoService(), EchoService())
            let b = try await TestNode(group.loops[1], configuration("b", 2), service: serviceOfB)
            let c = try await TestNode(group.loops[2], configuration("c", 3), service: serviceOfC)
            let own = configuration("a", 1, log: log.log())
            let shared = LinkLoop(on: group.loops[0], configuration: own)
            await shared.start()
            let (toB, toC) = (RecordingHandler(), RecordingHandler())
            let between = Link(
                to: "127.0.0.1", port: isReached ? b.port : c.port, expecting: isReached ? "b" : "c", incarnation: 2,
                shared: c.shared, handler: toB)
            await between.open()
            if isReached { await toB.events.wait { $0.contains(where: \.isOpened) } }
            let helper = Link(
                to: "127.0.0.1", port: c.port, expecting: "c", incarnation: 3, shared: shared, handler: toC)
            await helper.open()
            await toC.events.wait { $0.contains(where: \.isOpened) }
            let handler = RecordingHandler()
            let wrongPort = try await Self.deadPort(group.loops[1])
            let link = Link(
                to: "127.0.0.1", port: wrongPort, expecting: "b", incarnation: 2, shared: shared, handler: handler)
            await link.open()
            let result: Result<Void, any Error>
            do {
                result = .success(
                    try await body(
                        Nodes(
                            log: log, wrongPort: wrongPort, group: group, shared: shared, b: b, c: c,
                            serviceOfB: serviceOfB, serviceOfC: serviceOfC, link: link, handler: handler,
                            helper: helper)))
            } catch {
                result = .failure(error)
            }
            await link.close()
            await helper.close()
            await between.close()
            await shared.stop()
            await c.stop()
            await b.stop()
            try result.get()
        }
    }

    private func request(_ slot: UInt16 = 17) -> FrameHeader {
        FrameHeader(.request, slot: Slot(slot), remainingMilliseconds: 60_000)
    }

    @Test func `requests, answers and events go through another node where the straight path is broken`() async throws {
        try await withNodes { nodes in
            await nodes.handler.events.wait { $0.contains(where: \.isOpened) }
            #expect(
                nodes.handler.events.all.first
                    == .opened(LinkPeer(identity: NodeIdentity(name: "b", incarnation: 2), protocolVersion: 1)))
            #expect(await nodes.link.request(request(), body: [1, 2, 3], token: 7) == nil)
            await nodes.handler.events.wait { $0.contains(where: \.isAnswer) }
            guard case .answered(7, _, [1, 2, 3])? = nodes.handler.events.all.first(where: \.isAnswer),
                case .request(let ticket, let asked, _)? = nodes.serviceOfB.events.all.first(where: \.isRequest)
            else { return #expect(Bool(false)) }
            #expect(asked.hops == 1)
            #expect(await nodes.b.host.publish(on: ticket.link, FrameHeader(.event, slot: Slot(17)), body: [9]))
            await nodes.handler.events.wait {
                $0.contains { if case .received(_, [9]) = $0 { true } else { false } }
            }
            // The node on the way serves nothing of it.
            #expect(!nodes.serviceOfC.events.all.contains { $0.isRequest })
            #expect(nodes.shared.configuration.routes.reached == [2, 3])
            #expect(nodes.shared.configuration.routes.address(of: 2) == nil)
        }
    }

    @Test func `as many bytes as the sockets do not take at once arrive all the same`() async throws {
        try await withNodes { nodes in
            await nodes.handler.events.wait { $0.contains(where: \.isOpened) }
            let body = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            for _ in 0..<4 {
                let known = nodes.handler.events.all.count
                for token in 0..<60 as Range<UInt64> {
                    #expect(await nodes.link.request(request(), body: body, token: token) == nil)
                }
                await nodes.handler.events.wait { $0.count >= known + 60 }
            }
            for case .answered(_, _, let answer) in nodes.handler.events.all { #expect(answer == body) }
            #expect(nodes.handler.events.all.count { $0.isAnswer } == 240)
        }
    }

    @Test func `who reaches the target no better says so, and is asked again later`() async throws {
        try await withNodes(isReached: false) { nodes in
            await nodes.log.wait("no other node reaches it either")
            #expect(nodes.handler.events.all.isEmpty)
            #expect(nodes.shared.configuration.routes.reached == [3])
        }
    }

    @Test func `when the node on the way leaves, the link is lost as any other`() async throws {
        try await withNodes { nodes in
            await nodes.handler.events.wait { $0.contains(where: \.isOpened) }
            await nodes.helper.close()
            await nodes.c.host.stop()
            await nodes.handler.events.wait { $0.contains(where: \.isClosed) }
            await nodes.serviceOfB.events.wait { events in
                events.contains { if case .gone = $0 { true } else { false } }
            }
            #expect(nodes.shared.configuration.routes.reached.isEmpty)
        }
    }

    @Test func `once the straight path works again the link takes it`() async throws {
        try await withNodes { nodes in
            await nodes.handler.events.wait { $0.contains(where: \.isOpened) }
            let (loop, host, port) = (nodes.group.loops[1], nodes.b.host, nodes.wrongPort)
            let listener = try await on(loop) {
                Result { () throws(SystemError) in
                    try TCPListener(
                        TCPAddress(bytes: [127, 0, 0, 1], port: port), options: TCPListenerOptions(), loops: [loop]
                    ) { _, stream in host.assumeIsolated { $0.accept(stream) } }
                }
            }.get()
            await nodes.handler.events.wait { $0.contains(.closed(.detour)) }
            await nodes.handler.events.wait { $0.count(where: \.isOpened) == 2 }
            #expect(nodes.shared.configuration.routes.address(of: 2)?.port == port)
            await on(loop) { listener.close() }
        }
    }
}
