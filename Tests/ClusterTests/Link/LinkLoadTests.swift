// Links under load: order, batching, bounds. Figures are printed to be read; what is asserted is that the work was done.

import Protocol
import Synchronization
import TestSupport
import Testing

@testable import Cluster
@testable import Platform

/// Keeps a window of requests under way and checks that each is answered, in order.
private actor Sender: LinkHandler {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let done = Happenings<Int>()
    nonisolated let opened = Happenings<LinkPeer>()

    private let total: Int
    private let window: Int
    private let body: [UInt8]
    private var sent = 0
    private var answered = 0
    private var faults = 0
    private var link: Link?
    /// When each request left, by its place; kept where round trips are wanted.
    private(set) var roundTrips: [UInt64] = []
    private var sentAt: UInt64 = 0

    init(_ loop: EventLoop, total: Int, window: Int, body: [UInt8]) {
        self.loop = loop
        self.total = total
        self.window = window
        self.body = body
    }

    func start(_ link: Link) {
        self.link = link
        fill()
    }

    private func fill() {
        guard let link else { return }
        while sent < total, sent - answered < window {
            let header = FrameHeader(.request, slot: Slot(1), remainingMilliseconds: 60_000)
            if window == 1 { sentAt = MonotonicTime.now.nanoseconds }
            let (token, body) = (UInt64(sent), body)
            let refusal = link.assumeIsolated { $0.request(header, body: body, token: token) }
            guard refusal == nil else { return faults += 1 }
            sent += 1
        }
    }

    private func took(_ token: UInt64, _ count: Int) {
        if token != UInt64(answered) || count != body.count { faults += 1 }
        if window == 1 { roundTrips.append(MonotonicTime.now.nanoseconds - sentAt) }
        answered += 1
        if answered == total { return done.append(faults) }
        // Half a window at a time, as edges do that gather a turn.
        if sent - answered <= window / 2 { fill() }
    }

    nonisolated func linkOpened(_ link: Link, _ peer: LinkPeer) { opened.append(peer) }
    nonisolated func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>) {
        let count = body.count
        assumeIsolated { $0.took(token, count) }
    }
    nonisolated func linkLost(_ link: Link, _ loss: LinkLoss) { done.append(-1) }
    nonisolated func linkReceived(_ link: Link, _ header: FrameHeader, _ body: Span<UInt8>) {}
    nonisolated func linkSuspects(_ link: Link, _ isSuspect: Bool) {}
    nonisolated func linkSawTable(_ link: Link, _ version: UInt64) {}
    nonisolated func linkClosed(_ link: Link, _ reason: LinkCloseReason) {}
}

