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
    /// What leaves, changed as one for each frame.
    private struct Sending {
        /// Frames that wait for the end of the turn or, while the socket takes nothing, for the socket.
        var outbox: [UInt8] = []
        var frames: UInt64 = 0
        var writes: UInt64 = 0
        var run = LinkRun()

        mutating func append(_ header: FrameHeader, _ body: Span<UInt8>, _ counters: LinkCounters) -> Int {
            let before = outbox.count
            ClusterFrame.append(header, body: body, to: &outbox)
            frames += 1
            run.note(header.kind, outbox.count - before, counters.noteSent)
            return outbox.count
        }
    }

    /// What arrives.
    private struct Receiving {
        var decoder = FrameDecoder(frameBytesLimit: LinkHandshake.frameBytesLimit)
        var frames: UInt64 = 0
        var run = LinkRun()

        mutating func next(
            _ chunk: Span<UInt8>, _ offset: inout Int, _ counters: LinkCounters
        ) throws(FrameError) -> FrameDecoder.Found? {
            guard let found = try decoder.next(chunk, &offset) else { return nil }
            frames += 1
            let bodyBytes =
                switch found.body {
                case .chunk(let range), .assembled(let range): range.count
                }
            let bytes = ClusterFrame.byteCount(found.header, bodyBytes: bodyBytes)
            run.note(found.header.kind, bytes, counters.noteReceived)
            return found
        }
    }

    let stream: TCPStream
    private var receiving = Receiving()
    private var sending = Sending()
    private(set) var isClosed = false
    private let counters: LinkCounters

    /// So much is written before the turn is over: the other end begins to read, and the buffer stays in the cache.
    private static let writeBytesTarget = 64 * 1024
    /// A buffer that waited for a socket is let go above this.
    private static let keptBytesLimit = 128 * 1024

    init(_ stream: TCPStream, _ counters: LinkCounters) {
        self.stream = stream
        self.counters = counters
    }

    var traffic: LinkTraffic {
        var traffic = LinkTraffic()
        traffic.framesSent = sending.frames
        traffic.writes = sending.writes
        traffic.framesReceived = receiving.frames
        return traffic
    }

    /// Bytes that wait here.
    var waitingBytes: Int { sending.outbox.count }

    /// The handshake is over: frames may have their full length.
    func opened() { receiving.decoder.frameBytesLimit = ClusterFrame.frameBytesLimit }

    /// Reads frames until the bytes are used up or `take` has closed the pipe.
    func received(
        _ bytes: UnsafeMutableRawBufferPointer, _ take: (FrameHeader, Span<UInt8>) -> Void
    ) throws(FrameError) {
        let chunk = unsafe Span<UInt8>(_unsafeBytes: UnsafeRawBufferPointer(bytes))
        var offset = 0
        defer { receiving.run.end(counters.noteReceived) }
        while !isClosed, let found = try receiving.next(chunk, &offset, counters) {
            switch found.body {
            case .chunk(let range): take(found.header, chunk.extracting(range))
            case .assembled(let range):
                // A reference of its own: `take` may send or close, and the decoder goes on with the next frame.
                let assembled = receiving.decoder.assembled
                take(found.header, assembled.span.extracting(range))
            }
        }
    }

    /// Gathers a frame. Whether so much waits that it should be written before the turn is over.
    func append(_ header: FrameHeader, _ body: Span<UInt8>) -> Bool {
        guard !isClosed else { return false }
        return sending.append(header, body, counters) >= Self.writeBytesTarget
    }

    /// Writes what was gathered, where the socket takes anything. What it takes only a part of is kept by the stream.
    func flush() {
        sending.run.end(counters.noteSent)
        guard !isClosed, !sending.outbox.isEmpty, !stream.isBlocked else { return }
        sending.writes += 1
        unsafe sending.outbox.withUnsafeBytes { unsafe stream.write($0) }
        if sending.outbox.capacity > Self.keptBytesLimit {
            sending.outbox = []
        } else {
            sending.outbox.removeAll(keepingCapacity: true)
        }
    }

    /// Lets what the socket takes leave, and lets go of the socket, which goes on under another handler.
    func surrender() -> TCPStream {
        flush()
        isClosed = true
        sending.outbox = []
        return stream
    }

    /// Lets what the socket takes leave, then closes.
    func close() {
        guard !isClosed else { return }
        flush()
        isClosed = true
        sending.outbox = []
        stream.close()
    }

    /// The stream has closed by itself.
    func closed() {
        isClosed = true
        sending.outbox = []
    }
}
