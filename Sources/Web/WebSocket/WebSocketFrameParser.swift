// The receiving side of a WebSocket connection (RFC 6455 section 5, RFC 7692), as a value without input or output.
//
//   read buffer ─► next ─► whole frame in the buffer: unmasked in place, handed out as a range, nothing copied
//                      └─► cut or fragmented: unmasked in place, gathered here until the message is whole
//
// Between messages it holds no heap memory; a connection keeps it inline.

/// Parses frames, checks every rule of the protocol, and hands out whole messages.
///
/// Call `next` until it says `.needMore`, then read again. It changes the buffer (unmasking happens in place), and
/// what it hands out as a range of the buffer is good until the buffer is used again.
public struct WebSocketFrameParser {
    /// Who the peer is: a client must mask its frames, a server must not.
    public enum Peer: UInt8, Sendable {
        case client, server
    }

    /// The message that is being put together: none, or its type and whether it is compressed.
    private struct Flags {
        var peer: Peer
        var allowsCompression: Bool
        var finished = false
        /// Opcode of the message under way; 0 = none.
        var message: UInt8 = 0
        var messageIsCompressed = false
        /// First byte of the frame whose payload is being read.
        var frame: UInt8 = 0
        var inPayload = false
    }

    // Ordered so that the struct stays within 64 bytes.
    private var assembled: [UInt8] = []
    private var control: [UInt8] = []
    private var header = WebSocketFrameHeader()
    private var remaining: UInt32 = 0
    /// The mask, turned so that its first byte belongs to the next payload byte.
    private var mask: UInt32 = 0
    private let messageBytesLimit: UInt32
    private var flags: Flags
    private var utf8 = UTF8Check()

    /// A parser before the first frame.
    ///
    /// - Parameters:
    ///   - peer: who sends the frames.
    ///   - messageBytesLimit: bytes of one message, over all its fragments and after decompression; 1 to 2^31 − 1.
    ///   - allowsCompression: whether permessage-deflate was negotiated.
    public init(peer: Peer = .client, messageBytesLimit: Int = 64 * 1024, allowsCompression: Bool = false) {
        precondition(messageBytesLimit > 0 && messageBytesLimit <= Int(Int32.max))
        self.messageBytesLimit = UInt32(messageBytesLimit)
        flags = Flags(peer: peer, allowsCompression: allowsCompression)
    }

    /// Whether no message is half received: the connection may be idle.
    public var isIdle: Bool { header.count == 0 && !flags.inPayload && flags.message == 0 }

    /// Takes the next frame or message.
    ///
    /// - Parameters:
    ///   - buffer: what was read.
    ///   - offset: where to go on in it; moved behind what was taken.
    ///   - inflater: undoes compression; needed where `allowsCompression` is set, shared by the connections of a loop.
    public mutating func next(
        in buffer: UnsafeMutableRawBufferPointer, at offset: inout Int, inflater: MessageInflater? = nil
    ) -> WebSocketEvent {
        if !flags.inPayload, header.count == 0, flags.message == 0, !flags.finished,
            let event = unsafe wholeFrame(in: buffer, at: &offset)
        {
            return event
        }
        while !flags.finished {
            if !flags.inPayload {
                if let violation = unsafe takeHeader(buffer, &offset) { return violation }
                guard flags.inPayload else { return .needMore }
            }
            if remaining > 0, offset == buffer.count { return .needMore }
            let event =
                flags.frame & 0x08 != 0
                ? unsafe takeControl(buffer, &offset) : unsafe takeData(buffer, &offset, inflater)
            if let event { return event }
        }
        offset = buffer.count
        return .needMore
    }

    // MARK: - The short way: one whole, small, uncompressed message

