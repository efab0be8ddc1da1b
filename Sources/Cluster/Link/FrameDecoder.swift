// Reading frames from bytes as they arrive. A frame that lies whole in what has arrived is read where it lies; only one
// that is torn between two reads is put together in a buffer.
//
//   bytes ─► next ─► .chunk(range)    the body lies there
//              │ └─► .assembled       the body is in `assembled`, until the next call
//              └───► nil              everything was taken; the rest of a frame is awaited

import Platform
import Protocol

/// The frames of one stream. After an error nothing more can be read from it.
public struct FrameDecoder: Sendable {
    /// Where the body of a frame lies.
    public enum Place: Hashable, Sendable {
        /// In the bytes that were passed.
        case chunk(Range<Int>)
        /// In `assembled`.
        case assembled(Range<Int>)
    }

    /// A frame that was read.
    public struct Found: Hashable, Sendable {
        /// Everything but the body.
        public let header: FrameHeader
        /// Where the body lies.
        public let body: Place
    }

    /// The frame that was torn; it is valid from the call that found it to the next one.
    public private(set) var assembled: [UInt8] = []
    /// Bytes of a frame that is taken; a longer one is refused as soon as its length is there. Who has not shown that
    /// it belongs to the cluster gets little memory.
    public var frameBytesLimit: Int
    private var isConsumed = false

    /// Bytes that tell whether this is a frame, and how long it is.
    private static let prefixBytes = 8
    /// A buffer that a large frame left behind is let go above this.
    private static let keptBytesLimit = 64 * 1024

    /// Makes a decoder at the start of a stream.
    public init(frameBytesLimit: Int = ClusterFrame.frameBytesLimit) { self.frameBytesLimit = frameBytesLimit }

    /// Bytes of a torn frame that wait for its rest.
    public var waitingBytes: Int { isConsumed ? 0 : assembled.count }

    /// The next frame of `chunk` from `offset`, which moves behind it; `nil` once all of `chunk` was taken.
    public mutating func next(_ chunk: Span<UInt8>, _ offset: inout Int) throws(FrameError) -> Found? {
        if isConsumed {
            isConsumed = false
            if assembled.capacity > Self.keptBytesLimit {
                assembled = []
            } else {
                assembled.removeAll(keepingCapacity: true)
            }
        }
        if !assembled.isEmpty { return try completeTorn(chunk, &offset) }
        let available = chunk.count - offset
        guard available > 0 else { return nil }
        if available >= Self.prefixBytes {
            let length = try length(of: chunk.extracting(offset..<chunk.count))
            if available >= length {
                let whole = offset..<(offset + length)
                let (header, body) = try Self.frame(chunk.extracting(whole))
                offset = whole.upperBound
                return Found(
                    header: header,
                    body: .chunk((whole.lowerBound + body.lowerBound)..<(whole.lowerBound + body.upperBound)))
            }
        } else {
            try Self.refuseEarly(chunk.extracting(offset..<chunk.count))
        }
        keep(chunk, &offset, upTo: available)
        return nil
    }

    private mutating func completeTorn(
        _ chunk: Span<UInt8>, _ offset: inout Int
    ) throws(FrameError) -> Found? {
        if assembled.count < Self.prefixBytes {
            keep(chunk, &offset, upTo: Self.prefixBytes - assembled.count)
            guard assembled.count == Self.prefixBytes else {
                try Self.refuseEarly(assembled.span)
                return nil
            }
        }
        let length = try length(of: assembled.span)
        // Grows as bytes arrive, never by what a length promises.
        keep(chunk, &offset, upTo: length - assembled.count)
        guard assembled.count == length else { return nil }
        let (header, body) = try Self.frame(assembled.span)
        isConsumed = true
        return Found(header: header, body: .assembled(body))
    }

    private mutating func keep(_ chunk: Span<UInt8>, _ offset: inout Int, upTo count: Int) {
        let end = min(chunk.count, offset + count)
        guard end > offset else { return }
        unsafe chunk.extracting(offset..<end).withUnsafeBufferPointer { unsafe assembled.append(contentsOf: $0) }
        offset = end
    }

