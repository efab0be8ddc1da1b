// Two sockets whose bytes are passed on to each other: the way of one link around a broken path. This node reads nothing
// of them; the two ends shake hands with each other, ping each other, and end the link.
//
//   dialer ═ near ═► this node ═ far ═► listener

import Platform

actor RelayedPair: TCPStreamHandler {
    private let near: TCPStream
    private let far: TCPStream
    /// Told once both are closed.
    private let onEnd: @Sendable (RelayedPair) -> Void
    private var open = 2

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// - Parameter onEnd: called on the loop.
    init(near: TCPStream, far: TCPStream, onEnd: @escaping @Sendable (RelayedPair) -> Void) {
        self.near = near
        self.far = far
        self.onEnd = onEnd
        loop = near.loop
    }

    /// Takes over both sockets; call once.
    func start() {
        near.handler = self
        far.handler = self
        if !far.isBlocked { near.startReading() }
        if !near.isBlocked { far.startReading() }
    }

    func close() {
        near.close()
        far.close()
    }

    private func other(_ stream: TCPStream) -> TCPStream { stream === near ? far : near }

    private func received(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        let other = other(stream)
        unsafe other.write(UnsafeRawBufferPointer(bytes))
        // What one end does not take, the other may not send.
        if other.isBlocked { stream.stopReading() }
    }

    private func closed(_ stream: TCPStream) {
        open -= 1
        if open == 0 { onEnd(self) } else { other(stream).close() }
    }

    nonisolated func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        // Safe: the buffer is the loop's own, valid during this call, and the call stays on the loop's thread.
        nonisolated(unsafe) let bytes = unsafe bytes
        assumeIsolated { unsafe $0.received(stream, bytes) }
    }

    nonisolated func streamDrained(_ stream: TCPStream) { assumeIsolated { $0.other(stream).startReading() } }

    nonisolated func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        assumeIsolated { $0.closed(stream) }
    }
}
