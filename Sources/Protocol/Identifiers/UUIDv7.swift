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
        guard bytes[offset + 8] == UInt8(ascii: "-"), bytes[offset + 13] == UInt8(ascii: "-"),
            bytes[offset + 18] == UInt8(ascii: "-"), bytes[offset + 23] == UInt8(ascii: "-")
        else { return nil }
        let half: UInt64 = 0xFFFF_FFFF
        guard let first = Self.hex(bytes.word(at: offset)),
            let second = Self.hex(bytes.word(at: offset + 9) & half | bytes.word(at: offset + 14) << 32),
            let third = Self.hex(bytes.word(at: offset + 19) & half | bytes.word(at: offset + 24) << 32),
            let fourth = Self.hex(bytes.word(at: offset + 28))
        else { return nil }
        self.init(bits: UInt128(first << 32 | second) << 64 | UInt128(third << 32 | fourth))
    }

    /// The value of eight lowercase hexadecimal digits, the first in the lowest byte; `nil` where one is no digit.
    @inline(__always)
    private static func hex(_ text: UInt64) -> UInt64? {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let digits = (text & (ones &* 0x0F)) &+ ((text >> 6) & ones) &* 9
        // Written back as text, the digits must be what was read, which also refuses bytes that are no digits.
        let letters = ((digits &+ (ones &* 0x76)) >> 7) & ones
        guard digits & (ones &* 0xF0) == 0, digits &+ (ones &* 0x30) &+ letters &* 0x27 == text else { return nil }
        var value = digits.byteSwapped
        value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
        value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
        return (value | value >> 16) & 0xFFFF_FFFF
    }

    /// Parses a whole string of the text form; `nil` for any other form.
    public init?(_ text: String) {
        guard text.utf8.count == Self.textLength else { return nil }
        let bytes = Array(text.utf8)
        self.init(text: bytes.span)
    }

    /// Appends the 36 bytes of the text form.
    public func appendText(to output: inout [UInt8]) {
        output.append(addingCapacity: Self.textLength) { space in
            var word = UInt64(truncatingIfNeeded: bits >> 64)
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 { space.append(UInt8(ascii: "-")) }
                if index == 16 { word = UInt64(truncatingIfNeeded: bits) }
                let digit = UInt8(truncatingIfNeeded: word &>> 60)
                word = word &<< 4
                space.append(digit < 10 ? UInt8(ascii: "0") &+ digit : UInt8(ascii: "a") &- 10 &+ digit)
            }
        }
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
