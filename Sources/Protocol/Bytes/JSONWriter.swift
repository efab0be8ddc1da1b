/// Appends JSON text to a buffer. Nothing here validates structure: the caller writes braces, commas and names.
public enum JSONWriter {
    /// Appends text as it is, for punctuation and names that need no escape.
    @inline(__always)
    public static func raw(_ text: StaticString, to output: inout [UInt8]) {
        // Safe: the buffer of a static string lives for ever and is only read here.
        text.withUTF8Buffer { unsafe output.append(contentsOf: $0) }
    }

    /// Appends a string with its quotes; quotes, backslashes and control characters are escaped.
    public static func string(_ text: String, to output: inout [UInt8]) {
        let bytes = text.utf8
        output.append(UInt8(ascii: "\""))
        if bytes.allSatisfy({ $0 >= 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            output.append(contentsOf: bytes)
        } else {
            for byte in bytes { escaped(byte, to: &output) }
        }
        output.append(UInt8(ascii: "\""))
    }

    /// Appends a string or `null`.
    public static func string(_ text: String?, to output: inout [UInt8]) {
        if let text { string(text, to: &output) } else { raw("null", to: &output) }
    }

    /// Appends a decimal integer.
    public static func integer(_ value: UInt64, to output: inout [UInt8]) {
        var digits = 1
        var bound: UInt64 = 10
        while value >= bound, digits < 19 {
            digits += 1
            bound &*= 10
        }
        if digits == 19, value >= bound { digits = 20 }
        let start = output.count
        output.append(addingCapacity: digits) { space in space.append(repeating: 0, count: digits) }
        var rest = value
        var place = start + digits
        while place > start {
            place -= 1
            output[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    /// Appends a decimal integer with its sign.
    public static func integer(_ value: Int64, to output: inout [UInt8]) {
        if value < 0 { output.append(UInt8(ascii: "-")) }
        integer(value.magnitude, to: &output)
    }

    /// Appends a decimal integer with its sign.
    public static func integer(_ value: Int, to output: inout [UInt8]) { integer(Int64(value), to: &output) }

    /// Appends tenths as a number of at most one decimal: 333 as `33.3`, 500 as `50`.
    public static func tenths(_ value: Int, to output: inout [UInt8]) {
        integer(value / 10, to: &output)
        guard value % 10 != 0 else { return }
        output.append(UInt8(ascii: "."))
        output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
    }

    /// Appends `true` or `false`.
    public static func boolean(_ value: Bool, to output: inout [UInt8]) {
        raw(value ? "true" : "false", to: &output)
    }

    /// Appends an identifier with its quotes.
    public static func uuid(_ id: UUIDv7, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        id.appendText(to: &output)
        output.append(UInt8(ascii: "\""))
    }

    /// Appends a moment with its quotes, RFC 3339 in UTC with milliseconds.
    public static func timestamp(_ time: Timestamp, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        time.appendText(to: &output)
        output.append(UInt8(ascii: "\""))
    }

    /// Appends a list, elements by the given function.
    @inline(__always)
    public static func array<Element>(
        _ elements: [Element], to output: inout [UInt8], _ write: (Element, inout [UInt8]) -> Void
    ) {
        output.append(UInt8(ascii: "["))
        var isFirst = true
        for element in elements {
            if !isFirst { output.append(UInt8(ascii: ",")) }
            isFirst = false
            write(element, &output)
        }
        output.append(UInt8(ascii: "]"))
    }

    private static func escaped(_ byte: UInt8, to output: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""): raw("\\\"", to: &output)
        case UInt8(ascii: "\\"): raw("\\\\", to: &output)
        case 0x08: raw("\\b", to: &output)
        case 0x09: raw("\\t", to: &output)
        case 0x0A: raw("\\n", to: &output)
        case 0x0C: raw("\\f", to: &output)
        case 0x0D: raw("\\r", to: &output)
        case 0..<0x20:
            raw("\\u00", to: &output)
            output.append(UInt8(ascii: "0") + (byte >> 4))
            output.append(byte & 0xF < 10 ? UInt8(ascii: "0") + (byte & 0xF) : UInt8(ascii: "a") + (byte & 0xF) - 10)
        default: output.append(byte)
        }
    }
}
