// The thin wrapper over the SQLite library: a connection and its prepared statements. Not thread-safe; it lives on
// the journal's thread, inside the store.

import CSQLite
import Protocol

/// An open database. Every failure is a `JournalError` that says what was being done.
@safe
final class SQLiteConnection {
    private let handle: OpaquePointer
    private var statements: [String: OpaquePointer]

    init(path: String, vfs: String?) throws(JournalError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = unsafe sqlite3_open_v2(path, &opened, flags, vfs)
        guard code == SQLITE_OK, let handle = unsafe opened else {
            let text = "opening \(path): " + (unsafe String(cString: sqlite3_errstr(code)))
            unsafe sqlite3_close_v2(opened)
            throw Self.error(code, text)
        }
        unsafe self.handle = handle
        unsafe statements = [:]
        unsafe sqlite3_extended_result_codes(handle, 1)
    }

    deinit {
        while let next = unsafe statements.popFirst() { unsafe sqlite3_finalize(next.value) }
        unsafe sqlite3_close_v2(handle)
    }

    /// Whether a transaction is open.
    var inTransaction: Bool { unsafe sqlite3_get_autocommit(handle) == 0 }

    /// Rows that the newest statement changed.
    var changes: Int { unsafe Int(sqlite3_changes(handle)) }

    /// Runs statements without values; for settings, schema and transactions.
    func execute(_ sql: String) throws(JournalError) {
        let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, sql) }
    }

    /// A prepared statement, reset and with its values bound; prepared once per text.
    func prepare(_ sql: String, _ values: SQLiteValue...) throws(JournalError) -> SQLiteStatement {
        var statement = unsafe statements[sql]
        if unsafe statement == nil {
            let code = unsafe sqlite3_prepare_v3(
                handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
            guard code == SQLITE_OK else { throw failure(code, sql) }
            unsafe statements[sql] = statement
        }
        guard let statement = unsafe statement else { throw .io("no statement in: \(sql)") }
        unsafe sqlite3_reset(statement)
        let prepared = unsafe SQLiteStatement(handle: statement, connection: self, sql: sql)
        for (index, value) in values.enumerated() { try prepared.bind(Int32(index + 1), value) }
        return prepared
    }

    /// Runs a statement to its end.
    func run(_ statement: SQLiteStatement) throws(JournalError) {
        while try statement.step() {}
    }

    func failure(_ code: Int32, _ doing: String) -> JournalError {
        let message = unsafe String(cString: sqlite3_errmsg(handle))
        return Self.error(code, "\(message) (code \(code)) in: \(doing.prefix(80))")
    }

    private static func error(_ code: Int32, _ text: String) -> JournalError {
        switch code & 0xFF {
        case SQLITE_BUSY, SQLITE_LOCKED: .busy(text)
        case SQLITE_FULL: .full(text)
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH: .readOnly(text)
        default: .io(text)
        }
    }
}

/// A value to bind.
enum SQLiteValue {
    case integer(Int64)
    case bytes([UInt8])
    case null

    static func lsn(_ value: UInt64) -> SQLiteValue { .integer(Int64(bitPattern: value)) }

    static func id(_ value: UInt128) -> SQLiteValue {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16)
        for index in 0..<16 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt128(120 - 8 * index))) }
        return .bytes(bytes)
    }
}

/// A statement in use; the connection keeps it prepared.
@safe
struct SQLiteStatement {
    fileprivate let handle: OpaquePointer
    fileprivate let connection: SQLiteConnection
    fileprivate let sql: String

    fileprivate init(handle: OpaquePointer, connection: SQLiteConnection, sql: String) {
        unsafe self.handle = handle
        self.connection = connection
        self.sql = sql
    }

    fileprivate func bind(_ index: Int32, _ value: SQLiteValue) throws(JournalError) {
        let code: Int32
        switch value {
        case .integer(let integer): code = unsafe sqlite3_bind_int64(handle, index, integer)
        case .null: code = unsafe sqlite3_bind_null(handle, index)
        case .bytes(let bytes):
            // SQLITE_TRANSIENT: SQLite copies before the call returns, so the pointer need not outlive it.
            let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            code = unsafe bytes.withUnsafeBytes { buffer in
                guard let start = buffer.baseAddress else { return unsafe sqlite3_bind_zeroblob(handle, index, 0) }
                return unsafe sqlite3_bind_blob64(handle, index, start, UInt64(buffer.count), transient)
            }
        }
        guard code == SQLITE_OK else { throw connection.failure(code, sql) }
    }

    /// `true` with a row to read; `false` at the end, with the statement reset.
    func step() throws(JournalError) -> Bool {
        let code = unsafe sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        guard code == SQLITE_DONE else {
            let error = connection.failure(code, sql)
            unsafe sqlite3_reset(handle)
            throw error
        }
        unsafe sqlite3_reset(handle)
        return false
    }

    /// Ends a statement whose remaining rows are not wanted.
    func reset() { unsafe sqlite3_reset(handle) }

    func integer(_ column: Int32) -> Int64 { unsafe sqlite3_column_int64(handle, column) }

    func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }

    func isNull(_ column: Int32) -> Bool { unsafe sqlite3_column_type(handle, column) == SQLITE_NULL }

    func bytes(_ column: Int32) -> [UInt8] {
        // The blob stays valid until the next step; it is copied here.
        guard let start = unsafe sqlite3_column_blob(handle, column) else { return [] }
        let count = unsafe Int(sqlite3_column_bytes(handle, column))
        return unsafe Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// Sixteen bytes, most significant first; `nil` for any other length.
    func id(_ column: Int32) -> UInt128? { bytes(column).wideInteger }

    func campaign(_ column: Int32) -> CampaignID? {
        guard let bits = id(column), let uuid = UUIDv7(bits: bits) else { return nil }
        return CampaignID(uuid)
    }
}

extension [UInt8] {
    /// Sixteen bytes as one big-endian integer; `nil` for any other length.
    var wideInteger: UInt128? {
        guard count == 16 else { return nil }
        var value: UInt128 = 0
        for byte in self { value = value << 8 | UInt128(byte) }
        return value
    }
}
