/// Appends the primitives of the binary encoding to a buffer; `docs/PROTOCOL.md` specifies them byte by byte.
package enum BinaryWriter {
    /// Appends an unsigned LEB128 integer: seven bits a byte, least significant first, in its shortest form.
    @inline(__always)
    package static func unsigned(_ value: UInt64, to output: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        output.append(UInt8(truncatingIfNeeded: rest))
    }

    /// Appends a signed integer, zigzag-folded so that small magnitudes stay short.
    @inline(__always)
    package static func signed(_ value: Int64, to output: inout [UInt8]) {
        unsigned(UInt64(bitPattern: (value << 1) ^ (value >> 63)), to: &output)
    }

    /// Appends a count or a length.
    package static func count(_ value: Int, to output: inout [UInt8]) { unsigned(UInt64(value), to: &output) }

    /// Appends the 16 bytes of an identifier, most significant first.
    @inline(__always)
    package static func uuid(_ id: UUIDv7, to output: inout [UInt8]) {
        output.append(addingCapacity: 16) { space in
            var bits = id.bits
            for _ in 0..<16 {
                space.append(UInt8(truncatingIfNeeded: bits >> 120))
                bits <<= 8
            }
        }
    }

    /// Appends epoch and seq.
    package static func position(_ position: Position, to output: inout [UInt8]) {
        unsigned(position.epoch, to: &output)
        unsigned(position.seq, to: &output)
    }

    /// Appends a moment: milliseconds since 1970, signed.
    package static func timestamp(_ time: Timestamp, to output: inout [UInt8]) {
        signed(time.milliseconds, to: &output)
    }

    /// Appends the length in bytes and the UTF-8 of a string.
    package static func string(_ text: String, to output: inout [UInt8]) {
        let bytes = text.utf8
        count(bytes.count, to: &output)
        output.append(contentsOf: bytes)
    }

    /// Appends a length and the bytes.
    package static func bytes(_ bytes: [UInt8], to output: inout [UInt8]) {
        count(bytes.count, to: &output)
        output.append(contentsOf: bytes)
    }
}
