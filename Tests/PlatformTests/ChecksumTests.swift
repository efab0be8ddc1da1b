import Platform
import Testing

struct ChecksumTests {
    @Test func `published vectors of XXH64`() {
        #expect(Checksum.of([]) == 0xEF46_DB37_51D8_E999)
        #expect(Checksum.of(Array("a".utf8)) == 0xD24E_C4F1_A98C_6E5B)
        #expect(Checksum.of(Array("abc".utf8)) == 0x44BC_2CF5_AD77_0999)
        #expect(Checksum.of(Array("Nobody inspects the spammish repetition".utf8)) == 0xFBCE_A83C_8A37_8BF1)
    }

    @Test func `pieces give the checksum of the whole`() {
        let bytes = (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        for cut in 0...200 {
            var pieces = Checksum()
            pieces.add(Array(bytes[..<cut]))
            pieces.add(Array(bytes[cut...]))
            #expect(pieces.value == Checksum.of(bytes))
        }
    }

    @Test func `memory in one piece has the checksum of its bytes, whatever its length`() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 91) }
        for length in 0...300 {
            let part = Array(bytes[..<length])
            #expect(Checksum.of(part.span.bytes) == Checksum.of(part))
        }
    }

    @Test func `every flipped bit changes it`() {
        let bytes = (0..<75).map { UInt8(truncatingIfNeeded: $0) }
        let whole = Checksum.of(bytes)
        for bit in 0..<bytes.count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(Checksum.of(flipped) != whole)
        }
    }
}
