// One socket of a link: bytes to frames, frames to one write a turn. It belongs to the actor of its link and is touched
// on that actor's loop alone.

import Platform

/// What went through one socket.
public struct LinkTraffic: Hashable, Sendable {
    /// Frames that were gathered.
    public internal(set) var framesSent: UInt64 = 0
    /// Writes in which they left.
    public internal(set) var writes: UInt64 = 0
    /// Frames that arrived.
    public internal(set) var framesReceived: UInt64 = 0
}

final class LinkPipe {
    let stream: TCPStream
    private var decoder = FrameDecoder(frameBytesLimit: LinkHandshake.frameBytesLimit)
    /// Frames that wait for the end of the turn or, while the socket takes nothing, for the socket.
    private var outbox: [UInt8] = []
    private(set) var isClosed = false
    private(set) var traffic = LinkTraffic()
    private let counters: LinkCounters

    /// A buffer that a large turn left behind is let go above this.
    private static let keptBytesLimit = 256 * 1024

    init(_ stream: TCPStream, _ counters: LinkCounters) {
        self.stream = stream
        self.counters = counters
    }

    /// Bytes that wait here.
    var waitingBytes: Int { outbox.count }

    /// The handshake is over: frames may have their full length.
    func opened() { decoder.frameBytesLimit = ClusterFrame.frameBytesLimit }

    /// Reads frames until the bytes are used up or `take` has closed the pipe.
    func received(
        _ bytes: UnsafeMutableRawBufferPointer, _ take: (FrameHeader, Span<UInt8>) -> Void
    ) throws(FrameError) {
        let chunk = unsafe Span<UInt8>(_unsafeBytes: UnsafeRawBufferPointer(bytes))
        var offset = 0
        while !isClosed, let found = try decoder.next(chunk, &offset) {
            traffic.framesReceived += 1
            switch found.body {
            case .chunk(let range):
                noteReceived(found.header, range.count)
                take(found.header, chunk.extracting(range))
            case .assembled(let range):
                noteReceived(found.header, range.count)
                // A reference of its own: `take` may send or close, and the decoder goes on with the next frame.
                let assembled = decoder.assembled
                take(found.header, assembled.span.extracting(range))
            }
        }
    }

    private func noteReceived(_ header: FrameHeader, _ bodyBytes: Int) {
        counters.noteReceived(header.kind, ClusterFrame.byteCount(header, bodyBytes: bodyBytes))
    }

    func append(_ header: FrameHeader, _ body: Span<UInt8>) {
        guard !isClosed else { return }
        let before = outbox.count
        ClusterFrame.append(header, body: body, to: &outbox)
        traffic.framesSent += 1
        counters.noteSent(header.kind, outbox.count - before)
    }

    /// Writes what was gathered, where the socket takes anything. What it takes only a part of is kept by the stream.
    func flush() {
        guard !isClosed, !outbox.isEmpty, !stream.isBlocked else { return }
        traffic.writes += 1
        unsafe outbox.withUnsafeBytes { unsafe stream.write($0) }
        if outbox.capacity > Self.keptBytesLimit { outbox = [] } else { outbox.removeAll(keepingCapacity: true) }
    }

    /// Lets what the socket takes leave, then closes.
    func close() {
        guard !isClosed else { return }
        flush()
        isClosed = true
        outbox = []
        stream.close()
    }

    /// The stream has closed by itself.
    func closed() {
        isClosed = true
        outbox = []
    }
}
