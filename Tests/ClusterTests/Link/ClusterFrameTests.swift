import Platform
import Protocol
import Testing

@testable import Cluster

@Suite(.timeLimit(.minutes(5)))
struct ClusterFrameTests {
    @Test(arguments: Sample.all)
    func `a frame comes through whole, and byte by byte`(_ frame: WholeFrame) throws {
        #expect(try decode(frame.bytes) == [frame])
        var decoder = FrameDecoder()
        var found: [WholeFrame] = []
        for byte in frame.bytes { found += try decoder.all([byte]) }
        #expect(found == [frame])
        #expect(decoder.waitingBytes == 0)
    }

    @Test(arguments: Sample.all)
    func `of every prefix nothing is read, and the rest completes it`(_ frame: WholeFrame) throws {
        let bytes = frame.bytes
        for cut in 0..<bytes.count {
            var decoder = FrameDecoder()
            #expect(try decoder.all(Array(bytes[..<cut])) == [])
            #expect(decoder.waitingBytes == cut)
            #expect(try decoder.all(Array(bytes[cut...])) == [frame])
        }
    }

    @Test(arguments: Sample.all)
    func `a single byte changed in any way gives no frame`(_ frame: WholeFrame) {
        let bytes = frame.bytes
        var read = 0
        for place in bytes.indices {
            for change in 1...255 as ClosedRange<UInt8> {
                var damaged = bytes
                damaged[place] ^= change
                // A length that grew waits for bytes that never come; everything else is an error.
                read += ((try? decode(damaged)) ?? []).count
            }
        }
        #expect(read == 0)
    }

    @Test func `frames in a row are read wherever the pieces are cut`() throws {
        let random = SeededRandom(seed: 4)
        let frames = (0..<200).map { _ in Sample.random(random) }
        var bytes: [UInt8] = []
        for frame in frames { ClusterFrame.append(frame.header, body: frame.body.span, to: &bytes) }
        #expect(try decode(bytes) == frames)
        for round in 0..<20 {
            var decoder = FrameDecoder()
            var found: [WholeFrame] = []
            var offset = 0
            while offset < bytes.count {
                let limit: UInt64 = round % 2 == 0 ? 60 : 9000
                let end = min(bytes.count, offset + 1 + Int(random.next() % limit))
                found += try decoder.all(Array(bytes[offset..<end]))
                offset = end
            }
            #expect(found == frames)
        }
    }

    @Test func `a frame that lies whole in what arrived is not copied`() throws {
        let bytes = Sample.bare.bytes + Sample.full.bytes
        var decoder = FrameDecoder()
        var offset = 0
        _ = try decoder.next(bytes, &offset)
        let found = try #require(try decoder.next(bytes, &offset))
        #expect(found.body == .chunk((bytes.count - 12)..<(bytes.count - 8)))
        #expect(decoder.assembled.capacity == 0)
        #expect(try decoder.next(bytes, &offset) == nil)
    }

    @Test func `the largest body passes, and one byte more of a frame is refused at its first bytes`() throws {
        let largest = WholeFrame(
            header: Sample.full.header, body: [UInt8](repeating: 7, count: ClusterFrame.bodyBytesLimit))
        #expect(largest.bytes.count <= ClusterFrame.frameBytesLimit)
        #expect(try decode(largest.bytes) == [largest])
        var first: [UInt8] = []
        LinkBytes.append(UInt32(ClusterFrame.frameBytesLimit + 1), to: &first)
        first += [0x54, 0x75, 1, 0x20]
        #expect(throws: FrameError.badLength(UInt32(ClusterFrame.frameBytesLimit + 1))) { try decode(first) }
        LinkBytes.append(UInt32(49), to: &first)
        #expect(throws: FrameError.badLength(49)) { try decode(Array(first[8...]) + [0x54, 0x75, 1, 0x20]) }
    }

    @Test func `the buffer of a large torn frame is let go`() throws {
        let large = WholeFrame(header: FrameHeader(.event), body: [UInt8](repeating: 7, count: 500_000))
        var decoder = FrameDecoder()
        let bytes = large.bytes
        #expect(try decoder.all(Array(bytes[..<100_000])) == [])
        #expect(try decoder.all(Array(bytes[100_000...])) == [large])
        #expect(try decoder.all(Sample.bare.bytes) == [Sample.bare])
        #expect(decoder.assembled.capacity < 100_000)
    }

    @Test func `memory grows as bytes arrive, not by what a length promises`() throws {
        var decoder = FrameDecoder()
        let large = WholeFrame(header: FrameHeader(.event), body: [UInt8](repeating: 7, count: 900_000))
        _ = try decoder.all(Array(large.bytes[..<100]))
        #expect(decoder.assembled.capacity < 1000)
    }

