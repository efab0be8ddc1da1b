// A reader of the primitives of the binary encoding over borrowed bytes, which are an argument of each call. There is
// one way to write each value: an integer that is not in its shortest form is refused.

/// Why bytes are not a message in the binary encoding.
package enum BinaryError: Error, Sendable, Equatable {
    /// The bytes stop before the value does.
    case truncated
    /// An integer above 64 bits or with needless bytes.
    case badInteger
    /// A string that is not UTF-8.
    case badUTF8
    /// Bytes behind the message.
    case trailing
    /// A flag that the kind does not have, or two that exclude each other.
    case badFlags
    /// A field that is well formed and out of its bounds: its name and what it must be.
    case field(String, String)
    /// A signal whose data is over the limit.
    case signalTooLarge
    /// A kind that does not exist.
    case unknownKind
}

/// A place in a binary message, with the operations that move it forward.
package struct BinaryCursor {
    package private(set) var offset = 0

    /// At the first byte.
    package init() {}

    package mutating func byte(_ bytes: Span<UInt8>) throws(BinaryError) -> UInt8 {
        guard offset < bytes.count else { throw .truncated }
        let byte = bytes[offset]
        offset += 1
        return byte
    }

    package mutating func unsigned(_ bytes: Span<UInt8>) throws(BinaryError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try byte(bytes)
            if byte < 0x80 {
                guard byte != 0 || shift == 0, shift < 63 || byte == 1 else { throw .badInteger }
                return value | UInt64(byte) << shift
            }
            guard shift < 63 else { throw .badInteger }
            value |= UInt64(byte & 0x7F) << shift
            shift += 7
        }
    }

    package mutating func signed(_ bytes: Span<UInt8>) throws(BinaryError) -> Int64 {
        let folded = try unsigned(bytes)
        return Int64(bitPattern: folded >> 1) ^ -Int64(bitPattern: folded & 1)
    }

    /// A length, followed by at least that many bytes.
    package mutating func length(_ bytes: Span<UInt8>) throws(BinaryError) -> Int {
        let length = try unsigned(bytes)
        guard length <= UInt64(bytes.count - offset) else { throw .truncated }
        return Int(length)
    }

    /// A count of elements that take at least one byte each.
    package mutating func count(_ bytes: Span<UInt8>, limit: Int, _ name: String) throws(BinaryError) -> Int {
        let count = try length(bytes)
        guard count <= limit else { throw .field(name, "must be a list of at most \(limit)") }
        return count
    }

    @inline(__always)
    package mutating func uuid(_ bytes: Span<UInt8>, _ name: StaticString) throws(BinaryError) -> UUIDv7 {
        guard bytes.count - offset >= 16 else { throw .truncated }
        let high = bytes.word(at: offset).byteSwapped
        let low = bytes.word(at: offset + 8).byteSwapped
        offset += 16
        guard let id = UUIDv7(bits: UInt128(high) << 64 | UInt128(low)) else {
            throw .field(name.description, FieldFault.uuid)
        }
        return id
    }

    package mutating func position(_ bytes: Span<UInt8>, _ name: StaticString) throws(BinaryError) -> Position {
        let position = Position(epoch: try unsigned(bytes), seq: try unsigned(bytes))
        guard position.epoch <= Position.componentLimit, position.seq <= Position.componentLimit else {
            throw .field(name.description, FieldFault.position)
        }
        return position
    }

    package mutating func timestamp(_ bytes: Span<UInt8>, _ name: StaticString) throws(BinaryError) -> Timestamp {
        let time = Timestamp(milliseconds: try signed(bytes))
        guard Timestamp.textRange.contains(time) else {
            throw .field(name.description, "must lie in the years 0 to 9999")
        }
        return time
    }

    /// A string of that many bytes; a longer one is refused before it is made.
    package mutating func string(
        _ bytes: Span<UInt8>, _ name: StaticString, _ bounds: ClosedRange<Int>
    ) throws(BinaryError) -> String {
        let length = try length(bytes)
        let range = offset..<(offset + length)
        offset += length
        guard bounds.contains(length) else {
            throw .field(name.description, FieldFault.bytes(bounds.upperBound))
        }
        guard let text = UTF8Scan.string(bytes, range) else { throw .badUTF8 }
        return text
    }

    /// The place of a length and that many bytes.
    package mutating func blob(_ bytes: Span<UInt8>) throws(BinaryError) -> Range<Int> {
        let length = try length(bytes)
        offset += length
        return (offset - length)..<offset
    }

    /// A string of any length.
    package mutating func string(_ bytes: Span<UInt8>) throws(BinaryError) -> String {
        try string(bytes, "text", 0...Int.max)
    }

    package mutating func finish(_ bytes: Span<UInt8>) throws(BinaryError) {
        guard offset == bytes.count else { throw .trailing }
    }
}
