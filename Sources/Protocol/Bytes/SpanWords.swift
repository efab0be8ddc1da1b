// Eight bytes at a time: what the hot paths of the decoders are built on.

extension Span<UInt8> {
    /// The eight bytes from an offset as one integer, the first in the lowest place.
    ///
    /// - Precondition: all eight lie in the span.
    @inline(__always)
    func word(at offset: Int) -> UInt64 {
        // Safe: the load checks its bounds, and every pattern of 64 bits is an integer.
        UInt64(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Up to eight bytes as one integer, the first in the lowest place, zeros above the last.
    @inline(__always)
    func word(_ range: Range<Int>) -> UInt64 {
        let width = Swift.min(range.count, 8)
        if width == 0 { return 0 }
        if range.lowerBound + 8 <= count {
            return word(at: range.lowerBound) & (UInt64.max >> UInt64(64 - 8 * width))
        }
        var word: UInt64 = 0
        for place in range.lowerBound..<(range.lowerBound + width) {
            word |= UInt64(self[place]) &<< UInt64(8 * (place - range.lowerBound))
        }
        return word
    }
}
