// A strict reader of JSON text (RFC 8259) over borrowed bytes. It builds no tree: it validates a value and says where
// it lies, and the caller interprets the few places that it needs. The bytes are an argument of each call, so that a
// cursor is a plain value of one word. What it refuses beyond the grammar: text that is not UTF-8, lone surrogates,
// nesting above `Limits.jsonDepthLimit`, and anything after the one value of a document.

/// Why bytes are not acceptable JSON, and at which byte.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kinds of fault.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// The text stops in the middle of a value.
        case unexpectedEnd
        /// A byte that the grammar does not allow there.
        case unexpectedByte
        /// An escape sequence that does not exist.
        case badEscape
        /// Half of a surrogate pair.
        case loneSurrogate
        /// A byte sequence that is not UTF-8.
        case badUTF8
        /// A control character inside a string that is not escaped.
        case controlCharacter
        /// Digits that do not form a number (a leading zero, a missing digit).
        case badNumber
        /// More nesting than `Limits.jsonDepthLimit`.
        case tooDeep
        /// An object that is to be interpreted has more than `Limits.jsonFieldsLimit` fields.
        case tooManyFields
        /// Something after the document's one value.
        case trailingText
        /// More bytes than an offset of 32 bits can name.
        case tooLong
    }

    /// What is wrong.
    public var reason: Reason
    /// Offset of the byte at fault, from the beginning of the text.
    public var offset: Int

    /// A sentence's worth for people, as in `unexpected byte at 17`.
    public var description: String {
        let what =
            switch reason {
            case .unexpectedEnd: "unexpected end"
            case .unexpectedByte: "unexpected byte"
            case .badEscape: "unknown escape"
            case .loneSurrogate: "lone surrogate"
            case .badUTF8: "invalid UTF-8"
            case .controlCharacter: "unescaped control character"
            case .badNumber: "malformed number"
            case .tooDeep: "too many nested levels"
            case .tooManyFields: "too many fields in one object"
            case .trailingText: "text after the value"
            case .tooLong: "text too long"
            }
        return "\(what) at byte \(offset)"
    }
}

/// A place in JSON text, with the operations that move it forward. Every operation takes the whole text, the same at
/// each call. After an error the cursor stands at no useful place.
public struct JSONCursor: Sendable {
    /// The next byte to read.
    public private(set) var offset: Int

    /// Stands at a byte of the text.
    public init(at offset: Int = 0) { self.offset = offset }

    /// Validates a whole document: one value with optional whitespace around it.
    public static func document(_ bytes: Span<UInt8>) throws(JSONError) -> JSONSlice {
        guard bytes.count < Int(UInt32.max) else { throw JSONError(reason: .tooLong, offset: 0) }
        var cursor = JSONCursor()
        let value = try cursor.value(bytes, depth: 0)
        try cursor.finish(bytes)
        return value
    }

    /// Skips whitespace and validates one value; the cursor then stands behind it.
    ///
    /// - Parameter depth: how many arrays and objects are open around the value.
    public mutating func value(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) -> JSONSlice {
        skipSpace(bytes)
        let start = offset
        guard start < bytes.count else { throw JSONError(reason: .unexpectedEnd, offset: start) }
        switch bytes[start] {
        case UInt8(ascii: "\""):
            return try string(bytes)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            return try number(bytes)
        case UInt8(ascii: "{"):
            try skipObject(bytes, depth: depth)
            return JSONSlice(.object, from: start, to: offset)
        case UInt8(ascii: "["):
            try skipArray(bytes, depth: depth)
            return JSONSlice(.array, from: start, to: offset)
        case UInt8(ascii: "t"):
            try literal(bytes, "rue")
            return JSONSlice(.true, from: start, to: offset)
        case UInt8(ascii: "f"):
            try literal(bytes, "alse")
            return JSONSlice(.false, from: start, to: offset)
        case UInt8(ascii: "n"):
            try literal(bytes, "ull")
            return JSONSlice(.null, from: start, to: offset)
        default:
            throw JSONError(reason: .unexpectedByte, offset: start)
        }
    }

