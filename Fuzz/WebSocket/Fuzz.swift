// Fuzzes the WebSocket frame parser, with and without compression: frames cut at points that the input chooses must
// say the same as in one piece, stay within the limits, and end for good at the first violation or close.

import CFuzzer
import Glibc
import Web

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

/// The fuzzer calls from one thread only.
private nonisolated(unsafe) let inflater = MessageInflater()

private func parse(_ bytes: ArraySlice<UInt8>, cut: Int, compression: Bool) -> [String] {
    var parser = WebSocketFrameParser(messageBytesLimit: 300, allowsCompression: compression)
    var said: [String] = []
    var ended = false
    var rest = bytes
    while !rest.isEmpty {
        var piece = Array(rest.prefix(cut))
        rest = rest.dropFirst(piece.count)
        unsafe piece.withUnsafeMutableBytes { buffer in
            var offset = 0
            func read(_ payload: WebSocketPayload, _ limit: Int) -> [UInt8] {
                precondition(payload.count <= limit)
                return unsafe payload.withBytes(in: buffer) { unsafe Array($0) }
            }
            while true {
                let event = unsafe parser.next(in: buffer, at: &offset, inflater: inflater)
                precondition(offset <= buffer.count)
                if case .needMore = event { break }
                precondition(!ended, "an event behind the end")
                switch event {
                case .needMore: break
                case .text(let payload):
                    let bytes = read(payload, 300)
                    precondition(String(validating: bytes, as: UTF8.self) != nil)
                    said.append("text \(bytes)")
                case .binary(let payload): said.append("binary \(read(payload, 300))")
                case .ping(let payload): said.append("ping \(read(payload, 125))")
                case .pong(let payload): said.append("pong \(read(payload, 125))")
                case .close(let code, let reason):
                    said.append("close \(code ?? 0) \(read(reason, 123))")
                    ended = true
                case .violation(let code, _):
                    said.append("violation \(code)")
                    ended = true
                }
            }
            precondition(offset == buffer.count)
        }
    }
    return said
}

/// One input: its first byte chooses compression and the size of the pieces, the rest is the stream.
private func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    guard let first = input.first else { return 0 }
    let stream = input.dropFirst()
    let compression = first & 1 == 1
    let whole = parse(stream, cut: max(1, stream.count), compression: compression)
    precondition(parse(stream, cut: 1, compression: compression) == whole)
    precondition(parse(stream, cut: Int(first >> 1) + 1, compression: compression) == whole)
    return 0
}
