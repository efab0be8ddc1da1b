// The checksum of journal rows, snapshots and frames between nodes: XXH64 (Yann Collet's published algorithm), of one
// piece or fed in several. It finds damage, not forgery: whoever can write the bytes can also write a checksum.

/// A running XXH64 over everything that was added, as if it had been one piece.
public struct Checksum: Sendable {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    /// What full stripes of 32 bytes are mixed into.
    private struct Lanes: Sendable {
        var first: UInt64
        var second: UInt64
        var third: UInt64
        var fourth: UInt64

        @inline(__always)
        init(seed: UInt64) {
            first = seed &+ prime1 &+ prime2
            second = seed &+ prime2
            third = seed
            fourth = seed &- prime1
        }

        @inline(__always)
        mutating func consume(_ bytes: RawSpan, from start: Int, stripes: Int) {
            var (a, b, c, d) = (first, second, third, fourth)
            var offset = start
            for _ in 0..<stripes {
                a = round(a, word(bytes, offset))
                b = round(b, word(bytes, offset + 8))
                c = round(c, word(bytes, offset + 16))
                d = round(d, word(bytes, offset + 24))
                offset += 32
            }
            (first, second, third, fourth) = (a, b, c, d)
        }
    }

    private var lanes: Lanes
    private let seed: UInt64
    private var total: UInt64 = 0
    /// Fewer than 32 bytes that wait for the rest of their stripe.
    private var rest: [UInt8] = []

    /// Starts an empty checksum; the journal always uses seed 0.
    public init(seed: UInt64 = 0) {
        self.seed = seed
        lanes = Lanes(seed: seed)
    }

    /// The checksum of one whole array.
    public static func of(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
        var checksum = Checksum(seed: seed)
        checksum.add(bytes)
        return checksum.value
    }

    /// The checksum of one piece of memory; allocates nothing.
    public static func of(_ bytes: RawSpan) -> UInt64 {
        let stripes = bytes.byteCount / 32
        var lanes = Lanes(seed: 0)
        lanes.consume(bytes, from: 0, stripes: stripes)
        return finished(lanes, seed: 0, total: UInt64(bytes.byteCount), bytes, from: stripes * 32)
    }

    /// The checksum of integers, each as eight little-endian bytes.
    public static func of(words: [UInt64]) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 * words.count)
        for word in words {
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
        }
        return of(bytes)
    }

    /// Adds bytes.
    public mutating func add(_ bytes: [UInt8]) {
        total &+= UInt64(bytes.count)
        var offset = 0
        if !rest.isEmpty {
            while rest.count < 32, offset < bytes.count {
                rest.append(bytes[offset])
                offset += 1
            }
            guard rest.count == 32 else { return }
            let stripe = rest
            rest.removeAll(keepingCapacity: true)
            unsafe lanes.consume(stripe.span.bytes, from: 0, stripes: 1)
        }
        let stripes = (bytes.count - offset) / 32
        unsafe lanes.consume(bytes.span.bytes, from: offset, stripes: stripes)
        offset += stripes * 32
        if offset < bytes.count { rest.append(contentsOf: bytes[offset...]) }
    }

    /// Adds an integer as eight little-endian bytes.
    public mutating func add(_ value: UInt64) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8)
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * shift))) }
        add(bytes)
    }

    /// Adds an integer as sixteen little-endian bytes.
    public mutating func add(_ value: UInt128) {
        add(UInt64(truncatingIfNeeded: value))
        add(UInt64(truncatingIfNeeded: value >> 64))
    }

    /// The checksum of everything added so far.
    public var value: UInt64 {
        unsafe Self.finished(lanes, seed: seed, total: total, rest.span.bytes, from: 0)
    }

    /// Takes in the tail, fewer than 32 bytes, and mixes.
    @inline(__always)
    private static func finished(
        _ lanes: Lanes, seed: UInt64, total: UInt64, _ tail: RawSpan, from start: Int
    ) -> UInt64 {
        var hash: UInt64
        if total >= 32 {
            hash = rotate(lanes.first, 1) &+ rotate(lanes.second, 7)
            hash = hash &+ rotate(lanes.third, 12) &+ rotate(lanes.fourth, 18)
            hash = (hash ^ round(0, lanes.first)) &* prime1 &+ prime4
            hash = (hash ^ round(0, lanes.second)) &* prime1 &+ prime4
            hash = (hash ^ round(0, lanes.third)) &* prime1 &+ prime4
            hash = (hash ^ round(0, lanes.fourth)) &* prime1 &+ prime4
        } else {
            hash = seed &+ prime5
        }
        hash = hash &+ total
        var offset = start
        while tail.byteCount - offset >= 8 {
            hash ^= round(0, word(tail, offset))
            hash = rotate(hash, 27) &* prime1 &+ prime4
            offset += 8
        }
        if tail.byteCount - offset >= 4 {
            // Safe: the span checks its bounds, and every bit pattern is a UInt32.
            let half = unsafe tail.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)
            hash ^= UInt64(UInt32(littleEndian: half)) &* prime1
            hash = rotate(hash, 23) &* prime2 &+ prime3
            offset += 4
        }
        while offset < tail.byteCount {
            hash ^= UInt64(byte(tail, offset)) &* prime5
            hash = rotate(hash, 11) &* prime1
            offset += 1
        }
        hash = (hash ^ (hash >> 33)) &* prime2
        hash = (hash ^ (hash >> 29)) &* prime3
        return hash ^ (hash >> 32)
    }

    @inline(__always)
    private static func word(_ bytes: RawSpan, _ offset: Int) -> UInt64 {
        // Safe: the span checks its bounds, and every bit pattern is a UInt64.
        unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func byte(_ bytes: RawSpan, _ offset: Int) -> UInt8 {
        // Safe: the span checks its bounds, and every bit pattern is a byte.
        unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
    }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotate(lane &+ word &* prime2, 31) &* prime1
    }

    @inline(__always)
    private static func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { value << by | value >> (64 - by) }
}
