// The request target: which form it has, what its path and query are, and whether an authority is well formed.
// Paths are decoded once, here; what cannot be decoded to clean text is refused instead of guessed at.

enum HTTPTarget {
    struct Parts {
        var path: String
        var query: String?
        var authority: String?
    }

    static func parse(_ target: ArraySlice<UInt8>, isOptions: Bool) throws(HTTPFailure) -> Parts {
        if target.count == 1, target.first == 0x2A {
            guard isOptions else { throw .bad("Only OPTIONS may ask for *.") }
            return Parts(path: "*")
        }
        if target.contains(0x23) { throw .bad("A request target has no fragment.") }
        if target.first == 0x2F { return try split(target, authority: nil) }
        for scheme in ["http://", "https://"]
        where target.count > scheme.utf8.count && HTTPByte.equal(target.prefix(scheme.utf8.count), scheme) {
            let rest = target.dropFirst(scheme.utf8.count)
            let end = rest.firstIndex { $0 == 0x2F || $0 == 0x3F } ?? rest.endIndex
            let authority = rest[..<end]
            guard isAuthority(authority) else { throw .bad("The target's host is malformed.") }
            return try split(rest[end...], authority: String(decoding: authority, as: UTF8.self))
        }
        throw .bad("The request target is neither a path nor an http URL.")
    }

    /// `host` or `host:port`, the host a name, an IPv4 address or a bracketed IPv6 address; no user part.
    static func isAuthority(_ text: ArraySlice<UInt8>) -> Bool {
        guard !text.isEmpty, text.count <= 261 else { return false }
        var rest = text
        if text.first == 0x5B {
            guard let end = text.firstIndex(of: 0x5D) else { return false }
            let inner = text[(text.startIndex + 1)..<end]
            guard inner.count >= 2,
                inner.allSatisfy({ HTTPByte.hex($0) != nil || $0 == HTTPByte.colon || $0 == 0x2E })
            else { return false }
            rest = text[(end + 1)...]
        } else {
            let end = text.firstIndex(of: HTTPByte.colon) ?? text.endIndex
            let name = text[..<end]
            guard !name.isEmpty, name.allSatisfy(isNameByte) else { return false }
            rest = text[end...]
        }
        guard let first = rest.first else { return true }
        let port = rest.dropFirst()
        return first == HTTPByte.colon && port.count <= 5 && port.allSatisfy(HTTPByte.isDigit)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }

    private static func split(_ text: ArraySlice<UInt8>, authority: String?) throws(HTTPFailure) -> Parts {
        let mark = text.firstIndex(of: 0x3F)
        let rawPath = text[..<(mark ?? text.endIndex)]
        let path = try rawPath.isEmpty ? "/" : decodePath(rawPath)
        let query = mark.map { String(decoding: text[($0 + 1)...], as: UTF8.self) }
        return Parts(path: path, query: query, authority: authority)
    }

    private static func decodePath(_ raw: ArraySlice<UInt8>) throws(HTTPFailure) -> String {
        guard raw.contains(0x25) else { return String(decoding: raw, as: UTF8.self) }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(raw.count)
        var index = raw.startIndex
        while index < raw.endIndex {
            let byte = raw[index]
            guard byte == 0x25 else {
                decoded.append(byte)
                index += 1
                continue
            }
            guard index + 2 < raw.endIndex, let high = HTTPByte.hex(raw[index + 1]),
                let low = HTTPByte.hex(raw[index + 2])
            else { throw .bad("The path holds a broken escape.") }
            let value = high << 4 | low
            guard value >= 0x20, value != 0x7F else { throw .bad("The path holds an escaped control byte.") }
            if value == 0x2F {
                decoded.append(contentsOf: "%2F".utf8)
            } else {
                decoded.append(value)
            }
            index += 3
        }
        guard let path = String(validating: decoded, as: UTF8.self) else { throw .bad("The path is not UTF-8.") }
        return path
    }
}
