// One level of a JSON object, found by name without building a tree and, for up to `Limits.jsonFieldsLimit` fields,
// without allocating.

/// The name of a field, at most 16 bytes of ASCII, packed so that finding it is a comparison of integers.
public struct JSONName: ExpressibleByStringLiteral, Sendable, Equatable {
    let low: UInt64
    let high: UInt64
    let count: UInt32
    /// The name as written.
    public let text: String

    /// - Precondition: 1 to 16 bytes.
    public init(stringLiteral text: String) {
        precondition((1...16).contains(text.utf8.count), "a field's name has 1 to 16 bytes: \(text)")
        var words: (low: UInt64, high: UInt64) = (0, 0)
        for (index, byte) in text.utf8.enumerated() {
            if index < 8 {
                words.low |= UInt64(byte) << UInt64(8 * index)
            } else {
                words.high |= UInt64(byte) << UInt64(8 * (index - 8))
            }
        }
        (low, high) = words
        count = UInt32(text.utf8.count)
        self.text = text
    }
}

/// The fields of one object of JSON text: where each value lies. The whole text of the object is validated when it is
/// scanned; nested values are interpreted when they are asked for.
public struct JSONObject: Sendable {
    private struct Field {
        var low: UInt64 = 0
        var nameStart: UInt32 = 0
        var nameCount: UInt32 = 0
        var nameEscaped = false
        var value = JSONSlice(.null, from: 0, to: 0)
    }

    private var fields = InlineArray<32, Field>(repeating: Field())
    private var count = 0
    /// The first field whose name had stood before in the same object; such an object is not to be trusted.
    public private(set) var duplicate: String?

    private init() {}

    /// Scans the object that a slice of validated text holds; `nil` where the slice is no object.
    public init?(_ slice: JSONSlice, _ bytes: Span<UInt8>) throws(JSONError) {
        guard slice.kind == .object else { return nil }
        var cursor = JSONCursor(at: slice.range.lowerBound)
        try self.init(&cursor, bytes)
    }

    /// Scans a document that must be one object; `nil` where it is valid JSON of another kind.
    public static func document(_ bytes: Span<UInt8>) throws(JSONError) -> JSONObject? {
        guard bytes.count < Int(UInt32.max) else { throw JSONError(reason: .tooLong, offset: 0) }
        var cursor = JSONCursor()
        guard try cursor.peek(bytes) == UInt8(ascii: "{") else {
            _ = try JSONCursor.document(bytes)
            return nil
        }
        let object = try JSONObject(&cursor, bytes)
        try cursor.finish(bytes)
        return object
    }

    /// Scans from the opening brace to behind the closing one.
    private init(_ cursor: inout JSONCursor, _ bytes: Span<UInt8>) throws(JSONError) {
        cursor.step()
        if try cursor.peek(bytes) == UInt8(ascii: "}") {
            cursor.step()
            return
        }
        repeat {
            guard try cursor.peek(bytes) == UInt8(ascii: "\"") else {
                throw JSONError(reason: .unexpectedByte, offset: cursor.offset)
            }
            let name = try cursor.string(bytes)
            try cursor.expect(UInt8(ascii: ":"), bytes)
            let value = try cursor.value(bytes, depth: 1)
            guard count < Limits.jsonFieldsLimit else {
                throw JSONError(reason: .tooManyFields, offset: name.range.lowerBound)
            }
            add(name, value, bytes)
        } while try !cursor.listEnds(with: UInt8(ascii: "}"), bytes)
    }

    private mutating func add(_ name: JSONSlice, _ value: JSONSlice, _ bytes: Span<UInt8>) {
        let content = name.content
        var field = Field(
            nameStart: UInt32(truncatingIfNeeded: content.lowerBound),
            nameCount: UInt32(truncatingIfNeeded: content.count), nameEscaped: name.kind == .escapedString,
            value: value)
        if field.nameEscaped {
            let resolved = name.unescaped(bytes)
            field.low = Self.word(resolved.span, 0..<min(8, resolved.count))
            field.nameCount = UInt32(truncatingIfNeeded: resolved.count)
        } else {
            field.low = Self.word(bytes, content.lowerBound..<min(content.lowerBound + 8, content.upperBound))
        }
        if duplicate == nil {
            for index in 0..<count where isSameName(fields[index], field, bytes) {
                duplicate = name.string(bytes)
            }
        }
        fields[count] = field
        count += 1
    }

    /// The value of a field; `nil` where the object does not have it. A `null` is a value here.
    public func member(_ name: JSONName, _ bytes: Span<UInt8>) -> JSONSlice? {
        for index in 0..<count where fields[index].low == name.low && fields[index].nameCount == name.count {
            if name.count <= 8 || highWord(fields[index], bytes) == name.high { return fields[index].value }
        }
        return nil
    }

    /// The value of a field; `nil` where the object does not have it or has `null`.
    @inline(__always)
    public subscript(_ name: JSONName, _ bytes: Span<UInt8>) -> JSONSlice? {
        guard let value = member(name, bytes), value.kind != .null else { return nil }
        return value
    }

    private func isSameName(_ a: Field, _ b: Field, _ bytes: Span<UInt8>) -> Bool {
        guard a.low == b.low, a.nameCount == b.nameCount else { return false }
        return a.nameCount <= 8 || nameBytes(a, bytes) == nameBytes(b, bytes)
    }

    private func highWord(_ field: Field, _ bytes: Span<UInt8>) -> UInt64 {
        if field.nameEscaped {
            let name = nameBytes(field, bytes)
            return Self.word(name.span, 8..<min(16, name.count))
        }
        let start = Int(field.nameStart) + 8
        return Self.word(bytes, start..<min(start + 8, Int(field.nameStart + field.nameCount)))
    }

    /// The name, escapes resolved; for the rare names that are long or escaped.
    private func nameBytes(_ field: Field, _ bytes: Span<UInt8>) -> [UInt8] {
        var cursor = JSONCursor(at: Int(field.nameStart) - 1)
        guard let name = try? cursor.string(bytes) else { return [] }
        return name.unescaped(bytes)
    }

    @inline(__always)
    private static func word(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var word: UInt64 = 0
        var shift: UInt64 = 0
        for place in range {
            word |= UInt64(bytes[place]) &<< shift
            shift &+= 8
        }
        return word
    }
}

/// Walks the elements of an array in text that is known to be valid.
public struct JSONElements: Sendable {
    private var cursor: JSONCursor
    private var isDone = false
    private var isFirst = true

    /// `nil` where the slice is no array.
    public init?(_ slice: JSONSlice) {
        guard slice.kind == .array else { return nil }
        cursor = JSONCursor(at: slice.range.lowerBound + 1)
    }

    /// The next element; `nil` behind the last one.
    public mutating func next(_ bytes: Span<UInt8>) throws(JSONError) -> JSONSlice? {
        if isDone { return nil }
        if isFirst {
            isFirst = false
            isDone = try cursor.peek(bytes) == UInt8(ascii: "]")
        } else {
            isDone = try cursor.listEnds(with: UInt8(ascii: "]"), bytes)
        }
        return isDone ? nil : try cursor.value(bytes, depth: 1)
    }
}
