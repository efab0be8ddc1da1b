// What the tests of links share.

import Platform
import Protocol

@testable import Cluster

/// Bytes from digits; spaces and line ends are for the eye.
func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }
    return stride(from: 0, to: digits.count, by: 2).compactMap { index in
        let start = digits.index(digits.startIndex, offsetBy: index)
        return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16)
    }
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// A frame with its body.
struct WholeFrame: Hashable {
    var header: FrameHeader
    var body: [UInt8] = []

    var bytes: [UInt8] {
        var output: [UInt8] = []
        ClusterFrame.append(header, body: body.span, to: &output)
        return output
    }
}

extension FrameDecoder {
    /// Every frame of some bytes.
    mutating func all(_ bytes: [UInt8]) throws(FrameError) -> [WholeFrame] {
        var frames: [WholeFrame] = []
        var offset = 0
        while let found = try next(bytes.span, &offset) {
            switch found.body {
            case .chunk(let range): frames.append(WholeFrame(header: found.header, body: Array(bytes[range])))
            case .assembled(let range): frames.append(WholeFrame(header: found.header, body: Array(assembled[range])))
            }
        }
        return frames
    }
}

/// What reading bytes in one piece gives.
func decode(_ bytes: [UInt8]) throws(FrameError) -> [WholeFrame] {
    var decoder = FrameDecoder()
    return try decoder.all(bytes)
}

/// Ends a frame with the checksum that it should have.
func sealed(_ bytes: [UInt8]) -> [UInt8] {
    var output = bytes
    LinkBytes.append(Checksum.of(bytes), to: &output)
    return output
}

enum Sample {
    static let full = WholeFrame(
        header: FrameHeader(
            .request, flags: [.again, .relayed], tableVersion: 0x1122_3344_5566_7788, slot: Slot(4095),
            epoch: 1_767_225_600, request: 42, remainingMilliseconds: 4_999, hops: 2,
            target: 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF),
        body: Array("vote".utf8))
    static let bare = WholeFrame(header: FrameHeader(.ping, request: 7))
    static let error = WholeFrame(
        header: FrameHeader(.error, tableVersion: 9, slot: Slot(0), epoch: 3, request: 42),
        body: {
            var body: [UInt8] = []
            PeerError(.notOwner, retryAfterMilliseconds: 250, owner: OwnerHint(name: "node-2", incarnation: 5))
                .append(to: &body)
            return body
        }())
    static let all = [full, bare, error]

    static func random(_ random: SeededRandom) -> WholeFrame {
        var header = FrameHeader(FrameKind.allCases[Int(random.next() % UInt64(FrameKind.allCases.count))])
        header.flags = FrameFlags(rawValue: UInt16(random.next() & 0xFF))
        header.tableVersion = random.next()
        header.slot = random.next() % 3 == 0 ? nil : Slot(UInt16(random.next() % 4096))
        header.epoch = random.next()
        header.request = random.next()
        header.remainingMilliseconds = UInt32(random.next() % 60_001)
        header.hops = UInt8(truncatingIfNeeded: random.next())
        header.target = random.next() % 2 == 0 ? nil : random.next128()
        let size = random.next() % 4 == 0 ? random.next() % 5000 : random.next() % 100
        return WholeFrame(header: header, body: (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    }
}

// The macros of the tests do not take spans.

extension LinkHandshake {
    mutating func received(_ kind: FrameKind, _ body: [UInt8]) -> [Action] { received(kind, body.span) }
}

extension HandshakeGreeting {
    init(_ kind: FrameKind, _ body: [UInt8]) throws { try self.init(kind, body.span) }
}

extension PeerError {
    init?(_ body: [UInt8]) { self.init(body.span) }
}

extension MovedNotice {
    init?(_ body: [UInt8]) { self.init(body.span) }
}

extension FrameDecoder {
    mutating func next(_ bytes: [UInt8], _ offset: inout Int) throws(FrameError) -> Found? {
        try next(bytes.span, &offset)
    }
}
