// One connection to Postgres, driven by one loop.
//
//   new ──open──► opening: for each server: resolve ─► libpq's handshake ─► session settings and checks
//                    │ the first that suits                      │ none
//                    ▼                                           ▼
//                  open ──deadline, broken, close──────────► closed
//
// One statement is in flight at a time, the others wait in a queue. Nothing here blocks, and nothing is ever
// cancelled on the server: a passed deadline closes the connection, after which nobody knows what became of the
// statement in flight, and nothing that waited has been sent.

public import Platform

/// A connection. It must be closed, also after it broke, or the loop does not end.
public actor PostgresConnection {
    /// The loop it lives on.
    public nonisolated let loop: EventLoop
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    enum State {
        case new
        case opening
        case open
        case closed(PostgresError)
    }

    /// The statement that was sent.
    struct InFlight {
        let request: Request
        let startedAt: MonotonicTime
        /// The statement itself has not left yet: the server is still preparing it.
        var isPreparing: Bool
        var result: PostgresResult?
        var error: PostgresError?
    }

    let configuration: PostgresConfiguration
    let options: PostgresSessionOptions
    let resolver: AddressResolver
    let meter: PostgresMeter
    private let onLost: @Sendable (PostgresError) -> Void

    var state = State.new
    var session: PQSession?
    /// In place of the session, at a server inside the process.
    var backend: (any PostgresBackend)?
    var sink: NoticeSink?
    var poll: PollHandle?
    var handshake: CheckedContinuation<PostgresError?, Never>?
    var timer: LoopTimer?
    var armedFor: MonotonicTime?
    var inFlight: InFlight?
    var queue = RequestQueue()
    /// Statements that this session has prepared.
    var prepared: [String: PostgresStatement] = [:]
    /// Statements sent so far.
    var sentCount = 0
    private var lastID: UInt64 = 0

    /// Makes a connection that is not open.
    ///
    /// - Parameters:
    ///   - resolver: lives on the same loop.
    ///   - meter: where it counts.
    ///   - onLost: called on the loop, once, when a connection that was open breaks; not after `close`.
    public init(
        _ configuration: PostgresConfiguration, options: PostgresSessionOptions = PostgresSessionOptions(),
        on loop: EventLoop, resolver: AddressResolver, meter: PostgresMeter = PostgresMeter(),
        onLost: @escaping @Sendable (PostgresError) -> Void = { _ in }
    ) {
        precondition(resolver.loop === loop, "the resolver lives on another loop")
        self.configuration = configuration
        self.options = options
        self.loop = loop
        self.resolver = resolver
        self.meter = meter
        self.onLost = onLost
    }

    var hasSession: Bool { session != nil || backend != nil }

    /// Whether statements are taken.
    public var isOpen: Bool { if case .open = state { true } else { false } }

    /// The server's process of this connection, as in `pg_stat_activity`; 0 where there is none.
    public var backendID: Int32 { session?.backendID ?? 0 }

    /// The server's version, as in 150004 for 15.4; 0 where there is no connection.
    public var serverVersion: Int { session?.serverVersion ?? 0 }

    /// This machine's end of the connection; `nil` over a Unix socket, and where there is no connection.
    public var localAddress: TCPAddress? { session?.descriptor.flatMap { TCPAddress(ofSocket: $0) } }

    // MARK: - Statements

    /// Runs a statement and waits for its answer. Cancelling the task changes nothing: the answer or the deadline ends
    /// the wait.
    ///
    /// - Parameter deadline: passed in the queue, the statement fails `notSent`; passed in flight, the connection is
    ///   closed and the statement fails `unknown`.
    public func execute(
        _ statement: PostgresStatement, _ values: [PostgresValue] = [], deadline: MonotonicTime
    ) async throws(PostgresError) -> PostgresResult {
        try await run(statement, values, transaction: nil, deadline: deadline)
    }

    /// Runs statements without values, several in one text (one implicit transaction, unless the text says otherwise);
    /// for schemas. Their rows are dropped.
    public func run(script: String, deadline: MonotonicTime) async throws(PostgresError) {
        guard !script.utf8.contains(0) else {
            throw PostgresError(.notSent, .configuration, "the script holds a zero byte")
        }
        _ = try await submit(.script(script), transaction: nil, deadline: deadline)
    }

    /// Runs `body` between BEGIN and COMMIT, alone on this connection: statements of others wait until it is over.
    ///
    /// An error of `body` rolls back and is thrown on; its outcome is then at worst `notSent`, since nothing was
    /// committed. An error of COMMIT is thrown as it is. `body` must use what it is given, and nothing else of this
    /// connection.
    public func transaction<Value: Sendable>(
        deadline: MonotonicTime,
        _ body: @Sendable (PostgresTransaction) async throws(PostgresError) -> Value
    ) async throws(PostgresError) -> Value {
        let id = nextID()
        _ = try await submit(.reservation, id: id, transaction: nil, deadline: deadline)
        defer {
            release(id)
            startNext()
        }
        let transaction = PostgresTransaction(connection: self, id: id)
        _ = try await run(.begin, [], transaction: id, deadline: deadline)
        let value: Value
        do throws(PostgresError) {
            value = try await body(transaction)
        } catch {
            await rollBack(id, deadline: deadline)
            throw error.outcome == .unknown ? error.with(.notSent) : error
        }
        do throws(PostgresError) {
            let answer = try await run(.commit, [], transaction: id, deadline: deadline)
            guard answer.commandTag == "COMMIT" else {
                throw PostgresError(
                    .refusedByServer, .server, sqlState: "25P02",
                    "the transaction was rolled back: a statement in it had failed")
            }
        } catch {
            // A transaction may not stay open behind everyone's back.
            if error.outcome == .notSent { lose(error) }
            throw error
        }
        return value
    }

    private func rollBack(_ id: UInt64, deadline: MonotonicTime) async {
        guard isOpen else { return }
        do throws(PostgresError) {
            _ = try await run(.rollback, [], transaction: id, deadline: deadline)
        } catch {
            lose(error)
        }
    }

    func run(
        _ statement: PostgresStatement, _ values: [PostgresValue], transaction: UInt64?, deadline: MonotonicTime
    ) async throws(PostgresError) -> PostgresResult {
        if let mismatch = statement.mismatch(values) { throw PostgresError(.notSent, .configuration, mismatch) }
        let command = Request.Command.statement(statement, values)
        guard let result = try await submit(command, transaction: transaction, deadline: deadline) else {
            throw PostgresError(.unknown, .server, "\(statement.name) was answered without a result")
        }
        return result
    }

    private func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    private func submit(
        _ command: Request.Command, id: UInt64? = nil, transaction: UInt64?, deadline: MonotonicTime
    ) async throws(PostgresError) -> PostgresResult? {
        let id = id ?? nextID()
        let answer: Result<PostgresResult?, PostgresError> = await withCheckedContinuation { continuation in
            // Looked at here, not before: other calls may have come in between.
            if let refusal = refusal() { return continuation.resume(returning: .failure(refusal)) }
            let request = Request(
                id: id, command: command, transaction: transaction, deadline: deadline, continuation: continuation)
            guard queue.append(request) else {
                return continuation.resume(returning: .failure(Self.transactionIsOver))
            }
            meter.update { $0.queued += 1 }
            startNext()
            if inFlight?.request.id != id { arm(deadline) }
        }
        return try answer.get()
    }

    /// Why nothing can be taken now.
    private func refusal() -> PostgresError? {
        switch state {
        case .new: return PostgresError(.notSent, .closed, "the connection was never opened")
        case .closed(let error): return error.with(.notSent)
        case .opening, .open: break
        }
        guard hasSession else { return PostgresError(.notSent, .connecting, "there is no session yet") }
        guard queue.count < options.queuedStatementsLimit, queue.byteCount <= options.queuedBytesLimit else {
            return PostgresError(.notSent, .overloaded, "too much waits on one connection")
        }
        return nil
    }

    static let transactionIsOver = PostgresError(
        .notSent, .closed, "the statement belongs to a transaction that is over")

    // MARK: - The end

    /// Closes at once, in any state, safe to repeat: a statement in flight fails `unknown`, those that wait `notSent`.
    public func close() {
        end(PostgresError(.unknown, .closed, "this side closed the connection"))
        timer?.close()
        timer = nil
    }

    /// The connection is of no use any more.
    func lose(_ error: PostgresError) {
        let wasOpen = isOpen
        if case .opening = state {
            // The attempt failed; another server may do.
            return abandonSession(error)
        }
        end(error)
        guard wasOpen else { return }
        meter.update {
            $0.losses += 1
            $0.lastError = error
        }
        timer?.close()
        timer = nil
        onLost(error)
    }

    func end(_ error: PostgresError) {
        if case .closed = state { return }
        if isOpen { meter.update { $0.connected -= 1 } }
        state = .closed(error)
        abandonSession(error)
    }

    /// Closes the socket and answers everyone. The watch ends before libpq closes what is watched.
    func abandonSession(_ error: PostgresError) {
        poll?.close()
        poll = nil
        session?.finish()
        session = nil
        backend?.close()
        backend = nil
        sink = nil
        prepared = [:]
        if let handshake {
            self.handshake = nil
            handshake.resume(returning: error.with(.notSent))
        }
        if let current = inFlight {
            inFlight = nil
            let outcome: PostgresError.Outcome = current.isPreparing ? .notSent : .unknown
            answer(current, .failure(error.with(outcome)))
        }
        let waiting = queue.takeAll()
        guard !waiting.isEmpty else { return }
        meter.update { $0.queued -= waiting.count }
        for request in waiting { request.continuation.resume(returning: .failure(error.with(.notSent))) }
    }
}

/// The sole use of a connection between BEGIN and COMMIT.
public struct PostgresTransaction: Sendable {
    let connection: PostgresConnection
    let id: UInt64

    /// As `PostgresConnection.execute`. After a refusal the server takes nothing more: let the error out.
    public func execute(
        _ statement: PostgresStatement, _ values: [PostgresValue] = [], deadline: MonotonicTime
    ) async throws(PostgresError) -> PostgresResult {
        try await connection.run(statement, values, transaction: id, deadline: deadline)
    }
}

extension PostgresStatement {
    static let begin = PostgresStatement("transaction.begin", [], "BEGIN")
    static let commit = PostgresStatement("transaction.commit", [], "COMMIT")
    static let rollback = PostgresStatement("transaction.rollback", [], "ROLLBACK")
}
