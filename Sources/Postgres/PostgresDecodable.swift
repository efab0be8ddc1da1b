// Values, as they come back: Postgres' binary formats. Integers may come from a narrower column.

public import Protocol

/// What can be read from a result.
public protocol PostgresDecodable {
    /// Reads one value that is not NULL; `nil` where type or length are others.
    static func decode(_ bytes: RawSpan, type: PostgresType) -> Self?
}

/// The big-endian integer at `offset`; `nil` where it does not fit.
private func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
    _ bytes: RawSpan, at offset: Int = 0, as: Integer.Type
) -> Integer? {
    guard offset >= 0, bytes.byteCount - offset >= MemoryLayout<Integer>.size else { return nil }
    // Safe: the bounds were checked, and every bit pattern is an integer.
    return unsafe Integer(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Integer.self))
}

/// The integer that fills a column of any integer type.
private func column(_ bytes: RawSpan, _ type: PostgresType) -> Int64? {
    switch (type, bytes.byteCount) {
    case (.int16, 2): integer(bytes, as: Int16.self).map(Int64.init)
    case (.int32, 4): integer(bytes, as: Int32.self).map(Int64.init)
    case (.int64, 8): integer(bytes, as: Int64.self)
    default: nil
    }
}

private func array(_ bytes: RawSpan) -> [UInt8] { unsafe bytes.withUnsafeBytes { unsafe Array($0) } }

extension Int16: PostgresDecodable {
    /// From smallint.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> Int16? {
        column(bytes, type).flatMap { Int16(exactly: $0) }
    }
}

extension Int32: PostgresDecodable {
    /// From integer or smallint.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> Int32? {
        column(bytes, type).flatMap { Int32(exactly: $0) }
    }
}

extension Int64: PostgresDecodable {
    /// From any integer type.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> Int64? { column(bytes, type) }
}

extension UInt64: PostgresDecodable {
    /// The 64 bits of a bigint.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> UInt64? {
        guard type == .int64, bytes.byteCount == 8 else { return nil }
        return integer(bytes, as: UInt64.self)
    }
}

extension Bool: PostgresDecodable {
    /// From boolean.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> Bool? {
        guard type == .bool, bytes.byteCount == 1 else { return nil }
        return integer(bytes, as: UInt8.self) != 0
    }
}

extension Double: PostgresDecodable {
    /// From double precision.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> Double? {
        guard type == .float8, bytes.byteCount == 8 else { return nil }
        return integer(bytes, as: UInt64.self).map { Double(bitPattern: $0) }
    }
}

extension String: PostgresDecodable {
    /// From text, varchar, name or an untyped literal.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> String? {
        let textual: [UInt32] = [25, 1043, 19, 1042, 705]
        guard textual.contains(type.oid) else { return nil }
        return String(validating: array(bytes), as: UTF8.self)
    }
}

extension UInt128: PostgresDecodable {
    /// From uuid.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> UInt128? {
        guard type == .uuid, bytes.byteCount == 16 else { return nil }
        return integer(bytes, as: UInt128.self)
    }
}

extension Timestamp: PostgresDecodable {
    /// From timestamptz, rounded down to the millisecond.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> Timestamp? {
        guard type == .timestamp, bytes.byteCount == 8 else { return nil }
        return integer(bytes, as: Int64.self).map(PostgresTime.timestamp)
    }
}

/// What an array may hold: `UInt8` makes bytea of it, the others arrays of Postgres.
public protocol PostgresElement {
    /// Reads the value of a whole column.
    static func decodeArray(_ bytes: RawSpan, type: PostgresType) -> [Self]?
}

extension PostgresElement where Self: PostgresDecodable {
    /// From an array of at most one dimension, without NULL.
    public static func decodeArray(_ bytes: RawSpan, type: PostgresType) -> [Self]? {
        guard let dimensions = integer(bytes, as: Int32.self), let oid = integer(bytes, at: 8, as: UInt32.self),
            integer(bytes, at: 4, as: Int32.self) == 0
        else { return nil }
        if dimensions == 0 { return bytes.byteCount == 12 ? [] : nil }
        guard dimensions == 1, let count = integer(bytes, at: 12, as: Int32.self), count >= 0 else { return nil }
        var values: [Self] = []
        // An element takes four bytes at least: no count can ask for more memory than the value's own size.
        values.reserveCapacity(min(Int(count), bytes.byteCount / 4))
        var offset = 20
        for _ in 0..<count {
            guard let length = integer(bytes, at: offset, as: Int32.self), length >= 0 else { return nil }
            offset += 4
            guard bytes.byteCount - offset >= Int(length),
                let value = Self.decode(bytes.extracting(offset..<offset + Int(length)), type: PostgresType(oid: oid))
            else { return nil }
            values.append(value)
            offset += Int(length)
        }
        return offset == bytes.byteCount ? values : nil
    }
}

extension Int32: PostgresElement {}
extension Int64: PostgresElement {}
extension UInt64: PostgresElement {}
extension UInt128: PostgresElement {}
extension String: PostgresElement {}
extension Timestamp: PostgresElement {}

extension UInt8: PostgresElement {
    /// From bytea.
    public static func decodeArray(_ bytes: RawSpan, type: PostgresType) -> [UInt8]? {
        type == .bytes ? array(bytes) : nil
    }
}

extension Array: PostgresDecodable where Element: PostgresElement {
    /// From bytea or an array.
    public static func decode(_ bytes: RawSpan, type: PostgresType) -> [Element]? {
        Element.decodeArray(bytes, type: type)
    }
}

extension Array: PostgresElement where Element == UInt8 {
    /// From bytea[].
    public static func decodeArray(_ bytes: RawSpan, type: PostgresType) -> [[UInt8]]? {
        BytesElement.decodeArray(bytes, type: type)?.map(\.bytes)
    }

    /// Lets arrays of bytea be read by the code of the other arrays.
    private struct BytesElement: PostgresDecodable, PostgresElement {
        let bytes: [UInt8]
        static func decode(_ bytes: RawSpan, type: PostgresType) -> BytesElement? {
            type == .bytes ? BytesElement(bytes: array(bytes)) : nil
        }
    }
}
