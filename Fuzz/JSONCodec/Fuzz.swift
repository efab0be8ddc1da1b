// Feeds bytes to the JSON encoding in both directions and to the decoders of HTTP bodies. What decodes must come
// through encoding unchanged; everything else must be refused without falling over.

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
    if let message = try? JSONClientCodec.decode(input.span) {
        var encoded: [UInt8] = []
        JSONClientCodec.encode(message, into: &encoded)
        guard let again = try? JSONClientCodec.decode(encoded.span), again == message else {
            fatalError("a client message changed: \(message) became \(String(decoding: encoded, as: UTF8.self))")
        }
    }
    if let message = try? JSONClientCodec.decodeServer(input.span) {
        var encoded: [UInt8] = []
        JSONClientCodec.encode(message, into: &encoded)
        guard let again = try? JSONClientCodec.decodeServer(encoded.span), again == message else {
            fatalError("a server message changed: \(message) became \(String(decoding: encoded, as: UTF8.self))")
        }
    }
    if let value = try? JSONCursor.document(input.span) {
        let text = value.rawText(input.span)
        guard let again = try? JSONCursor.document(text.span), again.kind == value.kind, !text.contains(0x0A) else {
            fatalError("raw text changed its value: \(String(decoding: text, as: UTF8.self))")
        }
    }
    _ = try? CampaignDraft(body: input.span)
    _ = try? CampaignPatch(body: input.span)
    _ = try? PollDraft(body: input.span)
    _ = try? VotesDraft(body: input.span)
    _ = try? SignalDraft(body: input.span)
    return 0
}
