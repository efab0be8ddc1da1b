// The speed of the parser beside wslay's on the frames that votes are made of. Runs only where it is asked for, in an
// optimised build; it prints its figures and demands that the own parser stays worth having.
import Foundation
import Testing

@testable import Web

@Suite struct WebSocketSpeedTests {
    @Test(.enabled(if: ProcessInfo.processInfo.environment["TUMULTE_BENCH"] != nil))
    func `a masked frame of 120 bytes costs less than in wslay`() {
        let framesPerRead = 32
        var stream: [UInt8] = []
        for _ in 0..<framesPerRead {
            WebSocketFrame.appendMasked(.text, [UInt8](repeating: 0x61, count: 120), mask: 0x1234_5678, into: &stream)
        }
        let rounds = 20_000
        let clock = ContinuousClock()
        let reference = WslayReference()
        var messages = 0
        let slow = clock.measure { for _ in 0..<rounds { messages += reference.drain(stream[...]) } }
        #expect(messages == rounds * framesPerRead)
        // Unmasking in place an even number of times gives the stream back, so each read is a copy into one buffer,
        // as a socket would make it.
        var parser = WebSocketFrameParser()
        var buffer = stream
        var parsed = 0
        let fast = clock.measure {
            for _ in 0..<rounds {
                buffer.withUnsafeMutableBytes { bytes in
                    bytes.copyBytes(from: stream)
                    var offset = 0
                    while case .text = parser.next(in: bytes, at: &offset) { parsed += 1 }
                }
            }
        }
        #expect(parsed == rounds * framesPerRead)
        let frames = Double(rounds * framesPerRead)
        let (own, other) = (fast / .nanoseconds(1) / frames, slow / .nanoseconds(1) / frames)
        print("own \(own) ns/frame, wslay \(other) ns/frame, state \(MemoryLayout<WebSocketFrameParser>.size) bytes")
        #expect(own < other)
    }
}