    @Test func `a decoder with a smaller limit refuses a longer frame by its length`() {
        var decoder = FrameDecoder(frameBytesLimit: 60)
        #expect(throws: FrameError.badLength(72)) { try decoder.all(Array(Sample.full.bytes[..<8])) }
    }

    @Test func `garbage is refused at its first bytes`() {
        #expect(throws: FrameError.notAFrame) { try decode(Array("GET / HTTP/1.1\r\n".utf8)) }
        #expect(throws: FrameError.notAFrame) { try decode(Array("GET /".utf8)) }
        var decoder = FrameDecoder()
        #expect(throws: FrameError.notAFrame) {
            for byte in Array("GET /".utf8) { _ = try decoder.all([byte]) }
        }
    }

    /// Offsets in a frame without optional fields.
    private func changed(_ place: Int, _ value: [UInt8]) -> [UInt8] {
        var bytes = Array(Sample.bare.bytes.dropLast(8))
        bytes.replaceSubrange(place..<(place + value.count), with: value)
        return sealed(bytes)
    }

    @Test func `what must be known and is not is refused, what need not be is passed over`() throws {
        #expect(throws: FrameError.unknownLayout(2)) { try decode(changed(6, [2])) }
        for number in [0x00, 0x06, 0x23, 0x40, 0xFF] as [UInt8] {
            #expect(throws: FrameError.unknownKind(number)) { try decode(changed(7, [number])) }
        }
        for bit in 8..<16 as Range<UInt16> {
            let flags: UInt16 = 1 << bit
            #expect(throws: FrameError.unknownFlags(flags)) { try decode(changed(8, [0, UInt8(flags >> 8)])) }
        }
        #expect(try decode(changed(8, [0xFC, 0])).first?.header.flags.rawValue == 0xFC)
        #expect(throws: FrameError.badField(.slot)) { try decode(changed(10, [0x00, 0x10])) }
        #expect(try decode(changed(10, [0xFF, 0x0F])).first?.header.slot == Slot(4095))
        #expect(throws: FrameError.badField(.remaining)) { try decode(changed(12, [0x61, 0xEA, 0, 0])) }
        #expect(try decode(changed(12, [0x60, 0xEA, 0, 0])).first?.header.remainingMilliseconds == 60_000)
    }

    private func withOptions(_ options: [UInt8], count: Int? = nil) -> [UInt8] {
        var bytes = Array(Sample.bare.bytes.dropLast(8))
        bytes[41] = UInt8(count ?? options.count)
        bytes += options
        bytes[0] = UInt8(bytes.count + 8)
        return sealed(bytes)
    }

    @Test func `optional fields that are not known are skipped, and those that must be known are refused`() throws {
        let target: [UInt8] = [1, 16] + (0..<16)
        let known = try #require(try decode(withOptions(target)).first)
        #expect(known.header.target == 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100)
        #expect(try decode(withOptions([2, 0] + target + [127, 3, 9, 9, 9])) == [known])
        for tag in [128, 255] as [UInt8] {
            #expect(throws: FrameError.badOptions) { try decode(withOptions([tag, 0])) }
        }
        for torn in [[1], [2, 1], [1, 15] + (0..<15), target + target, target + [0]] as [[UInt8]] {
            #expect(throws: FrameError.badOptions) { try decode(withOptions(torn)) }
        }
        #expect(throws: FrameError.badOptions) { try decode(withOptions([], count: 1)) }
    }

    @Test func `a peer's error comes through, and one of a later release can still be told`() {
        for error in [
            PeerError(.notOwner, retryAfterMilliseconds: 7, owner: OwnerHint(name: "a.1", incarnation: .max)),
            PeerError(.overloaded, retryAfterMilliseconds: .max), PeerError(.expired),
        ] {
            var body: [UInt8] = []
            error.append(to: &body)
            #expect(PeerError(body) == error)
            for cut in 0..<body.count { #expect(PeerError(Array(body[..<cut])) == nil) }
            #expect(PeerError(body + [1, 2, 3]) == error)
            body[0] = 99
            #expect(PeerError(body)?.code == .unavailable)
        }
    }

    @Test func `a notice of a move comes through, and a name that is none is refused`() {
        let notice = MovedNotice(target: OwnerHint(name: "node-3", incarnation: 12))
        var body: [UInt8] = []
        notice.append(to: &body)
        #expect(MovedNotice(body) == notice)
        for cut in 0..<body.count { #expect(MovedNotice(Array(body[..<cut])) == nil) }
        for byte in [0x00, 0x20, 0x7F, 0xC3] as [UInt8] {
            var bad = body
            bad[18] = byte
            #expect(MovedNotice(bad) == nil)
        }
    }
}
