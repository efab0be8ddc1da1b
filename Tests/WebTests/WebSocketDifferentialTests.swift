// Random streams of frames, valid and broken, cut at random points, through the parser and through wslay.
import Testing

@testable import Web

@Suite struct WebSocketDifferentialTests {
    @Test(arguments: 0..<16)
    func `random streams say the same to the parser and to wslay`(block: Int) {
        for seed in UInt64(block * 50)..<UInt64((block + 1) * 50) {
            var random = SeededGenerator(seed: seed)
            var stream = randomStream(&random)
            if random.next() % 3 == 0 {
                let position = Int.random(in: stream.indices, using: &random)
                stream[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            }
            var pieces: [Int] = []
            let most = [3, 20, 300, 100_000].randomElement(using: &random) ?? 1
            var covered = 0
            while covered < stream.count {
                let size = Int.random(in: 1...most, using: &random)
                pieces.append(size)
                covered += size
            }

            let reference = WslayReference()
            // In one piece: cut inside a close code, wslay checks the code's bytes as if they were text.
            reference.feed(stream[...])
            let (own, expected) = (parseFrames(stream, pieces: pieces), reference.finish())
            if own != expected {
                let last = "\(own.last.map(short) ?? "-") instead of \(expected.last.map(short) ?? "-")"
                Issue.record("seed \(seed): \(own.count) and \(expected.count) events, \(last)")
            }
        }
    }

    private func short(_ said: Said) -> String { String("\(said)".prefix(40)) }

    /// Some messages, fragmented and with control frames in between; then perhaps something broken.
    private func randomStream(_ random: inout SeededGenerator) -> [UInt8] {
        var out: [UInt8] = []
        for _ in 0..<Int.random(in: 1...5, using: &random) { appendMessage(&random, &out) }
        switch random.next() % 12 {
        case 0: frame(&random, .close, [], &out)
        case 1: frame(&random, .close, [3], &out)
        case 2:
            let code = UInt16(
                [1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1015, 2999, 3000, 4999, 5000, 0, 999]
                    .randomElement(using: &random) ?? 1000)
            frame(&random, .close, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array("bye é".utf8), &out)
        case 3: frame(&random, .close, [3, 0xE8, 0xFF], &out)
        case 4: out.append(contentsOf: [0x83, 0x80, 0, 0, 0, 0])
        case 5: out.append(contentsOf: [0xC1, 0x80, 0, 0, 0, 0])
        case 6: frame(&random, .continuation, [1], &out)
        case 7: out.append(contentsOf: [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0])
        case 8: frame(&random, .text, [0xC3, 0x28], &out)
        case 9: frame(&random, .binary, [UInt8](repeating: 7, count: 65_537), &out)
        default: break
        }
        appendMessage(&random, &out)
        return out
    }

    private func appendMessage(_ random: inout SeededGenerator, _ out: inout [UInt8]) {
        let isText = random.next() % 2 == 0
        let length = Int.random(in: 0...([5, 124, 127, 300, 3000].randomElement(using: &random) ?? 5), using: &random)
        var payload: [UInt8]
        if isText {
            let text = (0..<length).map { _ in
                ["a", "Z", " ", "é", "€", "😀", "\u{0}"].randomElement(using: &random) ?? ""
            }
            payload = Array(text.joined().utf8)
        } else {
            payload = (0..<length).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        var opcode: WebSocketOpcode = isText ? .text : .binary
        while random.next() % 3 == 0 {
            let part = payload.prefix(Int.random(in: 0...payload.count, using: &random))
            payload.removeFirst(part.count)
            frame(&random, opcode, Array(part), isFinal: false, &out)
            opcode = .continuation
            if random.next() % 2 == 0 {
                let control: WebSocketOpcode = random.next() % 2 == 0 ? .ping : .pong
                let size = [0, 1, 60, 125].randomElement(using: &random) ?? 0
                frame(&random, control, [UInt8](repeating: 0x70, count: size), &out)
            }
        }
        frame(&random, opcode, payload, &out)
    }

    private func frame(
        _ random: inout SeededGenerator, _ opcode: WebSocketOpcode, _ payload: [UInt8], isFinal: Bool = true,
        _ out: inout [UInt8]
    ) {
        let mask = UInt32(truncatingIfNeeded: random.next())
        WebSocketFrame.appendMasked(opcode, payload, mask: mask, isFinal: isFinal, into: &out)
    }
}
