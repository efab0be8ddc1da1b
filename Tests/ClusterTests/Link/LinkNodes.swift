// Nodes for the tests of links: a loop with a listener and a host, handlers that record, and peers that misbehave.

import Protocol
import TestSupport

@testable import Cluster
@testable import Platform

/// What happened so far, and a way to wait for more.
final class Happenings<Event: Sendable>: Sendable {
    private typealias Waiter = (isThere: @Sendable ([Event]) -> Bool, continuation: CheckedContinuation<Void, Never>)
    private let state = Locked<(events: [Event], waiters: [Waiter])>(([], []))

    var all: [Event] { state.withLock { $0.events } }

    func append(_ event: Event) {
        let ready = state.withLock { state in
            state.events.append(event)
            guard !state.waiters.isEmpty else { return [Waiter]() }
            let events = state.events
            let ready = state.waiters.filter { $0.isThere(events) }
            state.waiters.removeAll { $0.isThere(events) }
            return ready
        }
        for waiter in ready { waiter.continuation.resume() }
    }

    /// Waits until the list is as wanted.
    func wait(_ isThere: @escaping @Sendable ([Event]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let isNow = state.withLock { state in
                if isThere(state.events) { return true }
                state.waiters.append((isThere, continuation))
                return false
            }
            if isNow { continuation.resume() }
        }
    }
}

/// Lines of a log, as text.
final class LogLines: Sendable {
    let lines = Happenings<String>()

    func log(_ level: LogLevel = .info) -> Log {
        Log(level: level, format: .text, clock: SystemClock()) { [lines] line in
            lines.append(String(decoding: line, as: UTF8.self))
        }
    }

    func wait(_ parts: String...) async {
        await lines.wait { lines in lines.contains { line in parts.allSatisfy { line.contains($0) } } }
    }
}

func configuration(
    _ name: String, _ incarnation: UInt128, secret: UInt8 = 0x5A, clock: any Clock = SystemClock(), log: Log = .silent,
    table: UInt64 = 0
) -> LinkConfiguration {
    LinkConfiguration(
        identity: NodeIdentity(name: name, incarnation: incarnation),
        key: LinkKey(clusterSecret: [UInt8](repeating: secret, count: 32)), clock: clock, log: log,
        tableVersion: { table })
}

/// What a link tells its handler.
enum LinkEvent: Sendable, Equatable {
    case opened(LinkPeer)
    case answered(UInt64, FrameHeader, [UInt8])
    case lost(LinkLoss)
    case received(FrameHeader, [UInt8])
    case suspects(Bool)
    case sawTable(UInt64)
    case closed(LinkCloseReason)

    var isOpened: Bool { if case .opened = self { true } else { false } }
    var isAnswer: Bool { if case .answered = self { true } else { false } }
    var isLoss: Bool { if case .lost = self { true } else { false } }
    var isClosed: Bool { if case .closed = self { true } else { false } }
}

/// Copies a body that is lent.
func copy(_ body: Span<UInt8>) -> [UInt8] { body.withUnsafeBufferPointer { Array($0) } }

/// A handler that writes everything down.
final class RecordingHandler: LinkHandler {
    let events = Happenings<LinkEvent>()

    func linkOpened(_ link: Link, _ peer: LinkPeer) { events.append(.opened(peer)) }
    func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>) {
        events.append(.answered(token, header, copy(body)))
    }
    func linkLost(_ link: Link, _ loss: LinkLoss) { events.append(.lost(loss)) }
    func linkReceived(_ link: Link, _ header: FrameHeader, _ body: Span<UInt8>) {
        events.append(.received(header, copy(body)))
    }
    func linkSuspects(_ link: Link, _ isSuspect: Bool) { events.append(.suspects(isSuspect)) }
    func linkSawTable(_ link: Link, _ version: UInt64) { events.append(.sawTable(version)) }
    func linkClosed(_ link: Link, _ reason: LinkCloseReason) { events.append(.closed(reason)) }
}

/// What a host tells its service.
enum ServiceEvent: Sendable, Equatable {
    case request(LinkTicket, FrameHeader, [UInt8])
    case unsubscribed(HostedLinkID, FrameHeader, [UInt8])
    case present(HostedLinkID, FrameHeader, [UInt8])
    case sawTable(UInt64)
    case gone(HostedLinkID)

    var isRequest: Bool { if case .request = self { true } else { false } }
}

/// A service that writes everything down, and answers with the body where it is to.
final class EchoService: LinkService {
    let events = Happenings<ServiceEvent>()
    let answers: Bool

    init(answers: Bool = true) { self.answers = answers }

