/// Reads the fields of an HTTP request's JSON object by name and type, and gathers what is wrong with them, so that
/// one reply can name every field at fault. The bytes are an argument of each call and always the same.
///
///     var reader = try JSONObjectReader(body: bytes)
///     let name = reader.text("name", bytes, characters: 3...100)
///     guard let name, reader.details.isEmpty else { throw reader.refusal }
///
/// Unknown fields are ignored; an optional field that is `null` counts as absent.
public struct JSONObjectReader: Sendable {
    /// What was found wrong so far, in the order of the reads.
    public private(set) var details: [ClientError.Detail] = []
    private let object: JSONObject

    /// Scans a whole body.
    ///
    /// - Throws: `bad_request` where the body is not one JSON object with each field once.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        let scanned: JSONObject?
        do throws(JSONError) {
            scanned = try JSONObject.document(bytes)
        } catch {
            throw ClientError(.badRequest, "the body is not valid JSON: \(error.description)")
        }
        guard let scanned else { throw ClientError(.badRequest, "the body must be a JSON object") }
        self.init(scanned)
    }

    /// Reads an object that is nested in a body; `nil` where the value is no object.
    public init?(_ value: JSONSlice, _ bytes: Span<UInt8>) {
        guard let object = try? JSONObject(value, bytes) else { return nil }
        self.init(object)
    }

    private init(_ object: JSONObject) {
        self.object = object
        if let name = object.duplicate { fault(name, "stands twice") }
    }

    /// The refusal that names every fault so far; `bad_request`.
    public var refusal: ClientError {
        let first = details.first.map { "\($0.field) \($0.message)" }
        return ClientError(.badRequest, first ?? "the request cannot be used", details: details)
    }

    /// Notes a fault that the caller found.
    public mutating func fault(_ field: String, _ message: String) {
        details.append(ClientError.Detail(field: field, message: message))
    }

    /// Whether the field is there, `null` included.
    public func has(_ name: JSONName, _ bytes: Span<UInt8>) -> Bool { object.member(name, bytes) != nil }

    /// The field's value as it lies in the body; `nil` where it is absent. A `null` is a value here.
    public func value(_ name: JSONName, _ bytes: Span<UInt8>) -> JSONSlice? { object.member(name, bytes) }

    /// A required line of text for people, measured in Unicode scalars: not blank, without control characters.
    public mutating func text(_ name: JSONName, _ bytes: Span<UInt8>, characters: ClosedRange<Int>) -> String? {
        guard let value = required(name, bytes) else { return nil }
        return line(value, bytes, characters: characters, as: name.text)
    }

    /// An optional text for people of at most so many Unicode scalars; line breaks and tabs are allowed in it.
    public mutating func optionalText(_ name: JSONName, _ bytes: Span<UInt8>, charactersLimit: Int) -> String? {
        guard let value = object[name, bytes] else { return nil }
        guard let text = value.string(bytes, byteCount: 0...(charactersLimit * 4)),
            text.unicodeScalars.count <= charactersLimit
        else {
            fault(name.text, "must be a string of at most \(charactersLimit) characters")
            return nil
        }
        guard !text.unicodeScalars.contains(where: { $0.isControl && $0 != "\n" && $0 != "\t" && $0 != "\r" }) else {
            fault(name.text, "must not contain control characters")
            return nil
        }
        return text
    }

    /// A required string of so many bytes, any characters.
    public mutating func string(_ name: JSONName, _ bytes: Span<UInt8>, byteCount: ClosedRange<Int>) -> String? {
        guard required(name, bytes) != nil else { return nil }
        return optionalString(name, bytes, byteCount: byteCount)
    }

    /// An optional string of so many bytes, any characters.
    public mutating func optionalString(
        _ name: JSONName, _ bytes: Span<UInt8>, byteCount: ClosedRange<Int>
    ) -> String? {
        guard let value = object[name, bytes] else { return nil }
        guard let text = value.string(bytes, byteCount: byteCount) else {
            fault(name.text, "must be a string of \(byteCount.lowerBound) to \(byteCount.upperBound) bytes")
            return nil
        }
        return text
    }

    /// A required integer of 64 bits.
    public mutating func integer(_ name: JSONName, _ bytes: Span<UInt8>) -> Int? {
        guard let value = required(name, bytes) else { return nil }
        guard let number = value.integer(bytes) else {
            fault(name.text, FieldFault.integer)
            return nil
        }
        return Int(number)
    }

    /// An optional integer in bounds.
    public mutating func optionalInteger(
        _ name: JSONName, _ bytes: Span<UInt8>, in bounds: ClosedRange<Int>
    ) -> Int? {
        guard let value = object[name, bytes] else { return nil }
        guard let number = value.integer(bytes), bounds.contains(Int(number)) else {
            fault(name.text, "must be an integer from \(bounds.lowerBound) to \(bounds.upperBound)")
            return nil
        }
        return Int(number)
    }

    /// A required list of lines of text, each as `text` demands.
    public mutating func texts(
        _ name: JSONName, _ bytes: Span<UInt8>, count: ClosedRange<Int>, characters: ClosedRange<Int>
    ) -> [String]? {
        guard let value = required(name, bytes) else { return nil }
        guard var elements = JSONElements(value) else {
            fault(name.text, "must be a list of strings")
            return nil
        }
        var texts: [String] = []
        var found = 0
        while let element = try? elements.next(bytes), found <= count.upperBound {
            if let text = line(element, bytes, characters: characters, as: "\(name.text)[\(found)]") {
                texts.append(text)
            }
            found += 1
        }
        guard count.contains(found) else {
            fault(name.text, "must have \(count.lowerBound) to \(count.upperBound) entries")
            return nil
        }
        return texts.count == found ? texts : nil
    }

    private mutating func required(_ name: JSONName, _ bytes: Span<UInt8>) -> JSONSlice? {
        guard let value = object[name, bytes] else {
            fault(name.text, FieldFault.missing)
            return nil
        }
        return value
    }

    private mutating func line(
        _ value: JSONSlice, _ bytes: Span<UInt8>, characters: ClosedRange<Int>, as field: String
    ) -> String? {
        guard let text = value.string(bytes, byteCount: 0...(characters.upperBound * 4)),
            characters.contains(text.unicodeScalars.count)
        else {
            fault(field, "must be a string of \(characters.lowerBound) to \(characters.upperBound) characters")
            return nil
        }
        guard !text.unicodeScalars.contains(where: \.isControl) else {
            fault(field, "must not contain control characters")
            return nil
        }
        guard !text.unicodeScalars.allSatisfy(\.isBlank) else {
            fault(field, "must not be blank")
            return nil
        }
        return text
    }
}

extension Unicode.Scalar {
    /// C0, DEL and C1.
    fileprivate var isControl: Bool { value < 0x20 || (0x7F...0x9F).contains(value) }
    /// Shows nothing: white space, and format characters such as U+200B.
    fileprivate var isBlank: Bool { properties.isWhitespace || properties.generalCategory == .format }
}
