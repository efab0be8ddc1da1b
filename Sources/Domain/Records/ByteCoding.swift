// Little-endian integers and counted texts: the alphabet of records and snapshots. A cursor checks every length
// against what remains before anything is allocated.

public import Protocol

/// Why bytes could not be decoded.
public enum DecodeFault: Error, Sendable, Equatable {
    /// The bytes end too early.
    case truncated
    /// Bytes are left over.
    case trailingBytes
    /// A format version that this program does not know.
    case unknownVersion(UInt8)
    /// A kind of record that this version does not have.
    case unknownKind(UInt8)
    /// A field holds what cannot be there (a text that is not UTF-8, an id that is none, a count beyond its limit).
    case invalidValue
    /// Well-formed, but it contradicts the state or itself.
    case inconsistent
    /// A record of a campaign that the reader does not have.
    case unknownCampaign(CampaignID)
}

struct ByteCursor {
    private(set) var offset = 0
    let end: Int

    init(_ bytes: Span<UInt8>) { end = bytes.count }

    var remaining: Int { end - offset }

    @inline(__always)
    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: T.Type, _ bytes: Span<UInt8>
    ) throws(DecodeFault) -> T {
        guard remaining >= MemoryLayout<T>.size else { throw .truncated }
        // Sound: the load checks its bounds, and every bit pattern is a value of a fixed-width integer.
        let value = unsafe bytes.bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
        offset += MemoryLayout<T>.size
        return T(littleEndian: value)
    }

    @inline(__always)
    mutating func hash(_ bytes: Span<UInt8>) throws(DecodeFault) -> Hash128 {
        let high = try integer(UInt64.self, bytes)
        return Hash128(high: high, low: try integer(UInt64.self, bytes))
    }

    mutating func optionalHash(_ bytes: Span<UInt8>) throws(DecodeFault) -> Hash128? {
        try flag(bytes) ? try hash(bytes) : nil
    }

    mutating func flag(_ bytes: Span<UInt8>) throws(DecodeFault) -> Bool {
        switch try integer(UInt8.self, bytes) {
        case 0: return false
        case 1: return true
        default: throw .invalidValue
        }
    }

    /// A count whose elements take at least `minimumBytes` each.
    mutating func count(upTo limit: Int, minimumBytes: Int, _ bytes: Span<UInt8>) throws(DecodeFault) -> Int {
        let count = Int(try integer(UInt32.self, bytes))
        guard count <= limit else { throw .invalidValue }
        guard count * minimumBytes <= remaining else { throw .truncated }
        return count
    }

    mutating func timestamp(_ bytes: Span<UInt8>) throws(DecodeFault) -> Timestamp {
        let value = try integer(Int64.self, bytes)
        guard value > -(1 << 53), value < 1 << 53 else { throw .invalidValue }
        return Timestamp(milliseconds: value)
    }

    mutating func uuid(_ bytes: Span<UInt8>) throws(DecodeFault) -> UUIDv7 {
        let high = try integer(UInt64.self, bytes)
        let low = try integer(UInt64.self, bytes)
        guard let uuid = UUIDv7(bits: UInt128(high) << 64 | UInt128(low)) else { throw .invalidValue }
        return uuid
    }

    mutating func bytes(_ count: Int, _ bytes: Span<UInt8>) throws(DecodeFault) -> [UInt8] {
        guard count <= remaining else { throw .truncated }
        var result: [UInt8] = []
        result.reserveCapacity(count)
        for index in offset..<offset + count { result.append(bytes[index]) }
        offset += count
        return result
    }

    mutating func text(_ bytes: Span<UInt8>) throws(DecodeFault) -> String {
        let count = Int(try integer(UInt16.self, bytes))
        guard let text = String(validating: try self.bytes(count, bytes), as: UTF8.self) else { throw .invalidValue }
        return text
    }

    mutating func optionalText(_ bytes: Span<UInt8>) throws(DecodeFault) -> String? {
        try flag(bytes) ? try text(bytes) : nil
    }
}

extension [UInt8] {
    mutating func appendInteger(_ value: some FixedWidthInteger) {
        var rest = value
        for _ in 0..<value.bitWidth / 8 {
            append(UInt8(truncatingIfNeeded: rest))
            rest = rest.bitWidth > 8 ? rest >> 8 : 0
        }
    }

    mutating func appendHash(_ hash: Hash128) {
        appendInteger(hash.high)
        appendInteger(hash.low)
    }

    mutating func appendOptionalHash(_ hash: Hash128?) {
        append(hash == nil ? 0 : 1)
        if let hash { appendHash(hash) }
    }

    mutating func appendUUID(_ uuid: UUIDv7) {
        appendInteger(UInt64(truncatingIfNeeded: uuid.bits >> 64))
        appendInteger(UInt64(truncatingIfNeeded: uuid.bits))
    }

    mutating func appendTimestamp(_ time: Timestamp) { appendInteger(time.milliseconds) }

    /// - Precondition: the text has at most 65,535 bytes.
    mutating func appendText(_ text: String) {
        let count = text.utf8.count
        precondition(count <= Int(UInt16.max), "a text of \(count) bytes is too long for a record")
        appendInteger(UInt16(count))
        append(contentsOf: text.utf8)
    }

    mutating func appendOptionalText(_ text: String?) {
        append(text == nil ? 0 : 1)
        if let text { appendText(text) }
    }
}
