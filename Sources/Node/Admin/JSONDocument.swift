// JSON of answers that are rare and have many shapes: written in order, commas put where they belong.

import Protocol

struct JSONDocument {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// A whole document that is one object.
    static func object(_ body: (inout JSONDocument) -> Void) -> [UInt8] {
        var document = JSONDocument()
        document.object(body)
        return document.bytes
    }

    // MARK: - Values

    mutating func object(_ body: (inout JSONDocument) -> Void) {
        enclose("{", "}", body)
    }

    mutating func value(_ value: Int) {
        separate()
        JSONWriter.integer(value, to: &bytes)
        needsComma = true
    }

    mutating func value(_ value: Int?) {
        guard let value else { return word("null") }
        self.value(value)
    }

    mutating func value(_ text: String) {
        separate()
        JSONWriter.string(text, to: &bytes)
        needsComma = true
    }

    private mutating func word(_ text: StaticString) {
        separate()
        JSONWriter.raw(text, to: &bytes)
        needsComma = true
    }

    // MARK: - Fields

    mutating func object(_ name: StaticString, _ body: (inout JSONDocument) -> Void) {
        field(name)
        object(body)
    }

    mutating func array<Elements: Sequence>(
        _ name: StaticString, _ elements: Elements, _ body: (inout JSONDocument, Elements.Element) -> Void
    ) {
        field(name)
        enclose("[", "]") { document in
            for element in elements { body(&document, element) }
        }
    }

    mutating func null(_ name: StaticString) {
        field(name)
        word("null")
    }

    mutating func field(_ name: StaticString, _ text: String?) {
        field(name)
        separate()
        JSONWriter.string(text, to: &bytes)
        needsComma = true
    }

    mutating func field(_ name: StaticString, _ value: Int?) {
        field(name)
        self.value(value)
    }

    mutating func field(_ name: StaticString, _ value: UInt64?) {
        guard let value else { return null(name) }
        field(name)
        separate()
        JSONWriter.integer(value, to: &bytes)
        needsComma = true
    }

    mutating func field(_ name: StaticString, _ value: Bool) {
        field(name)
        word(value ? "true" : "false")
    }

    /// A number of at most one decimal.
    mutating func field(_ name: StaticString, rounded value: Double?) {
        guard let value, value.isFinite, value.magnitude < 1e15 else { return null(name) }
        field(name)
        separate()
        let tenths = Int((value * 10).rounded())
        if tenths < 0 { bytes.append(UInt8(ascii: "-")) }
        JSONWriter.tenths(abs(tenths), to: &bytes)
        needsComma = true
    }

    mutating func field(_ name: StaticString, _ time: Timestamp?) {
        guard let time else { return null(name) }
        field(name)
        separate()
        JSONWriter.timestamp(time, to: &bytes)
        needsComma = true
    }

    // MARK: - Punctuation

    private mutating func field(_ name: StaticString) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        JSONWriter.raw(name, to: &bytes)
        JSONWriter.raw("\":", to: &bytes)
        needsComma = false
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = false
    }

    private mutating func enclose(
        _ opening: StaticString, _ closing: StaticString, _ body: (inout JSONDocument) -> Void
    ) {
        separate()
        JSONWriter.raw(opening, to: &bytes)
        needsComma = false
        body(&self)
        JSONWriter.raw(closing, to: &bytes)
        needsComma = true
    }
}
