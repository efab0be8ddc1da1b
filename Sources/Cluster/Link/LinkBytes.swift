// The primitives of the bodies that links know themselves: little-endian integers, and texts behind a length of one
// byte. What stands behind the last known field is left alone: a later release may have put it there.

/// Bytes that are no body of their kind.
struct LinkBodyError: Error, Hashable, Sendable {}

/// A place in a body, with the operations that move it forward.
struct LinkCursor {
    private var offset = 0

    private mutating func take(_ count: Int, of bytes: Span<UInt8>) throws(LinkBodyError) -> Int {
        guard bytes.count - offset >= count else { throw LinkBodyError() }
        defer { offset += count }
        return offset
    }

    mutating func byte(_ bytes: Span<UInt8>) throws(LinkBodyError) -> UInt8 { bytes[try take(1, of: bytes)] }
    mutating func word16(_ bytes: Span<UInt8>) throws(LinkBodyError) -> UInt16 {
        bytes.word16(at: try take(2, of: bytes))
    }
    mutating func word32(_ bytes: Span<UInt8>) throws(LinkBodyError) -> UInt32 {
        bytes.word32(at: try take(4, of: bytes))
    }
    mutating func word128(_ bytes: Span<UInt8>) throws(LinkBodyError) -> UInt128 {
        bytes.word128(at: try take(16, of: bytes))
    }

    mutating func array(_ count: Int, _ bytes: Span<UInt8>) throws(LinkBodyError) -> [UInt8] {
        let start = try take(count, of: bytes)
        var array: [UInt8] = []
        array.reserveCapacity(count)
        for index in start..<(start + count) { array.append(bytes[index]) }
        return array
    }

    /// A node's name, or nothing where that is allowed.
    mutating func name(_ bytes: Span<UInt8>, mayBeEmpty: Bool = false) throws(LinkBodyError) -> String {
        let count = Int(try byte(bytes))
        guard count > 0 || mayBeEmpty, count <= NodeIdentity.nameBytesLimit else { throw LinkBodyError() }
        let text = try array(count, bytes)
        guard text.allSatisfy({ (0x21...0x7E).contains($0) }) else { throw LinkBodyError() }
        return String(decoding: text, as: UTF8.self)
    }
}

/// Appends the same primitives.
enum LinkBytes {
    static func append<Word: FixedWidthInteger & UnsignedInteger>(_ value: Word, to output: inout [UInt8]) {
        var rest = value
        for _ in 0..<Word.bitWidth / 8 {
            output.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    static func append(name: String, to output: inout [UInt8]) {
        let bytes = name.utf8
        precondition(bytes.count <= NodeIdentity.nameBytesLimit, "a name of \(bytes.count) bytes")
        output.append(UInt8(bytes.count))
        output.append(contentsOf: bytes)
    }
}
