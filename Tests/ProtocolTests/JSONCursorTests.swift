// RFC 8259, to the letter, and the bounds beyond it.

import Protocol
import Testing

struct JSONCursorTests {
    func fault(_ bytes: [UInt8]) -> JSONError.Reason? {
        do throws(JSONError) {
            _ = try JSONCursor.document(bytes.span)
            return nil
        } catch { return error.reason }
    }

    @Test(arguments: [
        "0", "-0", "1", "-1", "10", "0.5", "-0.5", "1e1", "1E1", "1e+1", "1e-1", "1.5e10", "0e0", "0.0",
        "123456789012345678901234567890", "1e999999", "true", "false", "null", "\"\"", "[]", "{}", " \t\r\n1 \t\r\n",
        "[1,2]", "[ 1 , 2 ]", "[[],{}]", "{\"\":0}", "{\"a\":1,\"a\":2}", "{ \"a\" : [ ] }",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\"", "\"\\uFFFF\"", "\"\\uD83D\\uDE00\"", "\"\\ud834\\udd1e\"",
        "\"\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}\"",
        "\"\u{2028}\u{2029}\u{FEFF}\"", "\"/\"",
    ])
    func `valid text passes`(text: String) {
        #expect(fault(Array(text.utf8)) == nil)
    }

    @Test(
        arguments: [
            ("", .unexpectedEnd), (" ", .unexpectedEnd), ("-", .unexpectedEnd), ("01", .badNumber), ("-01", .badNumber),
            ("1.", .unexpectedEnd), ("1.e1", .badNumber), (".5", .unexpectedByte), ("+1", .unexpectedByte),
            ("1e", .unexpectedEnd), ("1e+", .unexpectedEnd), ("1ex", .badNumber), ("00", .badNumber),
            ("-a", .badNumber),
            ("0x1", .trailingText), ("1_0", .trailingText), ("NaN", .unexpectedByte), ("Infinity", .unexpectedByte),
            ("-Infinity", .badNumber), ("tru", .unexpectedEnd), ("trUe", .unexpectedByte), ("True", .unexpectedByte),
            ("nulll", .trailingText), ("fals", .unexpectedEnd), ("[", .unexpectedEnd), ("]", .unexpectedByte),
            ("[1", .unexpectedEnd), ("[1,", .unexpectedEnd), ("[1,]", .unexpectedByte), ("[,1]", .unexpectedByte),
            ("[1 2]", .unexpectedByte), ("[1}", .unexpectedByte), ("{", .unexpectedEnd), ("{a:1}", .unexpectedByte),
            ("{'a':1}", .unexpectedByte), ("{\"a\"}", .unexpectedByte), ("{\"a\":}", .unexpectedByte),
            ("{\"a\":1,}", .unexpectedByte), ("{\"a\":1 \"b\":2}", .unexpectedByte), ("{1:1}", .unexpectedByte),
            ("{\"a\" 1}", .unexpectedByte), ("1 1", .trailingText), ("{}{}", .trailingText), ("[]]", .trailingText),
            ("/**/1", .unexpectedByte), ("1//", .trailingText), ("\"", .unexpectedEnd), ("\"a", .unexpectedEnd),
            ("'a'", .unexpectedByte), ("\"\\", .unexpectedEnd), ("\"\\a\"", .badEscape), ("\"\\x41\"", .badEscape),
            ("\"\\u12\"", .badEscape), ("\"\\u12G4\"", .badEscape), ("\"\\U0041\"", .badEscape),
            ("\"\\u", .unexpectedEnd),
            ("\"\\ud83d\"", .loneSurrogate), ("\"\\ude00\"", .loneSurrogate), ("\"\\ud83d\\u0041\"", .loneSurrogate),
            ("\"\\ud83dx\"", .loneSurrogate), ("\"\\ud83d\\ud83d\"", .loneSurrogate),
            ("\"\\ud83d\\n\"", .loneSurrogate),
            ("\"\n\"", .controlCharacter), ("\"\t\"", .controlCharacter), ("\"\u{0}\"", .controlCharacter),
            ("\"\u{1F}\"", .controlCharacter), ("\u{FEFF}1", .unexpectedByte), ("\u{A0}1", .unexpectedByte),
            ("\u{B}1", .unexpectedByte), ("1\u{0}", .trailingText), ("\\u0031", .unexpectedByte),
            ("[1\u{C}]", .unexpectedByte),
        ] as [(String, JSONError.Reason)])
    func `invalid text is refused with its reason`(text: String, reason: JSONError.Reason) {
        #expect(fault(Array(text.utf8)) == reason)
    }