    /// Handles a final text or binary frame under 126 bytes that lies whole in the buffer; nil for anything else.
    @inline(__always)
    private mutating func wholeFrame(
        in buffer: UnsafeMutableRawBufferPointer, at offset: inout Int
    ) -> WebSocketEvent? {
        let available = buffer.count - offset
        guard available >= 6, flags.peer == .client else { return nil }
        let first = unsafe buffer[offset]
        let second = unsafe buffer[offset + 1]
        let length = Int(second & 0x7F)
        guard first == 0x81 || first == 0x82, second & 0x80 != 0, length < 126, length <= messageBytesLimit,
            available >= 6 + length
        else { return nil }
        let key = unsafe buffer.loadUnaligned(fromByteOffset: offset + 2, as: UInt32.self)
        let start = offset + 6
        let payload = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + length])
        let isASCII = unsafe WebSocketMask.apply(key, to: payload)
        offset = start + length
        if first == 0x82 { return .binary(.inBuffer(start..<offset)) }
        if !isASCII {
            var check = UTF8Check()
            guard unsafe check.accept(UnsafeRawBufferPointer(payload)), check.isComplete else { return notUTF8() }
        }
        return .text(.inBuffer(start..<offset))
    }

    // MARK: - The long way

    /// Gathers and checks a header; afterwards either `inPayload` is set, or the buffer is used up.
    private mutating func takeHeader(
        _ buffer: UnsafeMutableRawBufferPointer, _ offset: inout Int
    ) -> WebSocketEvent? {
        let isMasked = flags.peer == .client
        while offset < buffer.count {
            unsafe header.append(buffer[offset])
            offset += 1
            if header.count == 1,
                let fault = header.firstByteFault(
                    allowsCompression: flags.allowsCompression, inMessage: flags.message != 0)
            {
                return violation(1002, fault)
            }
            if header.count == 2, let fault = header.secondByteFault(isMasked: isMasked) {
                return violation(1002, fault)
            }
            if header.count >= 2, header.count == header.size(isMasked: isMasked) { return beginPayload() }
        }
        return nil
    }

    private mutating func beginPayload() -> WebSocketEvent? {
        guard let length = header.payloadLength else { return violation(1002, "length not minimal or too large") }
        let first = header[0]
        if first & 0x08 == 0 {
            guard length <= UInt64(messageBytesLimit) - UInt64(assembled.count) else {
                return violation(1009, "message too large")
            }
            if first & 0x0F != 0 {
                flags.message = first & 0x0F
                flags.messageIsCompressed = first & 0x40 != 0
                utf8 = UTF8Check()
            }
        }
        if flags.peer == .client { mask = header.mask }
        flags.frame = first
        flags.inPayload = true
        remaining = UInt32(length)
        header = WebSocketFrameHeader()
        return nil
    }

    /// Takes what the buffer holds of the current frame's payload, unmasked; its range in the buffer.
    private mutating func takePayload(
        _ buffer: UnsafeMutableRawBufferPointer, _ offset: inout Int
    ) -> Range<Int> {
        let count = min(Int(remaining), buffer.count - offset)
        let range = offset..<offset + count
        if flags.peer == .client {
            _ = unsafe WebSocketMask.apply(mask, to: UnsafeMutableRawBufferPointer(rebasing: buffer[range]))
            mask = WebSocketMask.turned(mask, by: count)
        }
        offset += count
        remaining -= UInt32(count)
        if remaining == 0 { flags.inPayload = false }
        return range
    }

    private mutating func takeControl(
        _ buffer: UnsafeMutableRawBufferPointer, _ offset: inout Int
    ) -> WebSocketEvent? {
        let range = unsafe takePayload(buffer, &offset)
        if !flags.inPayload, control.isEmpty { return unsafe finishControl(.inBuffer(range), buffer) }
        unsafe control.append(contentsOf: buffer[range])
        guard !flags.inPayload else { return nil }
        let payload = control
        control = []
        return unsafe finishControl(.assembled(payload), buffer)
    }

    private mutating func finishControl(
        _ payload: WebSocketPayload, _ buffer: UnsafeMutableRawBufferPointer
    ) -> WebSocketEvent {
        switch flags.frame & 0x0F {
        case WebSocketOpcode.ping.rawValue: return .ping(payload)
        case WebSocketOpcode.pong.rawValue: return .pong(payload)
        default: break
        }
        guard payload.count > 0 else {
            flags.finished = true
            return .close(code: nil, reason: payload)
        }
        guard payload.count >= 2 else { return violation(1002, "close code cut off") }
        let (code, isText) = unsafe payload.withBytes(in: buffer) { bytes in
            var check = UTF8Check()
            let reason = unsafe UnsafeRawBufferPointer(rebasing: bytes[2...])
            return unsafe (UInt16(bytes[0]) << 8 | UInt16(bytes[1]), check.accept(reason) && check.isComplete)
        }
        guard WebSocketCloseCode.maySend(code) else { return violation(1002, "close code not allowed") }
        guard isText else { return violation(1007, "close reason is not UTF-8") }
        flags.finished = true
        let reason: WebSocketPayload =
            switch payload {
            case .inBuffer(let range): .inBuffer(range.dropFirst(2))
            case .assembled(let bytes): .assembled(Array(bytes.dropFirst(2)))
            }
        return .close(code: code, reason: reason)
    }

    private mutating func takeData(
        _ buffer: UnsafeMutableRawBufferPointer, _ offset: inout Int, _ inflater: MessageInflater?
    ) -> WebSocketEvent? {
        let range = unsafe takePayload(buffer, &offset)
        let isText = flags.message == WebSocketOpcode.text.rawValue
        if isText, !flags.messageIsCompressed {
            let piece = unsafe UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer(rebasing: buffer[range]))
            guard unsafe utf8.accept(piece) else { return notUTF8() }
        }
        let isLast = !flags.inPayload && flags.frame & 0x80 != 0
        if isLast, assembled.isEmpty, !flags.messageIsCompressed {
            flags.message = 0
            guard !isText || utf8.isComplete else { return notUTF8() }
            return isText ? .text(.inBuffer(range)) : .binary(.inBuffer(range))
        }
        unsafe assembled.append(contentsOf: buffer[range])
        guard isLast else { return nil }
        let message = assembled
        assembled = []
        flags.message = 0
        return flags.messageIsCompressed ? inflate(message, isText, inflater) : finishPlain(message, isText)
    }

    private mutating func finishPlain(_ message: [UInt8], _ isText: Bool) -> WebSocketEvent {
        guard !isText || utf8.isComplete else { return notUTF8() }
        return isText ? .text(.assembled(message)) : .binary(.assembled(message))
    }

    private mutating func inflate(_ message: [UInt8], _ isText: Bool, _ inflater: MessageInflater?) -> WebSocketEvent {
        guard let inflater else { preconditionFailure("compression was negotiated, but there is no inflater") }
        switch inflater.inflate(message, bytesLimit: Int(messageBytesLimit)) {
        case .tooLarge: return violation(1009, "message too large")
        case .corrupt: return violation(1007, "compressed data is broken")
        case .message(let plain):
            if isText {
                utf8 = UTF8Check()
                guard unsafe plain.withUnsafeBytes({ unsafe utf8.accept($0) }) else { return notUTF8() }
            }
            return finishPlain(plain, isText)
        }
    }

    private mutating func notUTF8() -> WebSocketEvent { violation(1007, "text is not UTF-8") }

    private mutating func violation(_ code: UInt16, _ reason: String) -> WebSocketEvent {
        flags.finished = true
        assembled = []
        control = []
        return .violation(closeCode: code, reason: reason)
    }
}
