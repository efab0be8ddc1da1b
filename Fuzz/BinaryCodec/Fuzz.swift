// Feeds bytes to the binary encoding in both directions. What decodes must come through encoding unchanged, and
// through JSON too; everything else must be refused without falling over.

import CFuzzer
import Glibc
import Protocol

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

/// What libFuzzer calls with each input.
private func fuzzOne(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Safe: libFuzzer lends `count` readable bytes for the duration of the call, and they are copied at once.
    let input = unsafe [UInt8](UnsafeBufferPointer(start: start, count: count))
    if let message = try? BinaryClientCodec.decode(input.span) {
        var encoded: [UInt8] = []
        BinaryClientCodec.encode(message, into: &encoded)
        guard let again = try? BinaryClientCodec.decode(encoded.span), again == message else {
            fatalError("a client message changed: \(message) became \(encoded)")
        }
        var json: [UInt8] = []
        JSONClientCodec.encode(message, into: &json)
        guard let other = try? JSONClientCodec.decode(json.span), other == message else {
            fatalError("JSON says something else: \(message) became \(String(decoding: json, as: UTF8.self))")
        }
    }
    if let message = try? BinaryClientCodec.decodeServer(input.span) {
        var encoded: [UInt8] = []
        BinaryClientCodec.encode(message, into: &encoded)
        guard let again = try? BinaryClientCodec.decodeServer(encoded.span), again == message else {
            fatalError("a server message changed: \(message) became \(encoded)")
        }
        var json: [UInt8] = []
        JSONClientCodec.encode(message, into: &json)
        guard let other = try? JSONClientCodec.decodeServer(json.span), other == message else {
            fatalError("JSON says something else: \(message) became \(String(decoding: json, as: UTF8.self))")
        }
    }
    return 0
}