    /// Looks at the first bytes of a stream that are too few for a length, so that garbage is not waited for.
    private static func refuseEarly(_ bytes: Span<UInt8>) throws(FrameError) {
        if bytes.count > 4, bytes[4] != UInt8(truncatingIfNeeded: ClusterFrame.magic) { throw .notAFrame }
        if bytes.count > 5, bytes[5] != UInt8(truncatingIfNeeded: ClusterFrame.magic >> 8) { throw .notAFrame }
    }

    /// The length of the frame that begins here, once its first bytes were found to be a frame's.
    private func length(of bytes: Span<UInt8>) throws(FrameError) -> Int {
        guard bytes.word16(at: 4) == ClusterFrame.magic else { throw .notAFrame }
        guard bytes[6] == ClusterFrame.layoutVersion else { throw .unknownLayout(bytes[6]) }
        let length = bytes.word32(at: 0)
        guard length >= UInt32(ClusterFrame.headerBytes + ClusterFrame.checksumBytes), length <= frameBytesLimit else {
            throw .badLength(length)
        }
        guard FrameKind(rawValue: bytes[7]) != nil else { throw .unknownKind(bytes[7]) }
        return Int(length)
    }

    /// Reads one whole frame and says where its body lies.
    static func frame(_ bytes: Span<UInt8>) throws(FrameError) -> (FrameHeader, Range<Int>) {
        let end = bytes.count - ClusterFrame.checksumBytes
        guard unsafe Checksum.of(bytes.extracting(0..<end).bytes) == bytes.word64(at: end) else { throw .badChecksum }
        guard let kind = FrameKind(rawValue: bytes[7]) else { throw .unknownKind(bytes[7]) }
        var header = FrameHeader(kind)
        header.flags = FrameFlags(rawValue: bytes.word16(at: 8))
        guard header.flags.isDisjoint(with: .mustKnow) else { throw .unknownFlags(header.flags.rawValue) }
        let slot = bytes.word16(at: 10)
        if slot != ClusterFrame.noSlot {
            guard slot < UInt16(Slot.count) else { throw .badField(.slot) }
            header.slot = Slot(slot)
        }
        header.remainingMilliseconds = bytes.word32(at: 12)
        guard header.remainingMilliseconds <= ClusterFrame.remainingMillisecondsLimit else {
            throw .badField(.remaining)
        }
        header.request = bytes.word64(at: 16)
        header.epoch = bytes.word64(at: 24)
        header.tableVersion = bytes.word64(at: 32)
        header.hops = bytes[40]
        let optionsEnd = ClusterFrame.headerBytes + Int(bytes[41])
        guard optionsEnd <= end else { throw .badOptions }
        if optionsEnd > ClusterFrame.headerBytes {
            try options(bytes.extracting(ClusterFrame.headerBytes..<optionsEnd), into: &header)
        }
        return (header, optionsEnd..<end)
    }

    private static func options(_ bytes: Span<UInt8>, into header: inout FrameHeader) throws(FrameError) {
        var offset = 0
        while offset < bytes.count {
            guard bytes.count - offset >= 2 else { throw .badOptions }
            let tag = bytes[offset]
            let length = Int(bytes[offset + 1])
            offset += 2
            guard bytes.count - offset >= length else { throw .badOptions }
            switch tag {
            case FrameOption.target:
                guard length == 16, header.target == nil else { throw .badOptions }
                header.target = bytes.word128(at: offset)
            case FrameOption.mustKnow...: throw .badOptions
            default: break
            }
            offset += length
        }
    }
}

/// Little-endian integers of borrowed bytes. Each load checks its bounds, and every pattern of bits is an integer.
extension Span<UInt8> {
    func word16(at offset: Int) -> UInt16 {
        UInt16(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    func word32(at offset: Int) -> UInt32 {
        UInt32(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    func word64(at offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    func word128(at offset: Int) -> UInt128 {
        UInt128(word64(at: offset + 8)) << 64 | UInt128(word64(at: offset))
    }
}
