// The only file that knows the C parser (http_parser 2.9). It cuts a head into fields and decodes bodies; what may
// reach it is decided by the guards. To use another parser, keep this type's few members and replace the rest.
internal import CHTTPParser

/// Where one header field lies in its head, as byte offsets.
struct HTTPField: Sendable, Equatable {
    var nameStart: UInt16
    var nameEnd: UInt16
    var valueStart: UInt16
    var valueEnd: UInt16
}

/// Safe to use: the pointers inside are set only while `execute` runs, and point to memory that outlives that call.
@safe struct HTTPLexer {
    /// What the callbacks gather.
    @safe struct Gathered {
        var fields: [HTTPField] = []
        var body: [UInt8] = []
        var headEnded = false
        var messageEnded = false
        var keepAlive = false
        fileprivate var lastWasValue = true
        /// The bytes being parsed; set only while the C parser runs.
        fileprivate var base: UnsafePointer<CChar>?
    }

    enum Outcome: Equatable {
        case fine(consumed: Int)
        case unknownMethod
        case malformed
    }

    private var parser: http_parser
    private(set) var gathered = Gathered()

    init() {
        unsafe parser = http_parser()
        unsafe http_parser_init(&parser, HTTP_REQUEST)
    }

    /// Parses on. The head must come whole in one call, because field offsets count from that call's first byte.
    /// Stops behind the last byte of the message.
    mutating func execute(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        // An empty piece would tell the C parser that the stream has ended.
        guard bytes.count > 0, let start = bytes.baseAddress else { return .fine(consumed: 0) }
        let text = unsafe start.assumingMemoryBound(to: CChar.self)
        unsafe gathered.base = text
        // The pointer to `gathered` lives as long as this closure; the C parser keeps it no longer, see below.
        let consumed = unsafe withUnsafeMutablePointer(to: &gathered) { target in
            unsafe parser.data = UnsafeMutableRawPointer(target)
            return unsafe http_parser_execute(&parser, &settings, text, bytes.count)
        }
        unsafe parser.data = nil
        unsafe gathered.base = nil
        switch unsafe http_errno(UInt32(parser.http_errno)) {
        case HPE_OK, HPE_PAUSED: return .fine(consumed: consumed)
        case HPE_INVALID_METHOD: return .unknownMethod
        default: return .malformed
        }
    }
}

/// Filled once before first use and only read afterwards, so every thread may share it.
private nonisolated(unsafe) var settings: http_parser_settings = {
    var made = http_parser_settings()
    unsafe http_parser_settings_init(&made)
    unsafe made.on_header_field = { parser, at, length in
        unsafe withGathered(parser) { gathered in
            guard !gathered.headEnded, let at = unsafe at, let base = unsafe gathered.base else { return 0 }
            let start = UInt16(truncatingIfNeeded: unsafe at - base)
            let end = start &+ UInt16(truncatingIfNeeded: length)
            if gathered.lastWasValue {
                gathered.fields.append(HTTPField(nameStart: start, nameEnd: end, valueStart: end, valueEnd: end))
                gathered.lastWasValue = false
            } else {
                gathered.fields[gathered.fields.count - 1].nameEnd = end
            }
            return 0
        }
    }
    unsafe made.on_header_value = { parser, at, length in
        unsafe withGathered(parser) { gathered in
            guard !gathered.headEnded, let at = unsafe at, let base = unsafe gathered.base else { return 0 }
            let start = UInt16(truncatingIfNeeded: unsafe at - base)
            let last = gathered.fields.count - 1
            guard last >= 0 else { return 1 }
            if !gathered.lastWasValue { gathered.fields[last].valueStart = start }
            gathered.fields[last].valueEnd = start &+ UInt16(truncatingIfNeeded: length)
            gathered.lastWasValue = true
            return 0
        }
    }
    unsafe made.on_headers_complete = { parser in
        unsafe withGathered(parser) { gathered in
            gathered.headEnded = true
            return 0
        }
    }
    unsafe made.on_body = { parser, at, length in
        unsafe withGathered(parser) { gathered in
            unsafe gathered.body.append(contentsOf: UnsafeRawBufferPointer(start: at, count: length))
            return 0
        }
    }
    unsafe made.on_message_complete = { parser in
        let keepAlive = unsafe http_should_keep_alive(parser) != 0
        unsafe http_parser_pause(parser, 1)
        return unsafe withGathered(parser) { gathered in
            gathered.keepAlive = keepAlive
            gathered.messageEnded = true
            return 0
        }
    }
    return made
}()

/// The C parser calls back only inside `execute`, on its thread, while `data` points to that call's `gathered`.
private func withGathered(
    _ parser: UnsafeMutablePointer<http_parser>?, _ body: (inout HTTPLexer.Gathered) -> Int32
) -> Int32 {
    guard let data = unsafe parser?.pointee.data else { return 1 }
    return unsafe body(&data.assumingMemoryBound(to: HTTPLexer.Gathered.self).pointee)
}
