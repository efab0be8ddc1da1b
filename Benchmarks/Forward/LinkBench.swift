// Load for one link between two processes, framed, authenticated and checksummed as nodes speak.
//
//   LinkBench owner                                   prints its port; answers each request with its body, until
//                                                     its input ends
//   LinkBench ask PORT BYTES WINDOW SECONDS [RATE [RUN]]
//
// `ask` keeps WINDOW messages of BYTES bytes under way, or with a RATE above 0 sends so many requests a second, and prints
// one line of JSON: messages answered a second, and the time from a request to its answer. A request holds a RUN of
// messages (1), as a node sends the commands of one turn: each behind its length, each with a status of its own in the
// answer.
//
// Benchmarks/forward.py runs it beside brokers that carry the same number of bytes.

internal import Cluster
internal import Foundation
internal import Platform
internal import Protocol

/// Reads a message's length and says where the next one begins.
private func end(_ body: Span<UInt8>, _ offset: Int) -> Int {
    offset + 2 + Int(body[offset]) + Int(body[offset + 1]) << 8
}

@main
struct LinkBench {
    static func main() async throws {
        let arguments = CommandLine.arguments
        switch arguments.dropFirst().first {
        case "owner" where arguments.count == 2: try await own()
        case "ask" where (6...8).contains(arguments.count):
            let rate = arguments.count > 6 ? UInt64(arguments[6]) : 0
            let run = arguments.count > 7 ? Int(arguments[7]) : 1
            guard let port = UInt16(arguments[2]), let bytes = Int(arguments[3]), let window = Int(arguments[4]),
                let seconds = Double(arguments[5]), let rate, let run, (0...1000).contains(bytes),
                (1...16_384).contains(window), (1...256).contains(run), rate <= 1000
            else { usage() }
            print(await ask(port, Load(bytes: bytes, window: window, rate: rate, run: run), seconds))
        default: usage()
        }
    }

    private static func usage() -> Never {
        let text = "usage: LinkBench owner | ask PORT BYTES WINDOW SECONDS [RATE [RUN]]\n"
        FileHandle.standardError.write(Data(text.utf8))
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

    private static func ask(_ port: UInt16, _ load: Load, _ seconds: Double) async -> String {
        let group = LoopGroup(count: 1, name: "asker")
        let loop = group.loops[0]
        let shared = LinkLoop(on: loop, configuration: configuration("asker", 1))
        await shared.start()
        return await withCheckedContinuation { continuation in
            let asker = Asker(loop, load, seconds: seconds) {
                continuation.resume(returning: $0)
            }
            let link = Link(to: "127.0.0.1", port: port, expecting: nil, shared: shared, handler: asker)
            loop.execute { link.assumeIsolated { $0.open() } }
        }
    }
}

private struct Load: Sendable {
    let bytes: Int
    let window: Int
    let rate: UInt64
    let run: Int
}

/// Reads each message of a request, and answers it with a status.
private final class Echo: LinkService {
    func serve(_ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>) {
        var statuses: [UInt8] = []
        var offset = 0
        while offset < body.count {
            statuses.append(body[offset + 2])
            offset = end(body, offset)
        }
        host.onLoop((ticket, FrameHeader(.reply, slot: header.slot), statuses)) {
            $0.reply(to: $1.0, $1.1, body: $1.2)
        }
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
    private let load: Load
    private let nanoseconds: UInt64
    private let done: @Sendable (String) -> Void
    private var link: Link?
    private var timer: LoopTimer?
    private var underWay = 0
    private var answers = 0
    private var replies = 0
    private var startedAt: UInt64 = 0
    private var isMeasuring = false
    private var isDone = false
    /// When the request with this token left.
    private var sentAt: [UInt64]
    private var next: UInt64 = 0
    private var times: [UInt32] = []

    init(
        _ loop: EventLoop, _ load: Load, seconds: Double, done: @escaping @Sendable (String) -> Void
    ) {
        self.loop = loop
        self.load = load
        self.done = done
        let message = [UInt8(load.bytes & 255), UInt8(load.bytes >> 8)] + [UInt8](repeating: 9, count: load.bytes)
        body = (0..<load.run).flatMap { _ in message }
        nanoseconds = UInt64(seconds * 1e9)
        sentAt = Array(repeating: 0, count: 2 * load.window + 1024)
    }

    nonisolated func linkOpened(_ link: Link, _ peer: LinkPeer) {
        assumeIsolated { asker in
            asker.link = link
            asker.startedAt = MonotonicTime.now.nanoseconds
            guard asker.load.rate > 0 else {
                return asker.loop.onTurnEnd { asker.onLoop { $0.fill() } }
            }
            let timer = LoopTimer(on: asker.loop) { asker.onLoop { $0.sendOne() } }
            let pause = 1_000_000_000 / asker.load.rate
            timer.schedule(afterNanoseconds: pause, repeatingNanoseconds: pause)
            asker.timer = timer
        }
    }

    private func fill() {
        guard let link, !isDone, underWay < load.window else { return }
        let now = MonotonicTime.now.nanoseconds
        let header = FrameHeader(.request, slot: Slot(1), remainingMilliseconds: 60_000)
        let body = body
        while underWay < load.window {
            let token = next % UInt64(sentAt.count)
            let refusal = link.onLoop((header, body, token)) { $0.request($1.0, body: $1.1, token: $1.2) }
            guard refusal == nil else { return }
            sentAt[Int(token)] = now
            next += 1
            underWay += load.run
        }
    }

    private func sendOne() {
        guard let link, !isDone else { return }
        let token = next % UInt64(sentAt.count)
        sentAt[Int(token)] = MonotonicTime.now.nanoseconds
        let header = FrameHeader(.request, slot: Slot(1), remainingMilliseconds: 60_000)
        let body = body
        _ = link.onLoop((header, body, token)) { $0.request($1.0, body: $1.1, token: $1.2) }
        next += 1
        underWay += load.run
    }

    nonisolated func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>) {
        var messages = 0
        for index in 0..<body.count where body[index] == 9 { messages += 1 }
        onLoop((token, messages)) { $0.took($1.0, $1.1) }
    }

    private func took(_ token: UInt64, _ messages: Int) {
        guard messages == load.run else { return fail("a message was lost") }
        underWay -= messages
        answers += messages
        replies += 1
        guard isMeasuring else {
            // The clock is asked now and then alone.
            guard replies & 0x3F == 0 || load.window == 1 else { return }
            let now = MonotonicTime.now.nanoseconds
            guard now - startedAt > Self.warmUp else { return }
            isMeasuring = true
            startedAt = now
            answers = 0
            return
        }
        guard replies & 0xF == 0 || load.window == 1 else { return }
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
