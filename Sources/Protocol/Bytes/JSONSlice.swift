/// Where a validated JSON value lies in its text, and what kind it is. Its methods interpret it; all take the text
/// that it was found in, and answer `nil` where the value is of another kind.
public struct JSONSlice: Sendable, Equatable {
    /// The kinds of value.
    public enum Kind: UInt8, Sendable {
        /// Text without escapes.
        case string
        /// Text with at least one escape.
        case escapedString
        /// A number without fraction and exponent.
        case integer
        /// A number with a fraction or an exponent.
        case real
        /// `{…}`
        case object
        /// `[…]`
        case array
        /// `true`
        case `true`
        /// `false`
        case `false`
        /// `null`
        case null
    }

    private let from: UInt32
    private let to: UInt32
    /// What the value is.
    public let kind: Kind

    init(_ kind: Kind, from: Int, to: Int) {
        self.kind = kind
        self.from = UInt32(truncatingIfNeeded: from)
        self.to = UInt32(truncatingIfNeeded: to)
    }

    /// The bytes of the value, without whitespace around it.
    public var range: Range<Int> { Int(from)..<Int(to) }
    /// Whether the value is a string.
    public var isString: Bool { kind == .string || kind == .escapedString }

    /// The bytes between the quotes of a string, escapes as written.
    var content: Range<Int> { Int(from) + 1..<Int(to) - 1 }

    /// The integer, exact; `nil` also for `1.0`, `1e0` and what 64 bits cannot hold.
    public func integer(_ bytes: Span<UInt8>) -> Int64? {
        guard kind == .integer else { return nil }
        var place = Int(from)
        let negative = bytes[place] == UInt8(ascii: "-")
        if negative { place += 1 }
        var value: Int64 = 0
        while place < Int(to) {
            let digit = Int64(bytes[place] &- UInt8(ascii: "0"))
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
            let (next, carry) =
                negative ? shifted.subtractingReportingOverflow(digit) : shifted.addingReportingOverflow(digit)
            guard !overflow, !carry else { return nil }
            value = next
            place += 1
        }
        return value
    }

    /// The string, escapes resolved.
    public func string(_ bytes: Span<UInt8>) -> String? {
        switch kind {
        case .string: UTF8Scan.string(bytes, content)
        case .escapedString: String(decoding: unescaped(bytes), as: UTF8.self)
        case .integer, .real, .object, .array, .true, .false, .null: nil
        }
    }

    /// The string if it has this many bytes of UTF-8; longer ones are refused before anything of that size is made.
    public func string(_ bytes: Span<UInt8>, byteCount: ClosedRange<Int>) -> String? {
        guard isString else { return nil }
        if kind == .string {
            guard byteCount.contains(content.count) else { return nil }
            return UTF8Scan.string(bytes, content)
        }
        // An escape is at most six bytes of text for one of content.
        guard content.count <= byteCount.upperBound * 6 else { return nil }
        let resolved = unescaped(bytes)
        return byteCount.contains(resolved.count) ? String(decoding: resolved, as: UTF8.self) : nil
    }

    /// The identifier, in the one accepted form.
    public func uuid(_ bytes: Span<UInt8>) -> UUIDv7? {
        if kind == .string {
            return content.count == UUIDv7.textLength ? UUIDv7(text: bytes, at: content.lowerBound) : nil
        }
        return string(bytes, byteCount: UUIDv7.textLength...UUIDv7.textLength).flatMap { UUIDv7($0) }
    }

    /// The text of the value with its line breaks and tabs replaced by spaces; as they can only be insignificant
    /// whitespace, the value is the same, and it fits into a line of Server-Sent Events.
    public func rawText(_ bytes: Span<UInt8>) -> [UInt8] {
        let range = range
        return [UInt8](capacity: range.count) { output in
            for place in range { output.append(max(bytes[place], 0x20)) }
        }
    }

    /// The bytes of an escaped string, escapes resolved. The text is known to be valid.
    func unescaped(_ bytes: Span<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(content.count)
        var place = content.lowerBound
        let end = content.upperBound
        while place < end {
            let byte = bytes[place]
            guard byte == UInt8(ascii: "\\") else {
                output.append(byte)
                place += 1
                continue
            }
            let mark = bytes[place + 1]
            place += 2
            switch mark {
            case UInt8(ascii: "b"): output.append(0x08)
            case UInt8(ascii: "f"): output.append(0x0C)
            case UInt8(ascii: "n"): output.append(0x0A)
            case UInt8(ascii: "r"): output.append(0x0D)
            case UInt8(ascii: "t"): output.append(0x09)
            case UInt8(ascii: "u"): appendScalar(bytes, at: &place, to: &output)
            default: output.append(mark)
            }
        }
        return output
    }

    /// Appends the scalar whose first four hexadecimal digits begin at `place`, and moves behind it.
    private func appendScalar(_ bytes: Span<UInt8>, at place: inout Int, to output: inout [UInt8]) {
        guard var value = try? JSONCursor.hexUnit(bytes, at: place) else { return }
        place += 4
        if value & 0xFC00 == 0xD800, let low = try? JSONCursor.hexUnit(bytes, at: place + 2) {
            value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
            place += 6
        }
        guard let scalar = Unicode.Scalar(value) else { return }
        output.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
    }
}
