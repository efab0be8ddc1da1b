// The query of a request target, decoded: names and values of `a=1&b=x%20y`.

/// A decoded query.
public struct HTTPQuery: Sendable, Equatable {
    /// Pairs that one query may hold.
    public static let pairsLimit = 64

    /// The pairs in the order sent; a name without `=` has an empty value.
    public let pairs: [Pair]

    /// One name and its value.
    public struct Pair: Sendable, Equatable {
        /// The decoded name.
        public let name: String
        /// The decoded value.
        public let value: String
    }

    /// Decodes a query; `+` is a space.
    ///
    /// - Parameter raw: what stands after `?`; nil is an empty query.
    /// - Returns: nil for a broken escape, text that is not UTF-8, an escaped NUL, or more than `pairsLimit` pairs:
    ///   answer 400.
    public init?(_ raw: String?) {
        var decoded: [Pair] = []
        for part in (raw ?? "").utf8.split(separator: 0x26) {
            guard decoded.count < Self.pairsLimit else { return nil }
            let equals = part.firstIndex(of: 0x3D)
            guard let name = Self.decode(part[..<(equals ?? part.endIndex)]),
                let value = equals.map({ Self.decode(part[part.index(after: $0)...]) }) ?? ""
            else { return nil }
            decoded.append(Pair(name: name, value: value))
        }
        pairs = decoded
    }

    /// The first value of a name.
    public subscript(_ name: String) -> String? { pairs.first { $0.name == name }?.value }

    private static func decode(_ raw: Substring.UTF8View) -> String? {
        var bytes: [UInt8] = []
        var rest = raw.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case 0x2B: bytes.append(HTTPByte.space)
            case 0x25:
                guard let high = rest.next().flatMap(HTTPByte.hex), let low = rest.next().flatMap(HTTPByte.hex),
                    high | low != 0
                else { return nil }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
