// Fuzzes the HTTP parser: a stream cut at points that the input chooses must lead to the same requests and the same
// refusal as the stream in one piece, and the parser must never take more than it was given.

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

private func parse(_ bytes: ArraySlice<UInt8>, cut: Int) -> [String] {
    var parser = HTTPRequestParser(
        limits: HTTPLimits(headBytes: 2048, bodyBytes: 1024, headerFields: 20, targetBytes: 256))
    var said: [String] = []
    var rest = bytes
    while !rest.isEmpty {
        let piece = Array(rest.prefix(cut))
        let (consumed, outcome) = unsafe piece.withUnsafeBytes { unsafe parser.feed($0) }
        precondition(consumed >= 0 && consumed <= piece.count)
        rest = rest.dropFirst(consumed)
        switch outcome {
        case .needMore: precondition(consumed == piece.count)
        case .wantsContinue: precondition(consumed == piece.count)
        case .request(let request):
            precondition(consumed > 0)
            precondition(request.body.count <= 1024 && request.target.utf8.count <= 256 && request.headerCount <= 20)
            said.append("\(request.method) \(request.target) \(request.path) \(request.keepAlive) \(request.body)")
            if request.isWebSocketUpgrade { return said + ["rest \(rest.count)"] }
        case .failed(let failure):
            precondition((400...505).contains(failure.status))
            // Which of several faults is met first depends on where the stream is cut; that it is refused does not.
            return said + ["failed"]
        }
    }
    return said + ["open \(parser.isIdle)"]
}

/// One input: its first byte chooses the size of the pieces, the rest is the stream.
private func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    guard let first = input.first else { return 0 }
    let stream = input.dropFirst()
    let whole = parse(stream, cut: max(1, stream.count))
    precondition(parse(stream, cut: 1) == whole)
    precondition(parse(stream, cut: Int(first) + 1) == whole)
    return 0
}
