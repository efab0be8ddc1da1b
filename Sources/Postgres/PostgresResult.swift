// What a statement returned. The rows stay in libpq's memory; a value is copied at most once, when it is read.

internal import CPostgres

/// The rows of a statement, in binary form; a shared, immutable value that any thread may read.
public struct PostgresResult: Sendable {
    private let storage: ResultStorage

    init(_ storage: ResultStorage) { self.storage = storage }

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
/// `@unchecked Sendable`: libpq only reads a result that is complete.
@safe final class ResultStorage: @unchecked Sendable {
    private let handle: OpaquePointer
    let rowCount: Int
    let columnCount: Int

    init(_ handle: OpaquePointer) {
        unsafe self.handle = handle
        rowCount = unsafe Int(PQntuples(handle))
        columnCount = unsafe Int(PQnfields(handle))
    }

    deinit { unsafe PQclear(handle) }

    var commandTag: String { unsafe String(cString: PQcmdStatus(handle)) }

    func check(_ row: Int, _ column: Int) {
        precondition(
            row >= 0 && row < rowCount && column >= 0 && column < columnCount,
            "row \(row), column \(column) is not in a result of \(rowCount) rows")
    }

    func isNull(_ row: Int, _ column: Int) -> Bool { unsafe PQgetisnull(handle, Int32(row), Int32(column)) != 0 }

    func type(_ column: Int) -> UInt32 { unsafe PQftype(handle, Int32(column)) }

    /// Valid as long as this object.
    func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer {
        let count = unsafe Int(PQgetlength(handle, Int32(row), Int32(column)))
        return unsafe UnsafeRawBufferPointer(start: PQgetvalue(handle, Int32(row), Int32(column)), count: count)
    }
}
