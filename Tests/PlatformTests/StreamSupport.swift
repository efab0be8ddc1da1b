// Both ends of a connection for the stream tests: a recording handler on the loop, a blocking socket on a thread.

import Glibc
import Synchronization
import TestSupport

@testable import Platform

/// A handler made of closures, which counts what must happen once.
final class TestHandler: TCPStreamHandler {
    let received: @Sendable (TCPStream, UnsafeMutableRawBufferPointer) -> Void
    let drained: @Sendable (TCPStream) -> Void
    let drains = Atomic<Int>(0)
    let bytes = Atomic<Int>(0)
    let reasons = Recorder<TCPCloseReason>()
    let closed = Signal()

    init(
        received: @escaping @Sendable (TCPStream, UnsafeMutableRawBufferPointer) -> Void = { _, _ in },
        drained: @escaping @Sendable (TCPStream) -> Void = { _ in }
    ) {
        self.received = received
        self.drained = drained
    }

    func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        self.bytes.add(bytes.count, ordering: .relaxed)
        received(stream, bytes)
    }

    func streamDrained(_ stream: TCPStream) {
        drains.add(1, ordering: .relaxed)
        drained(stream)
    }

    func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        reasons.append(reason)
        closed.set()
    }
}

/// Sends back what comes, and stops reading while the peer does not take it.
final class EchoHandler: TCPStreamHandler {
    let open = Atomic<Int>(0)
    let reasons = Recorder<TCPCloseReason>()
    let allClosed = Signal()

    func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        stream.write(UnsafeRawBufferPointer(bytes))
        if stream.isBlocked { stream.stopReading() }
    }

    func streamDrained(_ stream: TCPStream) { stream.startReading() }

    func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        reasons.append(reason)
        if open.subtract(1, ordering: .relaxed).newValue == 0 { allClosed.set() }
    }
}

/// Listens on a port that the system chooses.
func listen(
    _ group: LoopGroup, options: TCPListenerOptions = TCPListenerOptions(),
    address: TCPAddress = TCPAddress(bytes: [127, 0, 0, 1], port: 0),
    onAccept: @escaping @Sendable (EventLoop, TCPStream) -> Void
) async throws -> TCPListener {
    try await on(group.loops[0]) {
        Result { () throws(SystemError) in
            try TCPListener(address, options: options, loops: group.loops, onAccept: onAccept)
        }
    }.get()
}

func close(_ listener: TCPListener, _ group: LoopGroup) async { await on(group.loops[0]) { listener.close() } }

/// A blocking client socket, for a thread that may block. Every call answers what the system call answers.
struct Client: Sendable {
    let socket: Int32

    /// - Parameter receiveBufferBytes: a small one makes a slow reader.
    init(_ address: TCPAddress, receiveBufferBytes: Int32? = nil) {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        precondition(socket >= 0, "socket: \(errno)")
        if var bytes = receiveBufferBytes { setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, 4) }
        // A test that goes wrong must not wait for ever.
        var limit = timeval(tv_sec: 120, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let status = address.withSocketAddress { connect(socket, $0, $1) }
        precondition(status == 0, "connect: \(errno)")
    }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Int { Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// What one read gives; empty at the end.
    func receive(_ limit: Int = 65536) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = recv(socket, &buffer, limit, 0)
        return count < 0 ? nil : Array(buffer[..<count])
    }

    /// Reads until so many bytes are there, or the other side is done.
    func receive(exactly count: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count, let more = receive(min(65536, count - all.count)), !more.isEmpty { all += more }
        return all
    }

    func finish() { shutdown(socket, Int32(SHUT_WR)) }

    func close() { _ = closeDescriptor(socket) }

    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }
}
