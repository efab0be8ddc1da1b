// The strict gatekeeper of a chunked body: sizes, extensions, line ends and trailers, byte by byte, before the C
// parser decodes them. The packaged C parser is built without its strict checks and skips over bytes between chunks,
// so the framing is decided here, and the two must agree on where the body ends.

struct HTTPChunkGuard {
    private enum State: UInt8 {
        case sizeFirst, size, chunkExtension, sizeLF, data, dataCR, dataLF
        case trailerStart, trailerName, trailerValue, trailerLF, endLF
    }

    enum Progress {
        case more
        /// The body ended; the count tells how many of the bytes given belong to it.
        case ended(Int)
        case refused(HTTPFailure)
    }

    /// Bytes that all chunk extensions of a body may have together.
    private static let extensionBytesLimit = 1024
    /// Hexadecimal digits of one chunk size.
    private static let sizeDigitsLimit = 8

    private var state = State.sizeFirst
    private var digits: UInt8 = 0
    private var fields: UInt16 = 0
    private var remaining: UInt32 = 0
    private var extensionBytes: UInt32 = 0
    private var trailerBytes: UInt32 = 0
    private var bodyBytes = 0

    mutating func scan(_ bytes: Span<UInt8>, limits: HTTPLimits) -> Progress {
        var index = 0
        while index < bytes.count {
            if state == .data {
                let taken = min(Int(remaining), bytes.count - index)
                index += taken
                remaining -= UInt32(taken)
                if remaining == 0 { state = .dataCR }
                continue
            }
            let byte = bytes[index]
            index += 1
            if state == .endLF {
                return byte == HTTPByte.lf ? .ended(index) : .refused(.bad("The body ends in a bare CR."))
            }
            if state.rawValue >= State.trailerStart.rawValue {
                trailerBytes += 1
                if trailerBytes > limits.headBytes {
                    return .refused(HTTPFailure(431, "too_large", "The trailers are too large."))
                }
            }
            if let failure = step(byte, limits) { return .refused(failure) }
        }
        return .more
    }

    private mutating func step(_ byte: UInt8, _ limits: HTTPLimits) -> HTTPFailure? {
        switch state {
        case .sizeFirst, .size, .chunkExtension, .sizeLF, .data, .dataCR, .dataLF: stepChunk(byte, limits)
        case .trailerStart, .trailerName, .trailerValue, .trailerLF, .endLF: stepTrailer(byte, limits)
        }
    }

    private mutating func stepChunk(_ byte: UInt8, _ limits: HTTPLimits) -> HTTPFailure? {
        switch state {
        case .sizeFirst, .size:
            if let value = HTTPByte.hex(byte) {
                guard digits < Self.sizeDigitsLimit else { return .bad("A chunk size is too long.") }
                remaining = remaining << 4 | UInt32(value)
                digits += 1
                state = .size
                return nil
            }
            guard state == .size, byte == HTTPByte.cr || byte == 0x3B else { return .bad("A chunk size is malformed.") }
            guard Int(remaining) <= limits.bodyBytes - bodyBytes else {
                return HTTPFailure(413, "too_large", "The request body is too large.")
            }
            bodyBytes += Int(remaining)
            state = byte == HTTPByte.cr ? .sizeLF : .chunkExtension
        case .chunkExtension:
            if byte == HTTPByte.cr {
                state = .sizeLF
                return nil
            }
            guard HTTPByte.isValue(byte) else { return .bad("A chunk extension holds a control byte.") }
            extensionBytes += 1
            guard extensionBytes <= Self.extensionBytesLimit else { return .bad("The chunk extensions are too large.") }
        case .sizeLF:
            guard byte == HTTPByte.lf else { return .bad("A chunk size ends in a bare CR.") }
            state = remaining == 0 ? .trailerStart : .data
            digits = 0
        case .dataCR:
            guard byte == HTTPByte.cr else { return .bad("A chunk is longer than its size.") }
            state = .dataLF
        case .dataLF:
            guard byte == HTTPByte.lf else { return .bad("A chunk ends in a bare CR.") }
            state = .sizeFirst
        case .data, .trailerStart, .trailerName, .trailerValue, .trailerLF, .endLF:
            preconditionFailure("not a state of a chunk's frame: \(state)")
        }
        return nil
    }

    private mutating func stepTrailer(_ byte: UInt8, _ limits: HTTPLimits) -> HTTPFailure? {
        switch state {
        case .trailerStart:
            if byte == HTTPByte.cr {
                state = .endLF
                return nil
            }
            guard HTTPByte.isToken(byte) else { return .bad("A trailer name is malformed.") }
            guard fields < limits.headerFields else {
                return HTTPFailure(431, "too_large", "The request has too many trailers.")
            }
            fields += 1
            state = .trailerName
        case .trailerName:
            if byte == HTTPByte.colon {
                state = .trailerValue
                return nil
            }
            guard HTTPByte.isToken(byte) else { return .bad("A trailer name is malformed.") }
        case .trailerValue:
            if byte == HTTPByte.cr {
                state = .trailerLF
                return nil
            }
            guard HTTPByte.isValue(byte) else { return .bad("A trailer holds a control byte.") }
        case .trailerLF:
            guard byte == HTTPByte.lf else { return .bad("A trailer ends in a bare CR.") }
            state = .trailerStart
        case .endLF, .sizeFirst, .size, .chunkExtension, .sizeLF, .data, .dataCR, .dataLF:
            preconditionFailure("not a state of the trailers: \(state)")
        }
        return nil
    }
}
