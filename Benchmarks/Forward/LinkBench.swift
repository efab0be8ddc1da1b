// Load for one link between two processes, framed, authenticated and checksummed as nodes speak.
//
//   LinkBench owner                                   prints its port; answers each request with its body, until
//                                                     its input ends
//   LinkBench ask PORT BYTES WINDOW SECONDS           keeps WINDOW requests of BYTES bytes under way; one line of JSON:
//                                                     answers a second, and the time from a request to its answer
//
// Benchmarks/forward.py runs it beside brokers that carry the same number of bytes.

internal import Cluster
internal import Foundation
internal import Platform
internal import Protocol

@main
struct LinkBench {
    static func main() async throws {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "owner" where arguments.count == 2: try await own()
        case "ask" where arguments.count == 6:
            guard let port = UInt16(arguments[2]), let bytes = Int(arguments[3]), let window = Int(arguments[4]),
                let seconds = Double(arguments[5]), bytes >= 0, bytes < 65_536, (1...16_384).contains(window)
            else { usage() }
            print(await ask(port, bytes, window, seconds))
        default: usage()
        }
    }

    private static func usage() -> Never {
        FileHandle.standardError.write(Data("usage: LinkBench owner | ask PORT BYTES WINDOW SECONDS\n".utf8))
        exit(2)
    }

    private static func configuration(_ name: String, _ incarnation: UInt128) -> LinkConfiguration {
        LinkConfiguration(
            identity: NodeIdentity(name: name, incarnation: incarnation),
            key: LinkKey(clusterSecret: [UInt8](repeating: 7, count: 32)), log: .silent, tableVersion: { 1 })
    }

    private static func own() async throws {
        let group = LoopGroup(count: 1, name: "owner")
        let loop = group.loops[0]
        let shared = LinkLoop(on: loop, configuration: configuration("owner", 2))
        await shared.start()
        let host = LinkHost(shared: shared, service: Echo())
        await host.start()
        let listener = try await withCheckedContinuation { continuation in
            loop.execute {
                continuation.resume(
                    returning: Result { () throws(SystemError) in
                        try TCPListener(
                            TCPAddress(bytes: [127, 0, 0, 1], port: 0), options: TCPListenerOptions(), loops: [loop]
                        ) { _, stream in host.assumeIsolated { $0.accept(stream) } }
                    })
            }
        }.get()
        print(listener.boundAddress.port)
        fflush(nil)
        while readLine() != nil {}
        exit(0)
    }

    private static func ask(_ port: UInt16, _ bytes: Int, _ window: Int, _ seconds: Double) async -> String {
        let group = LoopGroup(count: 1, name: "asker")
        let loop = group.loops[0]
        let shared = LinkLoop(on: loop, configuration: configuration("asker", 1))
        await shared.start()
        return await withCheckedContinuation { continuation in
            let asker = Asker(loop, bytes: bytes, window: window, seconds: seconds) {
                continuation.resume(returning: $0)
            }
            let link = Link(to: "127.0.0.1", port: port, expecting: nil, shared: shared, handler: asker)
            loop.execute { link.assumeIsolated { $0.open() } }
        }
    }
}

/// Sends each request's body back.
private final class Echo: LinkService {
    func serve(_ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>) {
        // Safe: the buffer is read during the closure alone, in which the span lives.
        let body = unsafe body.withUnsafeBufferPointer { unsafe Array($0) }
        host.onLoop { $0.reply(to: ticket, FrameHeader(.reply, slot: header.slot), body: body) }
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

/// Keeps its window full, warms up for a second, then counts.
private actor Asker: LinkHandler, LoopActor {
    private static let warmUp: UInt64 = 1_000_000_000

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private let body: [UInt8]
    private let window: Int
    private let nanoseconds: UInt64
    private let done: @Sendable (String) -> Void
    private var link: Link?
    private var underWay = 0
    private var answers = 0
    private var startedAt: UInt64 = 0
    private var isMeasuring = false
    private var isDone = false
    /// When the request with this token left.
    private var sentAt: [UInt64]
    private var next: UInt64 = 0
    private var times: [UInt32] = []

    init(
        _ loop: EventLoop, bytes: Int, window: Int, seconds: Double, done: @escaping @Sendable (String) -> Void
    ) {
        self.loop = loop
        self.window = window
        self.done = done
        body = [UInt8](repeating: 9, count: bytes)
        nanoseconds = UInt64(seconds * 1e9)
        sentAt = Array(repeating: 0, count: 2 * window)
    }

    nonisolated func linkOpened(_ link: Link, _ peer: LinkPeer) {
        assumeIsolated { asker in
            asker.link = link
            asker.startedAt = MonotonicTime.now.nanoseconds
            asker.loop.onTurnEnd { asker.onLoop { $0.fill() } }
        }
    }

    private func fill() {
        guard let link, !isDone, underWay < window else { return }
        let now = MonotonicTime.now.nanoseconds
        let header = FrameHeader(.request, slot: Slot(1), remainingMilliseconds: 60_000)
        let body = body
        while underWay < window {
            let token = next % UInt64(sentAt.count)
            guard link.onLoop({ $0.request(header, body: body, token: token) }) == nil else { return }
            sentAt[Int(token)] = now
            next += 1
            underWay += 1
        }
    }

    nonisolated func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>) {
        onLoop { $0.took(token) }
    }

    private func took(_ token: UInt64) {
        underWay -= 1
        answers += 1
        guard isMeasuring else {
            // The clock is asked now and then alone.
            guard answers & 0xFF == 0 || window == 1 else { return }
            let now = MonotonicTime.now.nanoseconds
            guard now - startedAt > Self.warmUp else { return }
            isMeasuring = true
            startedAt = now
            answers = 0
            return
        }
        guard answers & 0xF == 0 || window == 1 else { return }
        let now = MonotonicTime.now.nanoseconds
        times.append(UInt32(truncatingIfNeeded: now - sentAt[Int(token)]))
        if now - startedAt >= nanoseconds { finish(now) }
    }

    private func finish(_ now: UInt64) {
        guard !isDone else { return }
        isDone = true
        times.sort()
        func quantile(_ share: Double) -> Double {
            times.isEmpty ? 0 : Double(times[Int(Double(times.count - 1) * share)]) / 1000
        }
        let rate = Double(answers) / (Double(now - startedAt) / 1e9)
        done("{\"per_s\":\(Int(rate)),\"p50_us\":\(quantile(0.5)),\"p99_us\":\(quantile(0.99))}")
    }

    nonisolated func linkLost(_ link: Link, _ loss: LinkLoss) { fail("a request was lost") }
    nonisolated func linkClosed(_ link: Link, _ reason: LinkCloseReason) { fail("the link was lost: \(reason)") }
    private nonisolated func fail(_ reason: String) {
        FileHandle.standardError.write(Data("\(reason)\n".utf8))
        exit(1)
    }
    nonisolated func linkReceived(_ link: Link, _ header: FrameHeader, _ body: Span<UInt8>) {}
    nonisolated func linkSuspects(_ link: Link, _ isSuspect: Bool) {}
    nonisolated func linkSawTable(_ link: Link, _ version: UInt64) {}
}
