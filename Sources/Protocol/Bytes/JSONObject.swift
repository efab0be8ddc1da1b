// One level of a JSON object: its fields are found by name without building a tree. It allocates once, for the list of
// up to `Limits.jsonFieldsLimit` places.

/// The name of a field, at most 16 bytes of ASCII, packed so that finding it is a comparison of integers.
public struct JSONName: ExpressibleByStringLiteral, Sendable, Equatable {
    let low: UInt64
    let high: UInt64
    let count: UInt32
    private let literal: StaticString
    /// The name as written.
    public var text: String { literal.description }

    /// - Precondition: 1 to 16 bytes of ASCII.
    public init(stringLiteral literal: StaticString) {
        let text = literal.description.utf8
        precondition((1...16).contains(text.count), "a field's name has 1 to 16 bytes: \(literal)")
        var words: (low: UInt64, high: UInt64) = (0, 0)
        for (index, byte) in text.enumerated() {
            if index < 8 {
                words.low |= UInt64(byte) << UInt64(8 * index)
            } else {
                words.high |= UInt64(byte) << UInt64(8 * (index - 8))
            }
        }
        (low, high) = words
        count = UInt32(text.count)
        self.literal = literal
    }

    /// Equal where the texts are.
    public static func == (a: Self, b: Self) -> Bool { a.low == b.low && a.high == b.high && a.count == b.count }
}

/// The fields of one object of JSON text: where each value lies. The whole text of the object is validated when it is
/// scanned; nested values are interpreted when they are asked for.
public struct JSONObject: Sendable {
    private struct Field {
        var low: UInt64
        var nameStart: UInt32
        var nameCount: UInt32
        var nameEscaped: Bool
        var value: JSONSlice
    }

    private var fields: [Field] = []
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
        fields.reserveCapacity(10)
        repeat {
            guard try cursor.peek(bytes) == UInt8(ascii: "\"") else {
                throw JSONError(reason: .unexpectedByte, offset: cursor.offset)
            }
            let name = try cursor.string(bytes)
            try cursor.expect(UInt8(ascii: ":"), bytes)
            let value = try cursor.value(bytes, depth: 1)
            guard fields.count < Limits.jsonFieldsLimit else {
                throw JSONError(reason: .tooManyFields, offset: name.range.lowerBound)
            }
            add(name, value, bytes)
        } while try !cursor.listEnds(with: UInt8(ascii: "}"), bytes)
    }

    private mutating func add(_ name: JSONSlice, _ value: JSONSlice, _ bytes: Span<UInt8>) {
        let content = name.content
        var field = Field(
            low: 0, nameStart: UInt32(truncatingIfNeeded: content.lowerBound),
            nameCount: UInt32(truncatingIfNeeded: content.count), nameEscaped: name.kind == .escapedString,
            value: value)
        if field.nameEscaped {
            let resolved = name.unescaped(bytes)
            field.low = resolved.span.word(0..<resolved.count)
            field.nameCount = UInt32(truncatingIfNeeded: resolved.count)
        } else {
            field.low = bytes.word(content)
        }
        if duplicate == nil {
            for other in fields where other.low == field.low && isSameName(other, field, bytes) {
                duplicate = name.string(bytes)
            }
        }
        fields.append(field)
    }

    /// The value of a field; `nil` where the object does not have it. A `null` is a value here.
    public func member(_ name: JSONName, _ bytes: Span<UInt8>) -> JSONSlice? {
        for field in fields where field.low == name.low && field.nameCount == name.count {
            if name.count <= 8 || highWord(field, bytes) == name.high { return field.value }
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
        guard a.nameCount == b.nameCount else { return false }
        return a.nameCount <= 8 || nameBytes(a, bytes) == nameBytes(b, bytes)
    }

    private func highWord(_ field: Field, _ bytes: Span<UInt8>) -> UInt64 {
        if field.nameEscaped {
            let name = nameBytes(field, bytes)
            return name.span.word(8..<name.count)
        }
        return bytes.word((Int(field.nameStart) + 8)..<Int(field.nameStart + field.nameCount))
    }

    /// The name, escapes resolved; for the rare names that are long or escaped.
    private func nameBytes(_ field: Field, _ bytes: Span<UInt8>) -> [UInt8] {
        var cursor = JSONCursor(at: Int(field.nameStart) - 1)
        guard let name = try? cursor.string(bytes) else { return [] }
        return name.unescaped(bytes)
    }
}

extension JSONSlice {
    /// Whether the value is this text; made for short words, without making a string.
    func isWord(_ word: JSONName, _ bytes: Span<UInt8>) -> Bool {
        guard kind == .string else { return kind == .escapedString && string(bytes) == word.text }
        let place = content
        guard place.count == Int(word.count) else { return false }
        let middle = min(place.lowerBound + 8, place.upperBound)
        return bytes.word(place) == word.low && bytes.word(middle..<place.upperBound) == word.high
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
