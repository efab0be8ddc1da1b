/// Validation of UTF-8 (RFC 3629) in borrowed bytes: no overlong forms, no surrogates, nothing above U+10FFFF.
enum UTF8Scan {
    /// The offset behind the multi-byte sequence that begins at `start`; `nil` where it is not well formed.
    static func sequenceEnd(_ bytes: Span<UInt8>, at start: Int) -> Int? {
        let lead = bytes[start]
        let length: Int
        var low: UInt8 = 0x80
        var high: UInt8 = 0xBF
        switch lead {
        case 0xC2...0xDF: length = 2
        case 0xE0...0xEF:
            length = 3
            if lead == 0xE0 { low = 0xA0 }
            if lead == 0xED { high = 0x9F }
        case 0xF0...0xF4:
            length = 4
            if lead == 0xF0 { low = 0x90 }
            if lead == 0xF4 { high = 0x8F }
        default: return nil
        }
        guard start + length <= bytes.count else { return nil }
        guard bytes[start + 1] >= low, bytes[start + 1] <= high else { return nil }
        for place in (start + 2)..<max(start + 2, start + length) where bytes[place] & 0xC0 != 0x80 { return nil }
        return start + length
    }

    /// The text at a range of the bytes; `nil` where it is not UTF-8.
    static func string(_ bytes: Span<UInt8>, _ range: Range<Int>) -> String? {
        guard let text = try? UTF8Span(validating: bytes.extracting(range)) else { return nil }
        return String(copying: text)
    }
}
