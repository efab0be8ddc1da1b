// The sending side: headers and frames. A server's frames are not masked, so the frame of a broadcast is built once
// and the same bytes go to every subscriber; the masked writer is for clients (tests, load generators).

/// Writes frames of RFC 6455.
public enum WebSocketFrame {
    /// Appends the header of an unmasked final frame.
    ///
    /// - Parameters:
    ///   - length: bytes of the payload that the caller appends.
    ///   - isCompressed: sets RSV1: the payload is the output of `MessageDeflater`.
    public static func appendHeader(
        _ opcode: WebSocketOpcode, length: Int, isCompressed: Bool = false, into out: inout [UInt8]
    ) {
        appendHeader(first: 0x80 | opcode.rawValue | (isCompressed ? 0x40 : 0), length, maskBit: 0, &out)
    }

    /// Appends a whole unmasked frame.
    public static func append(
        _ opcode: WebSocketOpcode, _ payload: UnsafeRawBufferPointer, isCompressed: Bool = false,
        into out: inout [UInt8]
    ) {
        out.reserveCapacity(out.count + payload.count + 10)
        appendHeader(opcode, length: payload.count, isCompressed: isCompressed, into: &out)
        unsafe out.append(contentsOf: payload)
    }

    /// Appends a whole unmasked frame.
    public static func append(
        _ opcode: WebSocketOpcode, _ payload: [UInt8], isCompressed: Bool = false, into out: inout [UInt8]
    ) {
        appendHeader(opcode, length: payload.count, isCompressed: isCompressed, into: &out)
        out.append(contentsOf: payload)
    }

    /// Appends a close frame; the reason is cut to 123 bytes at a character's border.
    ///
    /// - Parameter code: nil for a frame without a body. A code that must not be sent is replaced by 1000.
    public static func appendClose(_ code: UInt16?, reason: String = "", into out: inout [UInt8]) {
        guard let code else { return append(.close, [], into: &out) }
        let sent = WebSocketCloseCode.maySend(code) ? code : 1000
        var payload = [UInt8(sent >> 8), UInt8(sent & 0xFF)]
        for scalar in reason.unicodeScalars {
            let encoded = UTF8.encode(scalar).map(Array.init) ?? []
            guard payload.count + encoded.count <= 125 else { break }
            payload.append(contentsOf: encoded)
        }
        append(.close, payload, into: &out)
    }

    /// Appends a masked frame, as a client sends it.
    ///
    /// - Parameters:
    ///   - mask: the four bytes of the key, first byte lowest.
    ///   - isFinal: false for all but the last fragment of a message.
    public static func appendMasked(
        _ opcode: WebSocketOpcode, _ payload: [UInt8], mask: UInt32, isFinal: Bool = true,
        isCompressed: Bool = false, into out: inout [UInt8]
    ) {
        let first = (isFinal ? 0x80 : 0) | opcode.rawValue | (isCompressed ? 0x40 : 0)
        appendHeader(first: first, payload.count, maskBit: 0x80, &out)
        for shift in stride(from: UInt32(0), to: 32, by: 8) { out.append(UInt8(truncatingIfNeeded: mask >> shift)) }
        let start = out.count
        out.append(contentsOf: payload)
        unsafe out.withUnsafeMutableBytes { bytes in
            _ = unsafe WebSocketMask.apply(mask, to: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
        }
    }

    private static func appendHeader(first: UInt8, _ length: Int, maskBit: UInt8, _ out: inout [UInt8]) {
        out.append(first)
        switch length {
        case 0..<126: out.append(maskBit | UInt8(length))
        case 126...0xFFFF:
            out.append(maskBit | 126)
            out.append(UInt8(length >> 8))
            out.append(UInt8(length & 0xFF))
        default:
            out.append(maskBit | 127)
            for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: length >> shift)) }
        }
    }
}
