// The thin wrapper over libpq: one connection, only calls that do not block. Not thread-safe; it lives inside one
// `PostgresConnection`.

internal import CPostgres

/// A connection of libpq.
@safe
final class PQSession {
    /// What `poll` asks for.
    enum Progress {
        case reading, writing, connected, failed
    }

    /// What `nextResult` found.
    enum Step {
        /// More bytes are needed.
        case busy
        /// A statement's rows or its success.
        case result(PostgresResult)
        /// The server's refusal.
        case refusal(PostgresError)
        /// The command has ended.
        case finished
        /// COPY and the like, which nobody here asks for.
        case unexpected(String)
    }

    private let handle: OpaquePointer
    private let notices: NoticeSink
    private var isFinished = false

    /// Begins an attempt; `nil` where libpq has no memory. libpq must have nothing left to resolve.
    init?(_ parameters: [(keyword: String, value: String)], notices: NoticeSink) {
        let started = unsafe withStrings(parameters.map(\.keyword)) { keywords in
            unsafe withStrings(parameters.map(\.value)) { values in unsafe PQconnectStartParams(keywords, values, 0) }
        }
        guard let handle = unsafe started else { return nil }
        unsafe self.handle = handle
        self.notices = notices
        // libpq would print notices to standard error. The sink outlives the connection: it is held here.
        unsafe PQsetNoticeReceiver(
            handle,
            { context, result in
                guard let context = unsafe context else { return }
                let sink = unsafe Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue()
                sink.take(
                    PostgresNotice(
                        severity: unsafe PQSession.field(result, "V"), sqlState: unsafe PQSession.field(result, "C"),
                        message: unsafe PQSession.field(result, "M")))
            }, Unmanaged.passUnretained(notices).toOpaque())
    }

    deinit { finish() }

    /// Closes the socket. Whoever watches it must have stopped before.
    func finish() {
        guard !isFinished else { return }
        isFinished = true
        unsafe PQfinish(handle)
    }

    // MARK: - Connecting

    var isBad: Bool { unsafe isFinished || PQstatus(handle) == CONNECTION_BAD }

    /// The socket, which may be another one after each `poll`; `nil` where there is none.
    var descriptor: Int32? {
        guard !isFinished else { return nil }
        let descriptor = unsafe PQsocket(handle)
        return descriptor >= 0 ? descriptor : nil
    }

    func poll() -> Progress {
        switch unsafe PQconnectPoll(handle) {
        case PGRES_POLLING_READING: .reading
        case PGRES_POLLING_WRITING: .writing
        case PGRES_POLLING_OK: .connected
        default: .failed
        }
    }

    func becomeNonBlocking() -> Bool { unsafe PQsetnonblocking(handle, 1) == 0 }

    /// 150004 for 15.4.
    var serverVersion: Int { unsafe Int(PQserverVersion(handle)) }

    var backendID: Int32 { unsafe PQbackendPID(handle) }

    func setting(_ name: String) -> String? {
        unsafe PQparameterStatus(handle, name).map { unsafe String(cString: $0) }
    }

    /// libpq's words about the last failure.
    var errorMessage: String {
        let text = isFinished ? "" : unsafe String(cString: PQerrorMessage(handle))
        return text.isEmpty ? "the connection broke" : text
    }

    // MARK: - Commands

    func prepare(_ statement: PostgresStatement) -> Bool {
        let types = statement.parameters.map(\.oid)
        return unsafe PQsendPrepare(handle, statement.name, statement.sql, Int32(types.count), types) == 1
    }

    func run(_ statement: PostgresStatement, _ parameters: EncodedParameters) -> Bool {
        let lengths = parameters.places.map { Int32(max(0, $0.length)) }
        let formats = parameters.places.map { _ in Int32(1) }
        return unsafe parameters.bytes.withUnsafeBytes { buffer in
            // A present value of no bytes must not be a null pointer, which means NULL.
            let empty: StaticString = ""
            let values = unsafe parameters.places.map { place -> UnsafePointer<CChar>? in
                if place.length < 0 { return nil }
                guard place.length > 0, let start = buffer.baseAddress else {
                    return unsafe UnsafeRawPointer(empty.utf8Start).assumingMemoryBound(to: CChar.self)
                }
                return unsafe (start + place.offset).assumingMemoryBound(to: CChar.self)
            }
            return unsafe PQsendQueryPrepared(
                handle, statement.name, Int32(values.count), values, lengths, formats, 1) == 1
        }
    }

