// Writing frames: appended to whatever already waits, so that the frames of one turn leave in one write.

import Platform
import Protocol

extension ClusterFrame {
    /// Appends a frame to a buffer.
    ///
    /// - Precondition: the body has at most `bodyBytesLimit` bytes.
    public static func append(_ header: FrameHeader, body: Span<UInt8>, to output: inout [UInt8]) {
        precondition(body.count <= bodyBytesLimit, "a body of \(body.count) bytes")
        let start = output.count
        let length = byteCount(header, bodyBytes: body.count)
        // Doubled by hand: a reservation of exactly what is needed would copy the buffer for each frame.
        if output.capacity < start + length { output.reserveCapacity(max(2 * output.capacity, start + length)) }
        output.append(addingCapacity: headerBytes + header.optionsBytes) { space in
            word(UInt32(length), to: &space)
            word(magic, to: &space)
            space.append(layoutVersion)
            space.append(header.kind.rawValue)
            word(header.flags.rawValue, to: &space)
            word(header.slot?.index ?? noSlot, to: &space)
            word(min(header.remainingMilliseconds, remainingMillisecondsLimit), to: &space)
            word(header.request, to: &space)
            word(header.epoch, to: &space)
            word(header.tableVersion, to: &space)
            space.append(header.hops)
            space.append(UInt8(header.optionsBytes))
            if let target = header.target {
                space.append(FrameOption.target)
                space.append(16)
                word(UInt64(truncatingIfNeeded: target), to: &space)
                word(UInt64(truncatingIfNeeded: target >> 64), to: &space)
            }
        }
        unsafe body.withUnsafeBufferPointer { unsafe output.append(contentsOf: $0) }
        let checksum = unsafe Checksum.of(output.span.extracting(start...).bytes)
        output.append(addingCapacity: checksumBytes) { word(checksum, to: &$0) }
    }

    /// Appends a frame without a body.
    public static func append(_ header: FrameHeader, to output: inout [UInt8]) {
        append(header, body: Span(), to: &output)
    }

    @inline(__always)
    private static func word<Word: FixedWidthInteger & UnsignedInteger>(
        _ value: Word, to space: inout OutputSpan<UInt8>
    ) {
        var rest = value
        for _ in 0..<Word.bitWidth / 8 {
            space.append(UInt8(truncatingIfNeeded: rest))
            rest = rest &>> 8
        }
    }
}
