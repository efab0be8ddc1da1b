// The rules of RFC 6455 one by one, and its published examples.
import Testing

@testable import Web

private func masked(
    _ opcode: WebSocketOpcode, _ payload: [UInt8], isFinal: Bool = true, isCompressed: Bool = false
) -> [UInt8] {
    var out: [UInt8] = []
    WebSocketFrame.appendMasked(
        opcode, payload, mask: 0x3D21_FA37, isFinal: isFinal, isCompressed: isCompressed, into: &out)
    return out
}

private func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Streams and what they must lead to, in the order of the rules.
private let cases: [(name: String, bytes: [UInt8], said: [Said])] = [
    (
        "the masked Hello of RFC 6455", [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58],
        [.text(utf8("Hello"))]
    ),
    (
        "the masked pong of RFC 6455", [0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58],
        [.pong(utf8("Hello"))]
    ),
    ("empty text", masked(.text, []), [.text([])]),
    ("empty binary", masked(.binary, []), [.binary([])]),
    ("two messages", masked(.text, utf8("a")) + masked(.binary, [0xFF]), [.text(utf8("a")), .binary([0xFF])]),
    ("125 bytes", masked(.text, [UInt8](repeating: 0x2A, count: 125)), [.text([UInt8](repeating: 0x2A, count: 125))]),
    ("126 bytes", masked(.text, [UInt8](repeating: 0x2A, count: 126)), [.text([UInt8](repeating: 0x2A, count: 126))]),
    (
        "65,535 bytes", masked(.binary, [UInt8](repeating: 0xFE, count: 65_535)),
        [.binary([UInt8](repeating: 0xFE, count: 65_535))]
    ),
    (
        "65,536 bytes", masked(.binary, [UInt8](repeating: 0xFE, count: 65_536)),
        [.binary([UInt8](repeating: 0xFE, count: 65_536))]
    ),
    ("65,537 bytes", masked(.binary, [UInt8](repeating: 0xFE, count: 65_537)), [.violation(1009)]),
    (
        "the sum of fragments counts",
        masked(.binary, [UInt8](repeating: 1, count: 40_000), isFinal: false)
            + masked(.continuation, [UInt8](repeating: 1, count: 25_537)), [.violation(1009)]
    ),
    (
        "fragments",
        masked(.text, utf8("He"), isFinal: false) + masked(.continuation, [], isFinal: false)
            + masked(.continuation, utf8("llo")), [.text(utf8("Hello"))]
    ),
    (
        "control frames between fragments",
        masked(.text, utf8("He"), isFinal: false) + masked(.ping, utf8("p"))
            + masked(.pong, []) + masked(.continuation, utf8("llo")),
        [.ping(utf8("p")), .pong([]), .text(utf8("Hello"))]
    ),
    (
        "ping of 125 bytes", masked(.ping, [UInt8](repeating: 0xFE, count: 125)),
        [.ping([UInt8](repeating: 0xFE, count: 125))]
    ),
    ("ping of 126 bytes", masked(.ping, [UInt8](repeating: 0xFE, count: 126)), [.violation(1002)]),
    ("fragmented ping", masked(.ping, [], isFinal: false), [.violation(1002)]),
    ("unmasked", [0x81, 0x00], [.violation(1002)]),
    ("RSV1 without an extension", masked(.text, [], isCompressed: true), [.violation(1002)]),
    ("RSV2", [0xA1, 0x80, 0, 0, 0, 0], [.violation(1002)]),
    ("RSV3", [0x91, 0x80, 0, 0, 0, 0], [.violation(1002)]),
    ("opcode 3", [0x83, 0x80], [.violation(1002)]),
    ("opcode 11", [0x8B, 0x80], [.violation(1002)]),
    ("continuation of nothing", masked(.continuation, []), [.violation(1002)]),
    (
        "continuation behind a whole message", masked(.text, []) + masked(.continuation, []),
        [.text([]), .violation(1002)]
    ),
    ("message inside a message", masked(.text, [], isFinal: false) + masked(.text, []), [.violation(1002)]),
    ("16-bit length of 125", [0x82, 0xFE, 0, 125, 0, 0, 0, 0], [.violation(1002)]),
    ("64-bit length of 65,535", [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0], [.violation(1002)]),
    ("64-bit length with the highest bit", [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [.violation(1002)]),
    (
        "64-bit length of nearly everything", [0x82, 0xFF, 0x7F] + [UInt8](repeating: 0xFF, count: 11),
        [.violation(1009)]
    ),
    ("text that is not UTF-8", masked(.text, [0x61, 0xFF]), [.violation(1007)]),
    ("a surrogate", masked(.text, [0xED, 0xA0, 0x80]), [.violation(1007)]),
    ("an overlong slash", masked(.text, [0xC0, 0xAF]), [.violation(1007)]),
    ("above U+10FFFF", masked(.text, [0xF4, 0x90, 0x80, 0x80]), [.violation(1007)]),
    ("a character cut off by the end", masked(.text, [0xE2, 0x82]), [.violation(1007)]),
    (
        "a character across fragments", masked(.text, [0xE2, 0x82], isFinal: false) + masked(.continuation, [0xAC]),
        [.text(utf8("€"))]
    ),
    ("bad UTF-8 is found before the message ends", masked(.text, [0xE2, 0x28], isFinal: false), [.violation(1007)]),
    ("close without a body", masked(.close, []), [.close(nil, [])]),
    ("close with a reason", masked(.close, [3, 0xE8] + utf8("bye")), [.close(1000, utf8("bye"))]),
    ("nothing is read behind a close", masked(.close, [3, 0xE9]) + masked(.text, utf8("x")), [.close(1001, [])]),
    ("close with one byte", masked(.close, [3]), [.violation(1002)]),
    ("close with broken UTF-8", masked(.close, [3, 0xE8, 0xC3]), [.violation(1007)]),
    (
        "close inside a message", masked(.text, utf8("x"), isFinal: false) + masked(.close, [0x0F, 0xA0]),
        [.close(4000, [])]
    ),
]

@Suite struct WebSocketFrameTests {
    @Test(arguments: cases.indices)
    func `each rule is kept, however the bytes are cut`(index: Int) {
        let (name, bytes, said) = cases[index]
        #expect(parseFrames(bytes) == said, "\(name)")
        #expect(parseFrames(bytes, pieces: [Int](repeating: 1, count: bytes.count)) == said, "\(name)")
        for first in 1..<min(bytes.count, 300) {
            #expect(parseFrames(bytes, pieces: [first]) == said, "\(name) cut at \(first)")
        }
    }

    @Test(arguments: cases.indices)
    func `a prefix never says more than the whole`(index: Int) {
        let (name, bytes, said) = cases[index]
        for length in 0..<min(bytes.count, 300) {
            #expect(said.starts(with: parseFrames(Array(bytes[..<length]))), "\(name) \(length)")
        }
    }

    @Test func `close codes are taken and refused by their ranges`() {
        for code in UInt16.min...UInt16.max {
            let isAllowed = (1000...1003).contains(code) || (1007...1014).contains(code) || (3000...4999).contains(code)
            let said = parseFrames(masked(.close, [UInt8(code >> 8), UInt8(code & 0xFF)]))
            if said != [isAllowed ? .close(code, []) : .violation(1002)] { Issue.record("\(code): \(said)") }
        }
    }

    @Test func `every single-byte corruption says the same whole and in pieces`() {
        let stream =
            masked(.text, utf8("Hé"), isFinal: false) + masked(.ping, [1]) + masked(.continuation, utf8("€"))
            + masked(.close, [3, 0xE8])
        for position in stream.indices {
            for value in UInt8.min...UInt8.max {
                var corrupted = stream
                corrupted[position] = value
                let whole = parseFrames(corrupted)
                let cut = parseFrames(corrupted, pieces: [Int](repeating: 1, count: corrupted.count))
                if whole != cut { Issue.record("\(position) \(value): \(whole) \(cut)") }
            }
        }
    }

    @Test func `the checker of UTF-8 agrees with the standard library`() {
        var random = SeededGenerator(seed: 7)
        let interesting: [UInt8] = [
            0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
            0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF,
        ]
        for _ in 0..<50_000 {
            let bytes = (0..<Int.random(in: 0...12, using: &random)).map { _ in
                interesting.randomElement(using: &random) ?? 0
            }
            var check = UTF8Check()
            let valid = bytes.withUnsafeBytes { check.accept($0) } && check.isComplete
            if valid != (String(validating: bytes, as: UTF8.self) != nil) { Issue.record("\(bytes)") }
        }
    }

    @Test func `a whole frame is handed out where it lies`() {
        var buffer = masked(.text, utf8("abc"))
        var parser = WebSocketFrameParser()
        var offset = 0
        buffer.withUnsafeMutableBytes { bytes in
            guard case .text(.inBuffer(let range)) = parser.next(in: bytes, at: &offset) else {
                Issue.record("copied")
                return
            }
            #expect(range == 6..<9)
        }
        #expect(parser.isIdle)
    }

    @Test func `the state of a connection is small`() {
        #expect(MemoryLayout<WebSocketFrameParser>.size <= 64)
    }

    @Test func `what a server writes, a client reads`() {
        var random = SeededGenerator(seed: 3)
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            var wire: [UInt8] = []
            WebSocketFrame.append(.binary, payload, into: &wire)
            #expect(wire.count == length + (length < 126 ? 2 : length < 65_536 ? 4 : 10))
            var parser = WebSocketFrameParser(peer: .server)
            var offset = 0
            wire.withUnsafeMutableBytes { bytes in
                guard case .binary(let read) = parser.next(in: bytes, at: &offset) else {
                    Issue.record("\(length) not read")
                    return
                }
                #expect(read.withBytes(in: bytes) { Array($0) } == payload)
            }
        }
    }

    @Test func `the unmasked examples of RFC 6455 are written as published`() {
        var out: [UInt8] = []
        WebSocketFrame.append(.text, utf8("Hello"), into: &out)
        #expect(out == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
        out = []
        WebSocketFrame.appendHeader(.binary, length: 256, into: &out)
        #expect(out == [0x82, 0x7E, 0x01, 0x00])
        out = []
        WebSocketFrame.appendHeader(.binary, length: 65_536, into: &out)
        #expect(out == [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0])
    }

    @Test func `a close frame keeps its bound and its characters whole`() {
        var out: [UInt8] = []
        WebSocketFrame.appendClose(1001, reason: String(repeating: "é", count: 100), into: &out)
        #expect(out[0] == 0x88 && out[1] == 2 + 122 && out.count == 2 + 2 + 122)
        out = []
        WebSocketFrame.appendClose(1006, into: &out)
        #expect(out == [0x88, 2, 3, 0xE8])
        out = []
        WebSocketFrame.appendClose(nil, into: &out)
        #expect(out == [0x88, 0])
    }
}
