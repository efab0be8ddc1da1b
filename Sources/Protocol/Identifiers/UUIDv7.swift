// Identifiers are UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits,
// so that ids sort by creation time. Their one accepted text form is lowercase 8-4-4-4-12.

/// What every identifier of the system is underneath: a version 7 UUID held as one big-endian 128-bit integer.
public struct UUIDv7: Hashable, Comparable, Sendable {
    /// The 16 bytes, most significant first.
    public let bits: UInt128

    /// Takes bits as they are; `nil` unless version (7) and variant (RFC 9562) are right.
    @inlinable
    public init?(bits: UInt128) {
        guard (bits >> 76) & 0xF == 7, (bits >> 62) & 0b11 == 0b10 else { return nil }
        self.bits = bits
    }

    /// A new id: milliseconds of `time` and 74 of the bits of `random`; the caller supplies both, so replays agree.
    public init(at time: Timestamp, random: UInt128) {
        let milliseconds = UInt128(UInt64(clamping: time.milliseconds) & 0xFFFF_FFFF_FFFF)
        let randA = (random >> 64) & 0xFFF
        let randB = random & 0x3FFF_FFFF_FFFF_FFFF
        bits = milliseconds << 80 | UInt128(7) << 76 | randA << 64 | UInt128(0b10) << 62 | randB
    }

    /// Older first, as far as their milliseconds differ.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.bits < b.bits }
}

extension UUIDv7 {
    /// Length of the text form in bytes.
    public static let textLength = 36

    /// Parses the text form at `offset` of `bytes`, exactly 36 bytes; `nil` for any other form (uppercase included).
    public init?(text bytes: Span<UInt8>, at offset: Int = 0) {
        guard offset >= 0, bytes.count - offset >= Self.textLength else { return nil }
        var value: UInt128 = 0
        for index in 0..<Self.textLength {
            let byte = bytes[offset + index]
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            value = value << 4 | UInt128(digit)
        }
        self.init(bits: value)
    }

    /// Parses a whole string of the text form; `nil` for any other form.
    public init?(_ text: String) {
        guard text.utf8.count == Self.textLength else { return nil }
        let bytes = Array(text.utf8)
        self.init(text: bytes.span)
    }

    /// Appends the 36 bytes of the text form.
    public func appendText(to output: inout [UInt8]) {
        let high = UInt64(truncatingIfNeeded: bits >> 64)
        let low = UInt64(truncatingIfNeeded: bits)
        for index in 0..<16 {
            let word = index < 8 ? high : low
            let byte = UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * (index & 7)))
            output.append(Self.hexDigit(byte >> 4))
            output.append(Self.hexDigit(byte & 0xF))
            if index == 3 || index == 5 || index == 7 || index == 9 { output.append(UInt8(ascii: "-")) }
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}

extension UUIDv7: CustomStringConvertible {
    /// The lowercase text form.
    public var description: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.textLength)
        appendText(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