    /// Skips whitespace and demands the end of the text.
    public mutating func finish(_ bytes: Span<UInt8>) throws(JSONError) {
        skipSpace(bytes)
        guard offset >= bytes.count else { throw JSONError(reason: .trailingText, offset: offset) }
    }

    /// Skips whitespace and returns the next byte without consuming it.
    @inline(__always)
    mutating func peek(_ bytes: Span<UInt8>) throws(JSONError) -> UInt8 {
        skipSpace(bytes)
        guard offset < bytes.count else { throw JSONError(reason: .unexpectedEnd, offset: offset) }
        return bytes[offset]
    }

    /// Skips whitespace and consumes exactly this byte.
    @inline(__always)
    mutating func expect(_ byte: UInt8, _ bytes: Span<UInt8>) throws(JSONError) {
        guard try peek(bytes) == byte else { throw JSONError(reason: .unexpectedByte, offset: offset) }
        offset += 1
    }

    /// Consumes the byte that the cursor stands at.
    mutating func step() { offset += 1 }

    @inline(__always)
    mutating func skipSpace(_ bytes: Span<UInt8>) {
        while offset < bytes.count {
            let byte = bytes[offset]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
            offset += 1
        }
    }

    /// Consumes the cursor's byte and these after it.
    private mutating func literal(_ bytes: Span<UInt8>, _ rest: String) throws(JSONError) {
        offset += 1
        for expected in rest.utf8 {
            guard offset < bytes.count else { throw JSONError(reason: .unexpectedEnd, offset: offset) }
            guard bytes[offset] == expected else { throw JSONError(reason: .unexpectedByte, offset: offset) }
            offset += 1
        }
    }

    private mutating func skipObject(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) {
        guard depth < Limits.jsonDepthLimit else { throw JSONError(reason: .tooDeep, offset: offset) }
        offset += 1
        if try peek(bytes) == UInt8(ascii: "}") {
            offset += 1
            return
        }
        while true {
            guard try peek(bytes) == UInt8(ascii: "\"") else {
                throw JSONError(reason: .unexpectedByte, offset: offset)
            }
            _ = try string(bytes)
            try expect(UInt8(ascii: ":"), bytes)
            _ = try value(bytes, depth: depth + 1)
            if try listEnds(with: UInt8(ascii: "}"), bytes) { return }
        }
    }

    private mutating func skipArray(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) {
        guard depth < Limits.jsonDepthLimit else { throw JSONError(reason: .tooDeep, offset: offset) }
        offset += 1
        if try peek(bytes) == UInt8(ascii: "]") {
            offset += 1
            return
        }
        while true {
            _ = try value(bytes, depth: depth + 1)
            if try listEnds(with: UInt8(ascii: "]"), bytes) { return }
        }
    }

    /// Consumes a comma (`false`: another element follows) or the closing byte (`true`).
    @inline(__always)
    mutating func listEnds(with closing: UInt8, _ bytes: Span<UInt8>) throws(JSONError) -> Bool {
        let byte = try peek(bytes)
        guard byte == UInt8(ascii: ",") || byte == closing else {
            throw JSONError(reason: .unexpectedByte, offset: offset)
        }
        offset += 1
        return byte == closing
    }
}

