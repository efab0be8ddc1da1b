// A session of the simulated database: statements come by a connection of the network, one at a time, and so do the
// answers. A session whose client is gone lets a statement that has all its locks come to its commit all the same.

import Platform
import Postgres

/// The client's side.
///
/// `@unchecked Sendable`: a world lives on one thread.
final class DatabaseSession: PostgresBackend, @unchecked Sendable {
    typealias Completion = @Sendable (Result<PostgresResult, PostgresError>) -> Void

    private let side: Side
    private let server: ServerSession

    init(_ side: Side, _ server: ServerSession, onLost: @escaping @Sendable (PostgresError) -> Void) {
        self.side = side
        self.server = server
        side.onParcel = { parcel in
            switch parcel {
            case .call(let body): body()
            case .bytes: break
            case .end, .broken:
                onLost(PostgresError(.unknown, .connectionLost, "server closed the connection unexpectedly"))
            }
        }
    }

    func run(_ statement: PostgresStatement, _ values: [PostgresValue], completion: @escaping Completion) {
        let server = server
        side.send(.call { server.execute(statement, values, completion) })
    }

    func close() { side.close() }
}

/// The server's side.
///
/// `@unchecked Sendable`: a world lives on one thread.
final class ServerSession: @unchecked Sendable {
    let database: Database
    private let side: Side
    /// The open transaction of several statements.
    private var transaction: Transaction?
    /// The statement that waits for locks.
    private var waiting: Transaction?
    private(set) var isOver = false

    init(_ database: Database, _ side: Side) {
        self.database = database
        self.side = side
        side.onParcel = { [weak self] parcel in
            switch parcel {
            case .call(let body): body()
            case .bytes: break
            case .end, .broken: self?.hungUp()
            }
        }
    }

    func isAt(_ side: Side) -> Bool { self.side === side }

    /// The client is gone: what has not come to its commit never will.
    private func hungUp() {
        guard !isOver else { return }
        isOver = true
        waiting?.abort()
        transaction?.abort()
        transaction = nil
        side.close()
    }

    /// The server ends the session.
    func end() {
        guard !isOver else { return }
        isOver = true
        waiting?.abort()
        transaction?.abort()
        transaction = nil
        side.close()
    }

    func execute(
        _ statement: PostgresStatement, _ values: [PostgresValue], _ completion: @escaping DatabaseSession.Completion
    ) {
        guard !isOver else { return }
        database.noteStatement(statement, of: side.peer.host.machine)
        switch statement.name {
        case "transaction.begin":
            transaction = Transaction(database, side.peer.host.machine)
            answer(.success(PostgresResult(tag: "BEGIN")), completion)
        case "transaction.commit":
            guard let open = transaction else { return answer(.success(PostgresResult(tag: "COMMIT")), completion) }
            transaction = nil
            open.commit { [self] in answer(.success(PostgresResult(tag: "COMMIT")), completion) }
        case "transaction.rollback":
            transaction?.abort()
            transaction = nil
            answer(.success(PostgresResult(tag: "ROLLBACK")), completion)
        default: run(statement, values, completion)
        }
    }

    private func run(
        _ statement: PostgresStatement, _ values: [PostgresValue], _ completion: @escaping DatabaseSession.Completion
    ) {
        let work = database.work(statement, values)
        let transaction = transaction ?? Transaction(database, side.peer.host.machine)
        transaction.isFlush = statement.name == "journal.flush"
        let isAlone = self.transaction == nil
        waiting = transaction
        transaction.lock(work.locks) { [self] isGranted in
            waiting = nil
            guard isGranted else {
                transaction.abort()
                if !isAlone { self.transaction = nil }
                return answer(
                    .failure(
                        PostgresError(
                            .refusedByServer, .server, sqlState: "55P03", "canceling statement due to lock timeout")),
                    completion)
            }
            let output = work.run()
            transaction.writes += output.writes
            guard isAlone, !output.writes.isEmpty else {
                if isAlone { transaction.abort() }
                return answer(.success(output.result), completion)
            }
            if database.plant == .ackBeforeCommit {
                answer(.success(output.result), completion)
                return transaction.commit {}
            }
            transaction.commit { [self] in answer(.success(output.result), completion) }
        }
    }

    private func answer(
        _ outcome: Result<PostgresResult, PostgresError>, _ completion: @escaping DatabaseSession.Completion
    ) {
        guard !isOver else { return }
        database.world.after(database.dice.within(20_000...300_000)) { [self] in
            guard !isOver else { return }
            side.send(.call { completion(outcome) })
        }
    }
}

/// A transaction: its locks, and what it will have written.
///
/// `@unchecked Sendable`: a world lives on one thread.
final class Transaction: @unchecked Sendable {
    private let database: Database
    private let id: UInt64
    private var awaited: RowKey?
    private var onLocked: ((Bool) -> Void)?
    private var isOver = false
    var writes: [TableWrite] = []

    /// The machine of the client, and whether it flushes its journal.
    private let machine: Int
    var isFlush = false

    init(_ database: Database, _ machine: Int) {
        self.database = database
        self.machine = machine
        id = database.nextTransaction()
    }

    /// Locks rows one after the other; `false` where one could not be had within `lock_timeout`.
    func lock(_ locks: [RowLock], _ done: @escaping (Bool) -> Void) {
        guard !isOver else { return }
        var rest = locks[...]
        while let next = rest.popFirst() {
            let left = Array(rest)
            let isLocked = database.locks.acquire(next, for: id) { [weak self] in
                guard let self, !isOver else { return }
                awaited = nil
                onLocked = nil
                lock(left, done)
            }
            guard isLocked else {
                awaited = next.key
                onLocked = done
                return giveUpLater(next.key)
            }
        }
        done(true)
    }

    private func giveUpLater(_ key: RowKey) {
        database.world.after(Span.seconds(5)) { [weak self] in
            guard let self, !isOver, awaited == key, let onLocked else { return }
            self.onLocked = nil
            onLocked(false)
        }
    }

    /// Writes, some time from now, and then calls `done`.
    func commit(_ done: @escaping @Sendable () -> Void) {
        guard !isOver else { return }
        database.world.after(database.commitDelay(machine, isFlush: isFlush)) { [self] in
            guard !isOver else { return }
            isOver = true
            database.apply(writes)
            database.locks.release(id)
            done()
        }
    }

    func abort() {
        guard !isOver else { return }
        isOver = true
        database.locks.release(id, waitingFor: awaited)
    }
}