    func serve(_ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>) {
        let body = copy(body)
        events.append(.request(ticket, header, body))
        guard answers else { return }
        host.assumeIsolated {
            $0.reply(to: ticket, FrameHeader(.reply, slot: header.slot, epoch: header.epoch), body: body)
        }
    }
    func unsubscribed(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {
        events.append(.unsubscribed(link, header, copy(body)))
    }
    func present(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {
        events.append(.present(link, header, copy(body)))
    }
    func hostSawTable(_ host: LinkHost, _ peer: LinkPeer, _ version: UInt64) { events.append(.sawTable(version)) }
    func linkGone(_ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer) { events.append(.gone(link)) }
}

/// A loop with a listener and a host.
struct TestNode: Sendable {
    let shared: LinkLoop
    let host: LinkHost
    let listener: TCPListener

    var port: UInt16 { listener.boundAddress.port }

    init(
        _ loop: EventLoop, _ configuration: LinkConfiguration, service: any LinkService, port: UInt16 = 0
    ) async throws {
        shared = LinkLoop(on: loop, configuration: configuration)
        await shared.start()
        host = LinkHost(shared: shared, service: service)
        await host.start()
        let host = host
        listener = try await on(loop) {
            Result { () throws(SystemError) in
                try TCPListener(
                    TCPAddress(bytes: [127, 0, 0, 1], port: port), options: TCPListenerOptions(), loops: [loop]
                ) { _, stream in host.assumeIsolated { $0.accept(stream) } }
            }
        }.get()
    }

    func stop() async {
        let listener = listener
        await on(shared.loop) { listener.close() }
        await host.stop()
        await shared.stop()
    }
}

/// A socket whose other end is a link, driven by the test.
final class RawPeer: TCPStreamHandler {
    let received = Happenings<[UInt8]>()
    let closed = Happenings<TCPCloseReason>()

    func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        received.append(Array(bytes))
    }
    func streamDrained(_ stream: TCPStream) {}
    func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) { closed.append(reason) }

    /// Connects to a node.
    func dial(_ port: UInt16, on loop: EventLoop) async throws -> TCPStream {
        let address = TCPAddress(bytes: [127, 0, 0, 1], port: port)
        let stream: TCPStream = try await withCheckedContinuation { continuation in
            loop.execute {
                _ = TCPConnectAttempt(to: address, on: loop, timeoutNanoseconds: 20_000_000_000) { outcome in
                    if case .success(let stream) = outcome {
                        stream.handler = self
                        stream.startReading()
                    }
                    continuation.resume(returning: outcome)
                }
            }
        }.get()
        return stream
    }
}

/// A listener that shakes hands as a node does, and then does what the test wants.
final class FakeNode: TCPStreamHandler, @unchecked Sendable {
    // Safe: touched on the loop alone.
    private var handshake: LinkHandshake?
    private var decoder = FrameDecoder()
    private var streams: [TCPStream] = []
    private let configuration: LinkConfiguration
    private let opened: @Sendable (TCPStream) -> Void
    private let took: @Sendable (TCPStream, FrameHeader) -> Void

    init(
        _ configuration: LinkConfiguration, opened: @escaping @Sendable (TCPStream) -> Void = { _ in },
        took: @escaping @Sendable (TCPStream, FrameHeader) -> Void = { _, _ in }
    ) {
        self.configuration = configuration
        self.opened = opened
        self.took = took
    }

    func listen(_ loop: EventLoop) async throws -> TCPListener {
        try await on(loop) {
            Result { () throws(SystemError) in
                try TCPListener(
                    TCPAddress(bytes: [127, 0, 0, 1], port: 0), options: TCPListenerOptions(), loops: [loop]
                ) { _, stream in self.begin(stream, .listener) }
            }
        }.get()
    }

    /// Dials a node instead, and shakes hands as a link does.
    func dial(_ port: UInt16, on loop: EventLoop) async {
        let address = TCPAddress(bytes: [127, 0, 0, 1], port: port)
        await on(loop) {
            _ = TCPConnectAttempt(to: address, on: loop, timeoutNanoseconds: 20_000_000_000) { outcome in
                if case .success(let stream) = outcome { self.begin(stream, .dialer) }
            }
        }
    }

    /// Closes every socket; call on the loop. One that does not read would not see its peer's end.
    func close() { for stream in streams { stream.close() } }

    private func begin(_ stream: TCPStream, _ role: LinkHandshake.Role) {
        streams.append(stream)
        decoder = FrameDecoder()
        handshake = LinkHandshake(
            role, as: configuration.identity, key: configuration.key, random: SystemRandom(), now: 0)
        stream.handler = self
        stream.startReading()
        run(handshake?.connected() ?? [], stream)
    }

    private func run(_ actions: [LinkHandshake.Action], _ stream: TCPStream) {
        for action in actions {
            switch action {
            case .send(let kind, let body): WholeFrame(header: FrameHeader(kind), body: body).write(to: stream)
            case .open:
                handshake = nil
                opened(stream)
            case .close: stream.close()
            }
        }
    }

    func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        for frame in (try? decoder.all(Array(bytes))) ?? [] {
            if let actions = handshake?.received(frame.header.kind, frame.body) {
                run(actions, stream)
            } else {
                took(stream, frame.header)
            }
        }
    }
    func streamDrained(_ stream: TCPStream) {}
    func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {}
}

extension WholeFrame {
    func write(to stream: TCPStream) { bytes.withUnsafeBytes { stream.write($0) } }
}
