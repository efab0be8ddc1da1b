// An object of a node's answer, for commands that print it.

import Protocol

struct AnswerObject {
    private let object: JSONObject
    private let bytes: [UInt8]

    /// The `data` of an answer; `nil` where there is none.
    init?(answer: [UInt8]) {
        let span = answer.span
        guard let document = try? JSONObject.document(span), let slice = document.member("data", span),
            let data = try? JSONObject(slice, span)
        else { return nil }
        object = data
        bytes = answer
    }

    private init(_ object: JSONObject, _ bytes: [UInt8]) {
        self.object = object
        self.bytes = bytes
    }

    /// A string, or a number as it is written; `nil` for anything else, and for `null`.
    func text(_ name: JSONName) -> String? {
        let span = bytes.span
        guard let value = object[name, span] else { return nil }
        switch value.kind {
        case .string, .escapedString: return value.string(span)
        case .integer, .real: return String(decoding: value.rawText(span), as: UTF8.self)
        case .object, .array, .true, .false, .null: return nil
        }
    }

    func isTrue(_ name: JSONName) -> Bool { object.member(name, bytes.span)?.kind == .true }

    func object(_ name: JSONName) -> AnswerObject? {
        let span = bytes.span
        guard let slice = object[name, span], let found = try? JSONObject(slice, span) else { return nil }
        return AnswerObject(found, bytes)
    }

    /// The objects in an array; none where there is no array.
    func list(_ name: JSONName) -> [AnswerObject] {
        let span = bytes.span
        guard let slice = object[name, span], var elements = JSONElements(slice) else { return [] }
        var found: [AnswerObject] = []
        while let element = try? elements.next(span) {
            if let object = try? JSONObject(element, span) { found.append(AnswerObject(object, bytes)) }
        }
        return found
    }
}
