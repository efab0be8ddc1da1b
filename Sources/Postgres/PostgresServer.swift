// A server inside the process, in place of one behind libpq: for simulations. Everything above the session is the same:
// queues, deadlines, transactions, the pool that connects again.

public import Platform

/// What takes connections in place of a server.
public protocol PostgresServer: Sendable {
    /// Opens a session; tells the outcome in a turn of the loop, or never.
    ///
    /// - Parameter onLost: to be called in a turn of the loop when the session breaks by itself.
    func connect(
        on loop: EventLoop, onLost: @escaping @Sendable (PostgresError) -> Void,
        completion: @escaping @Sendable (Result<any PostgresBackend, PostgresError>) -> Void)
}

/// One session; all calls are made on its loop.
public protocol PostgresBackend: AnyObject, Sendable {
    /// Runs a statement. Transactions begin and end by the statements `transaction.begin`, `transaction.commit` and
    /// `transaction.rollback`, whose results have the tags of their commands.
    ///
    /// - Parameter completion: called in a turn of the loop, or never.
    func run(
        _ statement: PostgresStatement, _ values: [PostgresValue],
        completion: @escaping @Sendable (Result<PostgresResult, PostgresError>) -> Void)
    /// The client hangs up.
    func close()
}

extension PostgresConnection {
    /// Opens a session at a server inside the process.
    func open(_ server: any PostgresServer, deadline: MonotonicTime) async throws(PostgresError) {
        let outcome: Result<any PostgresBackend, PostgresError> = unsafe await withUnsafeContinuation { continuation in
            let patience = loop.monotonic.nanoseconds(until: deadline)
            let attempt = unsafe Attempt(continuation)
            let timer = LoopTimer(on: loop) {
                attempt.end(.failure(PostgresError(.notSent, .deadline, "the server did not answer in time")))
            }
            timer.schedule(afterNanoseconds: patience)
            server.connect(
                on: loop, onLost: { [weak self] error in self?.assumeIsolated { $0.lose(error) } },
                completion: { outcome in
                    timer.close()
                    attempt.end(outcome)
                })
        }
        do throws(PostgresError) {
            let backend = try outcome.get()
            self.backend = backend
            if case .closed(let reason) = state {
                backend.close()
                throw reason
            }
        } catch {
            end(error)
            close()
            meter.update {
                $0.failedConnects += 1
                $0.lastError = error
            }
            throw error.with(.notSent)
        }
        state = .open
        meter.update {
            $0.connects += 1
            $0.connected += 1
            $0.lastError = nil
        }
    }

    /// An attempt that ends once.
    ///
    /// `@unchecked Sendable`: touched in turns of one loop alone.
    @safe private final class Attempt: @unchecked Sendable {
        private var continuation: UnsafeContinuation<Result<any PostgresBackend, PostgresError>, Never>?

        init(_ continuation: UnsafeContinuation<Result<any PostgresBackend, PostgresError>, Never>) {
            unsafe self.continuation = continuation
        }

        func end(_ outcome: Result<any PostgresBackend, PostgresError>) {
            guard let continuation = unsafe continuation else {
                // Too late: nobody waits any more.
                if case .success(let backend) = outcome { backend.close() }
                return
            }
            unsafe self.continuation = nil
            unsafe continuation.resume(returning: outcome)
        }
    }

    /// The answer of a session inside the process.
    func answered(_ id: UInt64, _ outcome: Result<PostgresResult, PostgresError>) {
        guard inFlight?.request.id == id else { return }
        switch outcome {
        case .success(let result): inFlight?.result = result
        case .failure(let error): inFlight?.error = error
        }
        commandEnded()
    }
}