extension JSONCursor {
    /// Validates a number and notes whether it is written as an integer.
    private mutating func number(_ bytes: Span<UInt8>) throws(JSONError) -> JSONSlice {
        let start = offset
        var integral = true
        if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
        let first = offset
        try digits(bytes)
        if bytes[first] == UInt8(ascii: "0") && offset > first + 1 {
            throw JSONError(reason: .badNumber, offset: first)
        }
        if offset < bytes.count, bytes[offset] == UInt8(ascii: ".") {
            integral = false
            offset += 1
            try digits(bytes)
        }
        if offset < bytes.count, bytes[offset] | 0x20 == UInt8(ascii: "e") {
            integral = false
            offset += 1
            if offset < bytes.count, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") {
                offset += 1
            }
            try digits(bytes)
        }
        return JSONSlice(integral ? .integer : .real, from: start, to: offset)
    }

    /// One or more digits.
    private mutating func digits(_ bytes: Span<UInt8>) throws(JSONError) {
        let start = offset
        while offset < bytes.count, bytes[offset] &- UInt8(ascii: "0") < 10 { offset += 1 }
        guard offset > start else {
            throw JSONError(reason: offset < bytes.count ? .badNumber : .unexpectedEnd, offset: offset)
        }
    }

    /// Validates the string whose opening quote the cursor stands at.
    mutating func string(_ bytes: Span<UInt8>) throws(JSONError) -> JSONSlice {
        let start = offset
        var place = start + 1
        var escaped = false
        while place < bytes.count {
            place = Self.plainEnd(bytes, from: place)
            guard place < bytes.count else { break }
            let byte = bytes[place]
            if byte == UInt8(ascii: "\"") {
                offset = place + 1
                return JSONSlice(escaped ? .escapedString : .string, from: start, to: offset)
            }
            if byte == UInt8(ascii: "\\") {
                place = try Self.escapeEnd(bytes, at: place)
                escaped = true
            } else if byte < 0x20 {
                throw JSONError(reason: .controlCharacter, offset: place)
            } else if byte < 0x80 {
                place += 1
            } else {
                guard let end = UTF8Scan.sequenceEnd(bytes, at: place) else {
                    throw JSONError(reason: .badUTF8, offset: place)
                }
                place = end
            }
        }
        throw JSONError(reason: .unexpectedEnd, offset: place)
    }

    /// Skips plain characters eight at a time: the offset of the first byte that is a quote, a backslash, a control
    /// character or not ASCII, or an offset before it from which fewer than eight bytes are left.
    ///
    /// Subtracting lets such a byte, and only such a byte or one above it, borrow into its highest bit (the test for a
    /// zero byte of Henry S. Warren, "Hacker's Delight").
    @inline(__always)
    private static func plainEnd(_ bytes: Span<UInt8>, from start: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        var place = start
        while place + 8 <= bytes.count {
            let word = bytes.word(at: place)
            let quotes = (word ^ (ones &* 0x22)) &- ones
            let backslashes = (word ^ (ones &* 0x5C)) &- ones
            let marks = (word | quotes | backslashes | (word &- (ones &* 0x20))) & (ones &* 0x80)
            if marks != 0 { return place + marks.trailingZeroBitCount / 8 }
            place += 8
        }
        return place
    }

    /// The offset behind the escape that begins at `start`, both halves of a surrogate pair included.
    private static func escapeEnd(_ bytes: Span<UInt8>, at start: Int) throws(JSONError) -> Int {
        guard start + 1 < bytes.count else { throw JSONError(reason: .unexpectedEnd, offset: start + 1) }
        switch bytes[start + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return start + 2
        case UInt8(ascii: "u"):
            let unit = try hexUnit(bytes, at: start + 2)
            guard unit & 0xF800 == 0xD800 else { return start + 6 }
            guard unit < 0xDC00, start + 7 < bytes.count, bytes[start + 6] == UInt8(ascii: "\\"),
                bytes[start + 7] == UInt8(ascii: "u")
            else { throw JSONError(reason: .loneSurrogate, offset: start) }
            guard try hexUnit(bytes, at: start + 8) & 0xFC00 == 0xDC00 else {
                throw JSONError(reason: .loneSurrogate, offset: start)
            }
            return start + 12
        default:
            throw JSONError(reason: .badEscape, offset: start + 1)
        }
    }

    /// The UTF-16 unit of four hexadecimal digits.
    static func hexUnit(_ bytes: Span<UInt8>, at start: Int) throws(JSONError) -> UInt32 {
        var unit: UInt32 = 0
        for place in start..<(start + 4) {
            guard place < bytes.count else { throw JSONError(reason: .unexpectedEnd, offset: place) }
            guard let digit = hexDigitValue(bytes[place]) else {
                throw JSONError(reason: .badEscape, offset: place)
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    private static func hexDigitValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