    @Test(
        arguments: [
            [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x41], [0xE0, 0x80, 0x80], [0xE0, 0x9F, 0xBF],
            [0xE2, 0x82], [0xE2, 0x82, 0x41], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xF0, 0x80, 0x80, 0x80],
            [0xF0, 0x8F, 0xBF, 0xBF], [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFE],
            [0xFF],
        ] as [[UInt8]])
    func `bytes that are not UTF-8 are refused`(sequence: [UInt8]) {
        #expect(fault([0x22] + sequence + [0x22]) == .badUTF8)
    }

    @Test(arguments: 0..<20)
    func `every byte is judged alike at every place of a long string`(place: Int) {
        for byte in UInt8.min...UInt8.max {
            var text = Array("\"\(String(repeating: "a", count: 20))\"".utf8)
            text[1 + place] = byte
            let expected: JSONError.Reason? =
                switch byte {
                case 0..<0x20: .controlCharacter
                case UInt8(ascii: "\""): .trailingText
                case UInt8(ascii: "\\"): place < 19 ? .badEscape : .unexpectedEnd
                case 0x80...: .badUTF8
                default: nil
                }
            #expect(fault(text) == expected, "byte \(byte)")
        }
    }

    @Test func `nesting is accepted to 32 levels and refused beyond, for lists and objects`() {
        func nested(_ open: String, _ close: String, _ depth: Int) -> [UInt8] {
            Array((String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)).utf8)
        }
        #expect(fault(nested("[", "]", 32)) == nil)
        #expect(fault(nested("[", "]", 33)) == .tooDeep)
        #expect(fault(nested("{\"a\":", "}", 32)) == nil)
        #expect(fault(nested("{\"a\":", "}", 33)) == .tooDeep)
        #expect(fault(nested("[", "]", 100_000)) == .tooDeep)
    }

    @Test func `a value is found without the whitespace around it`() throws {
        let text = Array(" [ 1, \"a\\n\" ] ".utf8)
        let value = try JSONCursor.document(text.span)
        #expect(value.range == 1..<13)
        #expect(value.kind == .array)
    }

    @Test func `line breaks and tabs between tokens become spaces in raw text`() throws {
        let text = Array("{\r\n\t\"a\": \"\\n\",\n\"b\":1}".utf8)
        let value = try JSONCursor.document(text.span)
        #expect(String(decoding: value.rawText(text.span), as: UTF8.self) == "{   \"a\": \"\\n\", \"b\":1}")
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("9223372036854775807", Int64.max), ("-9223372036854775808", Int64.min),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("1.0", nil), ("1e0", nil), ("\"1\"", nil),
            ("100000000000000000000000000000", nil),
        ] as [(String, Int64?)])
    func `an integer is exact or none`(text: String, expected: Int64?) throws {
        let bytes = Array(text.utf8)
        #expect(try JSONCursor.document(bytes.span).integer(bytes.span) == expected)
    }

    @Test func `every string that is written is read again unchanged`() throws {
        var generator = MessageGenerator(seed: 13)
        for _ in 0..<1000 {
            let text = generator.text(bytes: 60)
            var bytes: [UInt8] = []
            JSONWriter.string(text, to: &bytes)
            #expect(try JSONCursor.document(bytes.span).string(bytes.span) == text)
        }
    }

    @Test(arguments: [(0, "0"), (1, "0.1"), (10, "1"), (333, "33.3"), (500, "50"), (1000, "100")])
    func `tenths have at most one decimal`(value: Int, text: String) {
        var bytes: [UInt8] = []
        JSONWriter.tenths(value, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == text)
    }

    @Test func `integers of every length are written as they are`() {
        var values: [UInt64] = [
            0, 9, 10, 99, 100, .max, .max - 1, 10_000_000_000_000_000_000, 9_999_999_999_999_999_999,
        ]
        values += (0..<64).map { 1 << $0 }
        for value in values {
            var bytes: [UInt8] = []
            JSONWriter.integer(value, to: &bytes)
            #expect(String(decoding: bytes, as: UTF8.self) == String(value))
        }
        var bytes: [UInt8] = []
        JSONWriter.integer(Int64.min, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == String(Int64.min))
    }
}

struct JSONObjectTests {
    func object(_ text: String) throws -> (JSONObject, [UInt8]) {
        let bytes = Array(text.utf8)
        return (try #require(try JSONObject.document(bytes.span)), bytes)
    }

    @Test func `fields are found by names of every length, escaped or not`() throws {
        let (found, bytes) = try object(
            #"{"a":1,"eightbyt":2,"ninebytes":3,"sixteenbyteslong":4,"\u0062":5,"t\u0065nbyteses":6}"#)
        #expect(found["a", bytes.span]?.integer(bytes.span) == 1)
        #expect(found["eightbyt", bytes.span]?.integer(bytes.span) == 2)
        #expect(found["ninebytes", bytes.span]?.integer(bytes.span) == 3)
        #expect(found["sixteenbyteslong", bytes.span]?.integer(bytes.span) == 4)
        #expect(found["b", bytes.span]?.integer(bytes.span) == 5)
        #expect(found["tenbyteses", bytes.span]?.integer(bytes.span) == 6)
        #expect(found["tenbytesez", bytes.span] == nil)
        #expect(found["ninebytez", bytes.span] == nil)
        #expect(found.duplicate == nil)
    }

    @Test(
        arguments: [
            (#"{"a":1,"b":2,"a":3}"#, "a"), (#"{"a":1,"\u0061":3}"#, "a"), (#"{"a\u0000":1,"a":3}"#, nil),
            (#"{"averylongfieldname1":1,"averylongfieldname2":2}"#, nil),
            (#"{"averylongfieldname1":1,"averylongfieldname\u0031":2}"#, "averylongfieldname1"), (#"{"":1,"":2}"#, ""),
        ] as [(String, String?)])
    func `a name that stands twice is noticed`(text: String, duplicate: String?) throws {
        #expect(try object(text).0.duplicate == duplicate)
    }

    @Test func `a duplicate is refused under the message's id`() {
        let text = #"{"op":"ping","id":3,"x":1,"x":1}"#
        guard case .invalid(.integer(3), let error)? = CodecUnderTest.json.refusal(Array(text.utf8)) else {
            Issue.record("not refused under its id")
            return
        }
        #expect(error.details.map(\.field) == ["x"])
    }
}
