// Incremental UTF-8 validation (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). One byte of state
// survives from fragment to fragment, so a wrong byte is found in the frame that brings it, not at the message's end.

struct UTF8Check: Equatable {
    /// What the next byte may be. Continuation states count what is still to come; the four special ones narrow the
    /// byte after E0, ED, F0 and F4.
    private enum Expect: UInt8 {
        case lead, one, two, three, afterE0, afterED, afterF0, afterF4
    }

    private var expect = Expect.lead

    /// Whether the text may end here.
    var isComplete: Bool { expect == .lead }

    /// Takes further bytes; false as soon as one of them cannot stand where it stands.
    mutating func accept(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        let count = bytes.count
        while index < count {
            if expect == .lead {
                while count - index >= 8,
                    unsafe bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
                {
                    index += 8
                }
                guard index < count else { break }
            }
            guard let next = unsafe Self.next(expect, bytes[index]) else { return false }
            expect = next
            index += 1
        }
        return true
    }

    @inline(__always)
    private static func next(_ expect: Expect, _ byte: UInt8) -> Expect? {
        switch expect {
        case .lead:
            switch byte {
            case 0x00...0x7F: .lead
            case 0xC2...0xDF: .one
            case 0xE0: .afterE0
            case 0xED: .afterED
            case 0xE1...0xEF: .two
            case 0xF0: .afterF0
            case 0xF1...0xF3: .three
            case 0xF4: .afterF4
            default: nil
            }
        case .one: byte & 0xC0 == 0x80 ? .lead : nil
        case .two: byte & 0xC0 == 0x80 ? .one : nil
        case .three: byte & 0xC0 == 0x80 ? .two : nil
        case .afterE0: byte >= 0xA0 && byte <= 0xBF ? .one : nil
        case .afterED: byte >= 0x80 && byte <= 0x9F ? .one : nil
        case .afterF0: byte >= 0x90 && byte <= 0xBF ? .two : nil
        case .afterF4: byte >= 0x80 && byte <= 0x8F ? .two : nil
        }
    }
}
