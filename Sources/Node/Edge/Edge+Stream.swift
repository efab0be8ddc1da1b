// Where the sockets enter the edge: each call comes from the loop's thread, and its first line says so.

import Platform

extension Edge: TCPStreamHandler {
    nonisolated func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        // Safe: the buffer is the loop's own, valid during this call, and the call stays on the loop's thread.
        nonisolated(unsafe) let bytes = unsafe bytes
        assumeIsolated { unsafe $0.received(stream.token, bytes) }
    }

    nonisolated func streamDrained(_ stream: TCPStream) {
        assumeIsolated { $0.drained(stream.token) }
    }

    nonisolated func streamEnded(_ stream: TCPStream) {
        assumeIsolated { $0.peerFinished(stream.token) }
    }

    nonisolated func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        assumeIsolated { $0.closed(stream.token) }
    }
}
