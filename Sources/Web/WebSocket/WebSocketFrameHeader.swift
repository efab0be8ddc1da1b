// A frame header while its bytes come in (2 to 14 of them), with the rules that can be checked as soon as each byte is
// there, and the mask.

struct WebSocketFrameHeader {
    private var low: UInt64 = 0
    private var high: UInt32 = 0
    private var highest: UInt16 = 0
    private(set) var count: UInt8 = 0

    mutating func append(_ byte: UInt8) {
        let shift = UInt64(count) * 8
        switch count {
        case 0..<8: low |= UInt64(byte) << shift
        case 8..<12: high |= UInt32(byte) << UInt32(shift - 64)
        default: highest |= UInt16(byte) << UInt16(shift - 96)
        }
        count += 1
    }

    subscript(_ index: UInt8) -> UInt8 {
        let shift = UInt64(index) * 8
        return switch index {
        case 0..<8: UInt8(truncatingIfNeeded: low >> shift)
        case 8..<12: UInt8(truncatingIfNeeded: high >> UInt32(shift - 64))
        default: UInt8(truncatingIfNeeded: highest >> UInt16(shift - 96))
        }
    }

    private var lengthBytes: UInt8 {
        switch self[1] & 0x7F {
        case 126: 2
        case 127: 8
        default: 0
        }
    }

    /// Bytes of the whole header; known once two are there.
    func size(isMasked: Bool) -> UInt8 { 2 + lengthBytes + (isMasked ? 4 : 0) }

    func firstByteFault(allowsCompression: Bool, inMessage: Bool) -> String? {
        let first = self[0]
        guard let opcode = WebSocketOpcode(rawValue: first & 0x0F) else { return "reserved opcode" }
        guard first & 0x30 == 0 else { return "reserved bit set" }
        if first & 0x40 != 0 {
            guard allowsCompression, opcode == .text || opcode == .binary else { return "reserved bit set" }
        }
        switch opcode {
        case .continuation: return inMessage ? nil : "continuation without a message"
        case .text, .binary: return inMessage ? "message inside a message" : nil
        case .close, .ping, .pong: return first & 0x80 == 0 ? "fragmented control frame" : nil
        }
    }

    func secondByteFault(isMasked: Bool) -> String? {
        let second = self[1]
        if (second & 0x80 != 0) != isMasked { return isMasked ? "frame is not masked" : "frame is masked" }
        if self[0] & 0x08 != 0, second & 0x7F > 125 { return "control frame too long" }
        return nil
    }

    /// The payload's length; nil where it is not in the shortest form or has its highest bit set.
    var payloadLength: UInt64? {
        switch lengthBytes {
        case 2:
            let length = UInt64(self[2]) << 8 | UInt64(self[3])
            return length >= 126 ? length : nil
        case 8:
            let length = (UInt8(2)..<10).reduce(UInt64(0)) { $0 << 8 | UInt64(self[$1]) }
            return length >> 63 == 0 && length > 0xFFFF ? length : nil
        default: return UInt64(self[1] & 0x7F)
        }
    }

    /// The mask, first byte lowest.
    var mask: UInt32 {
        let start = 2 + lengthBytes
        return (UInt8(0)..<4).reduce(UInt32(0)) { $0 | UInt32(self[start + $1]) << (UInt32($1) * 8) }
    }
}

/// Masking of RFC 6455 section 5.3, eight bytes at a time. A key is a word whose lowest byte meets the first byte, as
/// it is loaded on a little-endian machine.
enum WebSocketMask {
    /// Masks or unmasks in place; whether everything is ASCII afterwards.
    @inline(__always)
    static func apply(_ key: UInt32, to bytes: UnsafeMutableRawBufferPointer) -> Bool {
        let key = UInt32(littleEndian: key)
        let wide = UInt64(key) << 32 | UInt64(key)
        var seen: UInt64 = 0
        var index = 0
        let count = bytes.count
        while count - index >= 8 {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ wide
            unsafe bytes.storeBytes(of: word, toByteOffset: index, as: UInt64.self)
            seen |= word
            index += 8
        }
        var rest = wide
        while index < count {
            let byte = unsafe bytes[index] ^ UInt8(truncatingIfNeeded: rest)
            unsafe bytes[index] = byte
            seen |= UInt64(byte)
            rest >>= 8
            index += 1
        }
        return seen & 0x8080_8080_8080_8080 == 0
    }

    /// The key for what follows after `count` bytes.
    static func turned(_ key: UInt32, by count: Int) -> UInt32 {
        let bits = UInt32(count & 3) * 8
        return bits == 0 ? key : key >> bits | key << (32 - bits)
    }
}

/// Close codes of RFC 6455 section 7.4 and the IANA registry.
enum WebSocketCloseCode {
    /// Whether an endpoint may put the code into a close frame.
    static func maySend(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
