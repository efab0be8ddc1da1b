// Parameters, as they travel: Postgres' binary formats, big-endian. A statement's parameters go into one buffer.

public import Protocol

/// A type of Postgres, by its number in `pg_type`; those of a server's catalogue never change.
public struct PostgresType: Hashable, Sendable {
    /// The number.
    public let oid: UInt32

    /// Takes a number.
    public init(oid: UInt32) { self.oid = oid }

    /// boolean
    public static let bool = PostgresType(oid: 16)
    /// bytea
    public static let bytes = PostgresType(oid: 17)
    /// bigint
    public static let int64 = PostgresType(oid: 20)
    /// smallint
    public static let int16 = PostgresType(oid: 21)
    /// integer
    public static let int32 = PostgresType(oid: 23)
    /// text
    public static let text = PostgresType(oid: 25)
    /// double precision
    public static let float8 = PostgresType(oid: 701)
    /// timestamptz
    public static let timestamp = PostgresType(oid: 1184)
    /// uuid
    public static let uuid = PostgresType(oid: 2950)
    /// bytea[]
    public static let bytesArray = PostgresType(oid: 1001)
    /// integer[]
    public static let int32Array = PostgresType(oid: 1007)
    /// text[]
    public static let textArray = PostgresType(oid: 1009)
    /// bigint[]
    public static let int64Array = PostgresType(oid: 1016)
    /// timestamptz[]
    public static let timestampArray = PostgresType(oid: 1185)
    /// uuid[]
    public static let uuidArray = PostgresType(oid: 2951)
}

/// A parameter.
public enum PostgresValue: Hashable, Sendable {
    /// NULL of whatever type the statement declares.
    case null
    case bool(Bool)
    case int16(Int16)
    case int32(Int32)
    case int64(Int64)
    /// A bigint with the same 64 bits: above `Int64.max` the server sees a negative number.
    case uint64(UInt64)
    case float8(Double)
    case text(String)
    case bytes([UInt8])
    /// Most significant byte first.
    case uuid(UInt128)
    case timestamp(Timestamp)
    case int32Array([Int32])
    case int64Array([Int64])
    /// As `uint64`.
    case uint64Array([UInt64])
    case uuidArray([UInt128])
    case bytesArray([[UInt8]])
    case textArray([String])
    /// `nil` is NULL.
    case timestampArray([Timestamp?])

    /// The type that a statement declares for it; `nil` fits any.
    public var type: PostgresType? {
        switch self {
        case .null: nil
        case .bool: .bool
        case .int16: .int16
        case .int32: .int32
        case .int64, .uint64: .int64
        case .float8: .float8
        case .text: .text
        case .bytes: .bytes
        case .uuid: .uuid
        case .timestamp: .timestamp
        case .int32Array: .int32Array
        case .int64Array, .uint64Array: .int64Array
        case .uuidArray: .uuidArray
        case .bytesArray: .bytesArray
        case .textArray: .textArray
        case .timestampArray: .timestampArray
        }
    }
}

/// Appends values in Postgres' binary formats.
struct PostgresBinaryWriter {
    private(set) var bytes: [UInt8] = []

    mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }

    mutating func integer<Integer: FixedWidthInteger>(_ value: Integer) {
        unsafe withUnsafeBytes(of: value.bigEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    mutating func timestamp(_ time: Timestamp) { integer(PostgresTime.microseconds(time)) }

    /// Appends a value's bytes; `false` for NULL.
    mutating func value(_ value: PostgresValue) -> Bool {
        switch value {
        case .null: return false
        case .bool(let value): integer(UInt8(value ? 1 : 0))
        case .int16(let value): integer(value)
        case .int32(let value): integer(value)
        case .int64(let value): integer(value)
        case .uint64(let value): integer(value)
        case .float8(let value): integer(value.bitPattern)
        case .text(let value): bytes.append(contentsOf: value.utf8)
        case .bytes(let value): bytes.append(contentsOf: value)
        case .uuid(let value): integer(value)
        case .timestamp(let value): timestamp(value)
        case .int32Array(let values): array(values, of: .int32, width: 4) { $0.integer($1) }
        case .int64Array(let values): array(values, of: .int64, width: 8) { $0.integer($1) }
        case .uint64Array(let values): array(values, of: .int64, width: 8) { $0.integer($1) }
        case .uuidArray(let values): array(values, of: .uuid, width: 16) { $0.integer($1) }
        case .bytesArray(let values):
            arrayHeader(.bytes, count: values.count, hasNulls: false)
            for value in values {
                integer(Int32(value.count))
                bytes.append(contentsOf: value)
            }
        case .textArray(let values):
            arrayHeader(.text, count: values.count, hasNulls: false)
            for value in values {
                integer(Int32(value.utf8.count))
                bytes.append(contentsOf: value.utf8)
            }
        case .timestampArray(let values):
            arrayHeader(.timestamp, count: values.count, hasNulls: values.contains(nil))
            for value in values {
                integer(Int32(value == nil ? -1 : 8))
                if let value { timestamp(value) }
            }
        }
        return true
    }

    private mutating func array<Element>(
        _ values: [Element], of type: PostgresType, width: Int32, _ append: (inout Self, Element) -> Void
    ) {
        arrayHeader(type, count: values.count, hasNulls: false)
        for value in values {
            integer(width)
            append(&self, value)
        }
    }

    /// Dimensions, whether there are nulls, the elements' type, then the length and the lower bound of the one
    /// dimension; an empty array has none.
    private mutating func arrayHeader(_ type: PostgresType, count: Int, hasNulls: Bool) {
        integer(Int32(count == 0 ? 0 : 1))
        integer(Int32(hasNulls ? 1 : 0))
        integer(type.oid)
        guard count > 0 else { return }
        integer(Int32(count))
        integer(Int32(1))
    }
}

/// Postgres counts microseconds from the year 2000.
enum PostgresTime {
    private static let epochMilliseconds: Int64 = 946_684_800_000

    /// What Postgres cannot hold becomes `infinity` or `-infinity`.
    static func microseconds(_ time: Timestamp) -> Int64 {
        let (milliseconds, isOutside) = time.milliseconds.subtractingReportingOverflow(epochMilliseconds)
        let (microseconds, isTooFar) = milliseconds.multipliedReportingOverflow(by: 1000)
        guard !isOutside, !isTooFar else { return time.milliseconds < 0 ? .min : .max }
        return microseconds
    }

    /// Rounded down to the millisecond; `infinity` becomes the last moment there is, `-infinity` the first.
    static func timestamp(_ microseconds: Int64) -> Timestamp {
        if microseconds == .max { return Timestamp(milliseconds: .max) }
        if microseconds == .min { return Timestamp(milliseconds: .min) }
        let (whole, rest) = microseconds.quotientAndRemainder(dividingBy: 1000)
        let milliseconds = rest < 0 ? whole - 1 : whole
        return Timestamp(milliseconds: milliseconds + epochMilliseconds)
    }
}

/// A statement's parameters, encoded: one buffer, and where in it each value lies.
struct EncodedParameters: Sendable {
    /// A value's place; length -1 is NULL.
    struct Place: Sendable {
        let offset: Int
        let length: Int
    }

    let bytes: [UInt8]
    let places: [Place]

    init(_ values: [PostgresValue]) {
        var writer = PostgresBinaryWriter()
        writer.reserve(values.reduce(0) { $0 + $1.sizeHint })
        places = values.map { value in
            let offset = writer.bytes.count
            let isPresent = writer.value(value)
            return Place(offset: offset, length: isPresent ? writer.bytes.count - offset : -1)
        }
        bytes = writer.bytes
    }
}

extension PostgresValue {
    /// About how many bytes the encoded value takes.
    var sizeHint: Int {
        switch self {
        case .null: 0
        case .bool, .int16, .int32, .int64, .uint64, .float8, .timestamp: 8
        case .uuid: 16
        case .text(let value): value.utf8.count
        case .bytes(let value): value.count
        case .int32Array(let values): 20 + 8 * values.count
        case .int64Array(let values): 20 + 12 * values.count
        case .uint64Array(let values): 20 + 12 * values.count
        case .timestampArray(let values): 20 + 12 * values.count
        case .uuidArray(let values): 20 + 20 * values.count
        case .bytesArray(let values): values.reduce(20) { $0 + 4 + $1.count }
        case .textArray(let values): values.reduce(20) { $0 + 4 + $1.utf8.count }
        }
    }
}