    func run(script: String) -> Bool { unsafe PQsendQuery(handle, script) == 1 }

    /// Sends what the socket takes: 0 all, 1 some is left, -1 the connection broke.
    func flush() -> Int32 { unsafe PQflush(handle) }

    /// Takes in what has arrived, while idle too; `false`: the connection broke.
    func consumeInput() -> Bool { unsafe PQconsumeInput(handle) == 1 }

    /// Lets libpq look at input that nobody asked for: notices, and the reason before a server hangs up.
    func digestIdleInput() {
        _ = unsafe PQisBusy(handle)
        while let notification = unsafe PQnotifies(handle) { unsafe PQfreemem(notification) }
    }

    func nextResult() -> Step {
        if unsafe PQisBusy(handle) != 0 { return .busy }
        guard let result = unsafe PQgetResult(handle) else { return .finished }
        let status = unsafe PQresultStatus(result)
        switch status {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            return unsafe .result(PostgresResult(ResultStorage(result)))
        case PGRES_FATAL_ERROR, PGRES_BAD_RESPONSE, PGRES_NONFATAL_ERROR:
            defer { unsafe PQclear(result) }
            return unsafe .refusal(Self.error(result))
        default:
            defer { unsafe PQclear(result) }
            return .unexpected(unsafe String(cString: PQresStatus(status)))
        }
    }

    private static func error(_ result: OpaquePointer) -> PostgresError {
        let sqlState = unsafe field(result, "C")
        let severity = unsafe field(result, "V")
        var message = unsafe field(result, "M")
        if message.isEmpty { message = unsafe String(cString: PQresultErrorMessage(result)) }
        // Without a code libpq itself speaks: the connection broke. A FATAL server is gone before it could say what
        // became of the transaction, and 40003 says in so many words that it does not know.
        let isOver = sqlState.isEmpty || severity == "FATAL" || severity == "PANIC" || sqlState == "40003"
        return PostgresError(
            isOver ? .unknown : .refusedByServer, sqlState.isEmpty ? .connectionLost : .server,
            sqlState: sqlState.isEmpty ? nil : sqlState, message)
    }

    private static func field(_ result: OpaquePointer?, _ code: Unicode.Scalar) -> String {
        unsafe PQresultErrorField(result, Int32(code.value)).map { unsafe String(cString: $0) } ?? ""
    }
}

/// Takes notices from inside libpq's calls.
final class NoticeSink {
    private let handler: @Sendable (PostgresNotice) -> Void
    /// Whether the server gave up waiting for its standby although the transaction is committed here: the success that
    /// follows does not mean what a success means.
    var hasLostStandby = false

    init(_ handler: @escaping @Sendable (PostgresNotice) -> Void) { self.handler = handler }

    fileprivate func take(_ notice: PostgresNotice) {
        if notice.severity == "WARNING", ["57014", "57P01"].contains(notice.sqlState) { hasLostStandby = true }
        handler(notice)
    }
}

/// Lends C strings in an array that ends in a null pointer.
private func withStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
) -> Result {
    var bytes: [CChar] = []
    var offsets: [Int] = []
    for string in strings {
        offsets.append(bytes.count)
        bytes.append(contentsOf: string.utf8.map { CChar(bitPattern: $0) })
        bytes.append(0)
    }
    return unsafe bytes.withUnsafeBufferPointer { buffer in
        var pointers = unsafe offsets.map { offset in unsafe buffer.baseAddress.map { unsafe $0 + offset } }
        unsafe pointers.append(nil)
        return unsafe pointers.withUnsafeBufferPointer { unsafe body($0.baseAddress.unsafelyUnwrapped) }
    }
}
