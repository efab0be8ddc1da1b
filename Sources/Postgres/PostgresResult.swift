// What a statement returned. The rows stay in libpq's memory; a value is copied at most once, when it is read.

internal import CPostgres

/// The rows of a statement, in binary form; a shared, immutable value that any thread may read.
public struct PostgresResult: Sendable {
    private let storage: ResultStorage

    init(_ storage: ResultStorage) { self.storage = storage }

    /// Rows made in the process, for a `PostgresServer`; each has a value for each column.
    public init(columns: [PostgresType] = [], rows: [[PostgresValue]] = [], tag: String) {
        storage = ResultStorage(columns, rows, tag)
    }

    /// Rows returned.
    public var rowCount: Int { storage.rowCount }
    /// Columns of each row.
    public var columnCount: Int { storage.columnCount }
    /// What the server says it did, as in `INSERT 0 3`.
    public var commandTag: String { storage.commandTag }
    /// Rows inserted, updated, deleted or selected.
    public var affectedRows: Int { commandTag.split(separator: " ").last.flatMap { Int($0) } ?? 0 }

    /// Whether the value is NULL.
    public func isNull(_ row: Int, _ column: Int) -> Bool {
        storage.check(row, column)
        return storage.isNull(row, column)
    }

    /// Lends the bytes of a value without copying them; empty for NULL.
    public func withBytes<Result>(_ row: Int, _ column: Int, _ body: (RawSpan) -> Result) -> Result {
        storage.check(row, column)
        return unsafe body(RawSpan(_unsafeBytes: storage.bytes(row, column)))
    }

    /// The value, which must be there and of that type.
    public func value<Value: PostgresDecodable>(
        _ row: Int, _ column: Int, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
        guard let value = try optional(row, column, as: type) else { throw unreadable(row, column, "is NULL") }
        return value
    }

    /// The value, which must be of that type; `nil` for NULL.
    public func optional<Value: PostgresDecodable>(
        _ row: Int, _ column: Int, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value? {
        guard row >= 0, row < rowCount, column >= 0, column < columnCount else {
            throw unreadable(row, column, "is not in the result")
        }
        guard !storage.isNull(row, column) else { return nil }
        let oid = storage.type(column)
        let decoded = withBytes(row, column) { Value.decode($0, type: PostgresType(oid: oid)) }
        guard let decoded else { throw unreadable(row, column, "has type \(oid), which is no \(Value.self)") }
        return decoded
    }

    private func unreadable(_ row: Int, _ column: Int, _ what: String) -> PostgresError {
        PostgresError(.unreadable, .decoding, "row \(row), column \(column) of \(rowCount) rows \(what)")
    }
}

/// The memory of a result.
///
/// `@unchecked Sendable`: libpq only reads a result that is complete, and so does everybody of one made here.
@safe final class ResultStorage: @unchecked Sendable {
    /// libpq's result; `nil` for one that was made here.
    private let handle: OpaquePointer?
    private let made: MadeResult?
    let rowCount: Int
    let columnCount: Int

    init(_ handle: OpaquePointer) {
        unsafe self.handle = handle
        made = nil
        rowCount = unsafe Int(PQntuples(handle))
        columnCount = unsafe Int(PQnfields(handle))
    }

    init(_ columns: [PostgresType], _ rows: [[PostgresValue]], _ tag: String) {
        unsafe handle = nil
        made = MadeResult(columns, rows, tag)
        rowCount = rows.count
        columnCount = columns.count
    }

    deinit { unsafe PQclear(handle) }

    var commandTag: String { made?.tag ?? (unsafe String(cString: PQcmdStatus(handle))) }

    func check(_ row: Int, _ column: Int) {
        precondition(
            row >= 0 && row < rowCount && column >= 0 && column < columnCount,
            "row \(row), column \(column) is not in a result of \(rowCount) rows")
    }

    func isNull(_ row: Int, _ column: Int) -> Bool {
        if let made { return made.place(row, column).length < 0 }
        return unsafe PQgetisnull(handle, Int32(row), Int32(column)) != 0
    }

    func type(_ column: Int) -> UInt32 {
        if let made { return made.columns[column].oid }
        return unsafe PQftype(handle, Int32(column))
    }

    /// Valid as long as this object.
    func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer {
        if let made { return unsafe made.bytes(row, column) }
        let count = unsafe Int(PQgetlength(handle, Int32(row), Int32(column)))
        return unsafe UnsafeRawBufferPointer(start: PQgetvalue(handle, Int32(row), Int32(column)), count: count)
    }
}

/// The memory of a result that was made in the process.
@safe private final class MadeResult {
    let columns: [PostgresType]
    let tag: String
    private let memory: UnsafeMutableRawBufferPointer
    private let places: [EncodedParameters.Place]

    init(_ columns: [PostgresType], _ rows: [[PostgresValue]], _ tag: String) {
        self.columns = columns
        self.tag = tag
        let encoded = EncodedParameters(rows.flatMap { $0 })
        precondition(encoded.places.count == rows.count * columns.count, "a row has not a value for each column")
        places = encoded.places
        unsafe memory = .allocate(byteCount: encoded.bytes.count, alignment: 1)
        unsafe memory.copyBytes(from: encoded.bytes)
    }

    deinit { unsafe memory.deallocate() }

    func place(_ row: Int, _ column: Int) -> EncodedParameters.Place { places[row * columns.count + column] }

    func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer {
        let place = place(row, column)
        return unsafe UnsafeRawBufferPointer(
            rebasing: memory[place.offset..<place.offset + max(0, place.length)])
    }
}
