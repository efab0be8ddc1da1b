// Feeds bytes to the decoder of frames between nodes, in one piece and torn, and to the machines of the handshake. What
// decodes must come through encoding unchanged, however it was torn; everything else must be refused without falling
// over.
//
// A checksum keeps a fuzzer out, so the input also goes in as a frame with the right one, and as the body of each kind.

import CFuzzer
import Cluster
import Glibc
import Platform

@main
struct Fuzzer {
    /// Hands the process to libFuzzer, which calls back with each input and never returns.
    static func main() {
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
        // Safe: both live as long as the process, and libFuzzer only reorders the pointers.
        exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { unsafe fuzzOne($0, $1) })
    }
}

private let key = LinkKey(clusterSecret: [UInt8](repeating: 7, count: 32))

/// The input as a frame that begins and ends as one should.
private func sealed(_ input: [UInt8]) -> [UInt8] {
    var bytes = input
    let length = UInt32(input.count + ClusterFrame.checksumBytes)
    for place in 0..<4 { bytes[place] = UInt8(truncatingIfNeeded: length >> UInt32(8 * place)) }
    bytes.replaceSubrange(4..<7, with: [0x54, 0x75, ClusterFrame.layoutVersion])
    let checksum = Checksum.of(bytes)
    for place in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: checksum >> UInt64(8 * place))) }
    return bytes
}

private struct Frame: Equatable {
    let header: FrameHeader
    let body: [UInt8]
}

/// What libFuzzer calls with each input.
private func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Safe: libFuzzer lends `count` readable bytes for the duration of the call, and they are copied at once.
    let input = unsafe [UInt8](UnsafeBufferPointer(start: start, count: count))
    check(input)
    if input.count >= ClusterFrame.headerBytes { check(sealed(input)) }
    if let error = PeerError(input.span) {
        var body: [UInt8] = []
        error.append(to: &body)
        guard PeerError(body.span) == error else { fatalError("an error changed: \(error)") }
    }
    if let notice = MovedNotice(input.span) {
        var body: [UInt8] = []
        notice.append(to: &body)
        guard MovedNotice(body.span) == notice else { fatalError("a notice changed: \(notice)") }
    }
    for role in [LinkHandshake.Role.dialer, .listener] {
        for kind in FrameKind.allCases {
            var machine = LinkHandshake(
                role, as: NodeIdentity(name: "node", incarnation: 1), key: key, random: SeededRandom(seed: 1), now: 0)
            _ = machine.connected()
            for action in machine.received(kind, input.span) {
                if case .open = action { fatalError("a link opened to \(input) as \(kind)") }
            }
        }
    }
    return 0
}

private func check(_ input: [UInt8]) {
    let whole = read(input, piece: max(1, input.count))
    let torn = read(input, piece: 1 + Int(input.first ?? 0) % 61)
    guard whole == torn else { fatalError("torn bytes give other frames: \(input)") }
    var bytes: [UInt8] = []
    for frame in whole { ClusterFrame.append(frame.header, body: frame.body.span, to: &bytes) }
    guard read(bytes, piece: max(1, bytes.count)) == whole else { fatalError("frames changed: \(input)") }
}

/// The frames up to the first fault.
private func read(_ bytes: [UInt8], piece: Int) -> [Frame] {
    var decoder = FrameDecoder()
    var frames: [Frame] = []
    var start = 0
    while start < bytes.count {
        let chunk = Array(bytes[start..<min(bytes.count, start + piece)])
        start += chunk.count
        var offset = 0
        do throws(FrameError) {
            while let found = try decoder.next(chunk.span, &offset) {
                switch found.body {
                case .chunk(let range): frames.append(Frame(header: found.header, body: Array(chunk[range])))
                case .assembled(let range):
                    frames.append(Frame(header: found.header, body: Array(decoder.assembled[range])))
                }
            }
        } catch {
            return frames
        }
        guard decoder.waitingBytes <= ClusterFrame.frameBytesLimit else { fatalError("the decoder hoards") }
    }
    return frames
}