/// Answers each request with its body, and writes nothing down.
private final class QuietEcho: LinkService {
    func serve(_ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>) {
        let body = copy(body)
        host.assumeIsolated { $0.reply(to: ticket, FrameHeader(.reply, slot: header.slot), body: body) }
    }
    func unsubscribed(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {}
    func present(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {}
    func hostSawTable(_ host: LinkHost, _ peer: LinkPeer, _ version: UInt64) {}
    func linkGone(_ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer) {}
}

@Suite(.serialized, .timeLimit(.minutes(5)))
struct LinkLoadTests {
    private func exchange(total: Int, window: Int, bytes: Int) async throws -> (UInt64, LinkTraffic, [UInt64]) {
        nonisolated(unsafe) var outcome: (UInt64, LinkTraffic, [UInt64]) = (0, LinkTraffic(), [])
        try await withLoops(2) { group in
            let node = try await TestNode(group.loops[1], configuration("node-2", 2), service: QuietEcho())
            let shared = LinkLoop(on: group.loops[0], configuration: configuration("node-1", 1))
            await shared.start()
            let sender = Sender(
                group.loops[0], total: total, window: window, body: [UInt8](repeating: 9, count: bytes))
            let link = Link(to: "127.0.0.1", port: node.port, expecting: nil, shared: shared, handler: sender)
            await link.open()
            await sender.opened.wait { !$0.isEmpty }
            let start = MonotonicTime.now
            await sender.start(link)
            await sender.done.wait { !$0.isEmpty }
            let nanoseconds = MonotonicTime.now.nanoseconds - start.nanoseconds
            #expect(sender.done.all == [0])
            outcome = (nanoseconds, await link.traffic, await sender.roundTrips)
            await link.close()
            await shared.stop()
            await node.stop()
        }
        return outcome
    }

    @Test func `a hundred thousand requests are answered in order, many in one write`() async throws {
        let (nanoseconds, traffic, _) = try await exchange(total: 100_000, window: 2048, bytes: 60)
        // Pings ride along.
        #expect(traffic.framesSent >= 100_000 && traffic.framesReceived >= 100_000)
        #expect(traffic.writes < 10_000)
        let rate = 100_000 * 1_000_000 / (nanoseconds / 1000)
        print("figure: requests answered over one link: \(rate)/s, \(traffic.framesSent / traffic.writes) in a write")
    }

    @Test func `one request at a time, and its round trip`() async throws {
        let (_, _, roundTrips) = try await exchange(total: 5000, window: 1, bytes: 60)
        let sorted = roundTrips.sorted()
        #expect(sorted.count == 5000)
        print(
            "figure: round trip over a link: p50 \(sorted[2500] / 1000) us, p99 \(sorted[4950] / 1000) us")
    }

    @Test func `requests over the bound are refused at once, and every other one is answered`() async throws {
        try await withLoops(2) { group in
            let node = try await TestNode(group.loops[1], configuration("node-2", 2), service: QuietEcho())
            let shared = LinkLoop(on: group.loops[0], configuration: configuration("node-1", 1))
            await shared.start()
            let handler = RecordingHandler()
            let link = Link(to: "127.0.0.1", port: node.port, expecting: nil, shared: shared, handler: handler)
            await link.open()
            await handler.events.wait { $0.contains(where: \.isOpened) }
            // All in one turn: nothing can be answered meanwhile.
            let refusals = await on(group.loops[0]) {
                link.assumeIsolated { link in
                    (0..<20_000).map { token in
                        link.request(
                            FrameHeader(.request, remainingMilliseconds: 60_000), body: [1], token: UInt64(token))
                    }
                }
            }
            let taken = LinkLimits().requestsInFlight
            #expect(refusals.prefix(taken).allSatisfy { $0 == nil })
            #expect(refusals.dropFirst(taken).allSatisfy { $0 == .overloaded })
            await handler.events.wait { $0.count == taken + 1 }
            #expect(handler.events.all.count(where: \.isAnswer) == taken)
            #expect(await link.requestsInFlight == 0)
            await link.close()
            await shared.stop()
            await node.stop()
        }
    }

    @Test func `while a peer takes nothing bytes wait up to the bound, and the rest is refused`() async throws {
        try await withLoops(2) { group in
            let deaf = FakeNode(configuration("node-2", 2), opened: { $0.stopReading() })
            let listener = try await deaf.listen(group.loops[1])
            let shared = LinkLoop(on: group.loops[0], configuration: configuration("node-1", 1))
            await shared.start()
            let handler = RecordingHandler()
            let link = Link(
                to: "127.0.0.1", port: listener.boundAddress.port, expecting: nil, shared: shared, handler: handler)
            await link.open()
            await handler.events.wait { $0.contains(where: \.isOpened) }
            let body = [UInt8](repeating: 3, count: 500_000)
            var refusals: [LinkRefusal?] = []
            // A few refusals are enough: a link that takes nothing for seconds is given up.
            for token in 0..<100 as Range<UInt64> where refusals.count(where: { $0 != nil }) < 3 {
                let header = FrameHeader(.request, remainingMilliseconds: 60_000)
                refusals.append(await link.request(header, body: body, token: token))
                // Each in a turn of its own, so that the first write that blocks is followed by others.
                await on(group.loops[0]) {}
            }
            let taken = refusals.count { $0 == nil }
            #expect(refusals.dropFirst(taken) == [.overloaded, .overloaded, .overloaded])
            // The bound, and what the kernel's two buffers swallow.
            #expect((8..<60).contains(taken))
            await handler.events.wait { $0.contains(where: \.isClosed) }
            var losses: [LinkLoss] = []
            for case .lost(let loss) in handler.events.all { losses.append(loss) }
            #expect(losses.map(\.token) == (0..<UInt64(taken)).map { $0 })
            // What never left can go elsewhere without a second thought.
            #expect(losses.first?.wasSent == true)
            #expect(losses.last?.wasSent == false)
            await link.close()
            await shared.stop()
            await on(group.loops[1]) {
                listener.close()
                deaf.close()
            }
        }
    }

    @Test func `a subscriber that takes nothing loses its link, not single events`() async throws {
        try await withLoops(2) { group in
            let log = LogLines()
            let service = EchoService(answers: false)
            let node = try await TestNode(
                group.loops[1], configuration("node-2", 2, log: log.log()), service: service)
            let deaf = FakeNode(
                configuration("node-1", 1),
                opened: { stream in
                    let header = FrameHeader(.subscribe, request: 1, remainingMilliseconds: 60_000, hops: 1)
                    WholeFrame(header: header).write(to: stream)
                    stream.stopReading()
                })
            await deaf.dial(node.port, on: group.loops[0])
            await service.events.wait { $0.contains(where: \.isRequest) }
            guard case .request(let ticket, _, _)? = service.events.all.first else { return #expect(Bool(false)) }
            let body = [UInt8](repeating: 3, count: 500_000)
            let host = node.host
            let published = await on(group.loops[1]) {
                host.assumeIsolated { host in
                    (0..<100).count { _ in host.publish(on: ticket.link, FrameHeader(.event), body: body) }
                }
            }
            #expect((16..<80).contains(published))
            await log.wait("link.ended", "reads too slowly")
            #expect(service.events.all.last == .gone(ticket.link))
            #expect(await node.host.openLinks == 0)
            await node.stop()
            await on(group.loops[0]) { deaf.close() }
        }
    }
}
