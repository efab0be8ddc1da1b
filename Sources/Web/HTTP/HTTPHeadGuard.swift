// The strict gatekeeper of a request head. It sees every byte before the C parser does, and refuses whatever that
// parser would let through although two servers could read it differently: bare LF, folded lines, spaces before the
// colon, control bytes, a missing or foreign version. It also enforces the limits, so a hostile head costs no more
// than its bound. It only recognises; the names and values are cut out by the lexer behind it.

struct HTTPHeadGuard {
    private enum State: UInt8 {
        case start, startLF, method, target, version, requestLF
        case lineStart, name, value, valueLF, endLF
    }

    enum Progress {
        /// All bytes were taken and the head goes on.
        case more
        /// The head ended; the count tells how many of the bytes given belong to it.
        case ended(Int)
        case refused(HTTPFailure)
    }

    private var state = State.start
    private var skippedEmptyLine = false
    private var methodBytes: UInt8 = 0
    private var versionBytes: UInt8 = 0
    private var fields: UInt16 = 0
    private var targetBytes: UInt16 = 0
    private var headBytes: UInt32 = 0
    private var versionText: UInt64 = 0

    /// Where nothing but perhaps one empty line has been seen: a connection that closes now loses no request.
    var isAtStart: Bool { state == .start }

    mutating func scan(_ bytes: Span<UInt8>, limits: HTTPLimits) -> Progress {
        var index = 0
        while index < bytes.count {
            if headBytes >= limits.headBytes {
                return .refused(
                    state == .target
                        ? HTTPFailure(414, "too_large", "The request target is too long.")
                        : HTTPFailure(431, "too_large", "The request head is too large."))
            }
            let byte = bytes[index]
            index += 1
            headBytes += 1
            if state == .value, byte != HTTPByte.cr {
                guard HTTPByte.isValue(byte) else { return .refused(.bad("A header value holds a control byte.")) }
                continue
            }
            if state == .endLF {
                return byte == HTTPByte.lf ? .ended(index) : .refused(.bad("The head ends in a bare CR."))
            }
            if let failure = step(byte, limits) { return .refused(failure) }
        }
        return .more
    }

    private mutating func step(_ byte: UInt8, _ limits: HTTPLimits) -> HTTPFailure? {
        switch state {
        case .start, .startLF, .method, .target, .version, .requestLF: stepRequestLine(byte, limits)
        case .lineStart, .name, .value, .valueLF, .endLF: stepField(byte, limits)
        }
    }

    private mutating func stepRequestLine(_ byte: UInt8, _ limits: HTTPLimits) -> HTTPFailure? {
        switch state {
        case .start:
            if byte == HTTPByte.cr, !skippedEmptyLine {
                skippedEmptyLine = true
                state = .startLF
                return nil
            }
            guard HTTPByte.isToken(byte) else { return .bad("The request does not begin with a method.") }
            methodBytes = 1
            state = .method
        case .startLF:
            guard byte == HTTPByte.lf else { return .bad("An empty line ends in a bare CR.") }
            state = .start
        case .method:
            if byte == HTTPByte.space {
                state = .target
                return nil
            }
            guard HTTPByte.isToken(byte), methodBytes < 32 else { return .bad("The method is malformed.") }
            methodBytes += 1
        case .target:
            if byte == HTTPByte.space {
                guard targetBytes > 0 else { return .bad("The request target is empty.") }
                state = .version
                return nil
            }
            guard byte > 0x20, byte < 0x7F else {
                return .bad("The request target holds a byte that is not ASCII text.")
            }
            guard targetBytes < limits.targetBytes else {
                return HTTPFailure(414, "too_large", "The request target is too long.")
            }
            targetBytes += 1
        case .version:
            if byte == HTTPByte.cr {
                if let failure = checkVersion() { return failure }
                state = .requestLF
                return nil
            }
            guard versionBytes < 8 else { return .bad("The HTTP version is malformed.") }
            versionText = versionText << 8 | UInt64(byte)
            versionBytes += 1
        case .requestLF:
            guard byte == HTTPByte.lf else { return .bad("The request line ends in a bare CR.") }
            state = .lineStart
        case .lineStart, .name, .value, .valueLF, .endLF:
            preconditionFailure("a field state in the request line: \(state)")
        }
        return nil
    }

    private mutating func stepField(_ byte: UInt8, _ limits: HTTPLimits) -> HTTPFailure? {
        switch state {
        case .lineStart:
            if byte == HTTPByte.cr {
                state = .endLF
                return nil
            }
            guard HTTPByte.isToken(byte) else { return .bad("A header name is malformed, or a line is folded.") }
            guard fields < limits.headerFields else {
                return HTTPFailure(431, "too_large", "The request has too many header fields.")
            }
            fields += 1
            state = .name
        case .name:
            if byte == HTTPByte.colon {
                state = .value
                return nil
            }
            guard HTTPByte.isToken(byte) else { return .bad("A header name is malformed.") }
        case .value:
            state = .valueLF
        case .valueLF:
            guard byte == HTTPByte.lf else { return .bad("A header value holds a bare CR.") }
            state = .lineStart
        case .endLF, .start, .startLF, .method, .target, .version, .requestLF:
            preconditionFailure("a request line state among the fields: \(state)")
        }
        return nil
    }

    private func checkVersion() -> HTTPFailure? {
        let oneOne: UInt64 = 0x4854_5450_2F31_2E31
        let oneZero: UInt64 = 0x4854_5450_2F31_2E30
        if versionBytes == 8, versionText == oneOne || versionText == oneZero { return nil }
        let digits = [UInt8(truncatingIfNeeded: versionText >> 16), UInt8(truncatingIfNeeded: versionText)]
        let shape = versionText & 0xFFFF_FFFF_FF00_FF00 == oneZero & 0xFFFF_FFFF_FF00_FF00
        guard versionBytes == 8, shape, digits.allSatisfy(HTTPByte.isDigit) else {
            return .bad("The HTTP version is missing or malformed.")
        }
        return HTTPFailure(505, "bad_request", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    }
}
