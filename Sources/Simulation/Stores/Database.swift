// The database that all simulated nodes share: sessions, transactions, row locks, and commits that take their time.
//
//   statement ─► locks, one after the other ─► rows as they are then ─► commit, later ─► tables, watcher, answer
//
// What each statement does is in `Database+…`; it is named there by the name that the shipped code gives it, and one
// that is not known ends the simulation.

import Platform
import Postgres
import Protocol

/// What a statement locks, and what it does once it has the locks.
struct DatabaseWork {
    var locks: [RowLock] = []
    let run: () -> (result: PostgresResult, writes: [TableWrite])
}

/// Told of what was committed.
protocol DatabaseWatcher: AnyObject {
    func rowCommitted(_ slot: Int32, _ lsn: UInt64, _ row: JournalRow, _ tables: Tables)
    func ownerChanged(_ slot: Int32, from: LeaseRow, to: LeaseRow, _ tables: Tables)
}

/// `@unchecked Sendable`: a world lives on one thread.
final class Database: @unchecked Sendable {
    static let port: UInt16 = 5432

    let world: World
    let network: Network
    let dice: Dice
    let host: Host
    let plant: Plant?
    let locks = RowLocks()
    var tables = Tables()
    weak var watcher: (any DatabaseWatcher)?
    /// Told of slots that are given to a node.
    var onCession: ((_ target: UInt128, _ slots: [Int32]) -> Void)?
    /// The newest answer about all slots.
    var knownHoldings: (version: UInt64, result: PostgresResult)?
    private var sessions: [ServerSession] = []
    private var lastTransaction: UInt64 = 0
    private var isAway = false
    /// Until when commits are slow, and how slow.
    private var stall: (until: UInt64, nanoseconds: UInt64) = (0, 0)
    /// Likewise, of the flushes of one machine.
    private var stuck: (machine: Int, until: UInt64, nanoseconds: UInt64) = (-1, 0, 0)

    init(_ world: World, _ network: Network, seed: UInt64, plant: Plant?) {
        self.world = world
        self.network = network
        self.plant = plant
        dice = Dice(seed: seed, use: 3)
        host = Host(world, network, machine: Host.database)
        let address = TCPAddress(bytes: host.address, port: Self.port)
        do throws(SystemError) {
            try network.listen(address, host, nil) { [weak self] side in self?.accept(side) }
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// The server as the sessions of one host reach it.
    func server(for host: Host) -> any PostgresServer { HostedServer(database: self, host: host) }

    private func accept(_ side: Side) {
        guard !isAway else { return side.close() }
        sessions.removeAll(where: \.isOver)
        sessions.append(ServerSession(self, side))
    }

    fileprivate func session(of side: Side) -> ServerSession? { sessions.last { $0.isAt(side) } }

    // MARK: - Trouble

    /// Commits take this much longer for a while.
    func slowDown(_ nanoseconds: UInt64, for duration: UInt64) { stall = (world.time + duration, nanoseconds) }

    /// The flushes of one machine take this much longer for a while, as where their processes stand still.
    func slowDown(flushesOf machine: Int, _ nanoseconds: UInt64, for duration: UInt64) {
        stuck = (machine, world.time + duration, nanoseconds)
    }

    /// Ends every session and takes no new ones until `comeBack`.
    func goAway() {
        isAway = true
        for session in sessions { session.end() }
        sessions = []
    }

    func comeBack() { isAway = false }

    /// Ends some sessions, as an administrator does.
    func endSome() { for session in sessions where dice.chance(40) { session.end() } }

    // MARK: - Work

    func nextTransaction() -> UInt64 {
        lastTransaction += 1
        return lastTransaction
    }

    func commitDelay(_ machine: Int, isFlush: Bool) -> UInt64 {
        let usual = dice.within(100_000...1_500_000)
        if isFlush, machine == stuck.machine, world.time < stuck.until {
            return usual + dice.within(0...stuck.nanoseconds)
        }
        guard world.time < stall.until else { return usual }
        return usual + dice.within(0...stall.nanoseconds)
    }

    func noteStatement(_ statement: PostgresStatement, of machine: Int) {
        world.note(.statement, Checksum.of(Array(statement.name.utf8)))
        world.onLine?("\(world.clockText) database: node-\(machine) says \(statement.name)")
    }

    func apply(_ writes: [TableWrite]) { for write in writes { write(&tables) } }

    func work(_ statement: PostgresStatement, _ values: [PostgresValue]) -> DatabaseWork {
        let work =
            nodeWork(statement.name, values) ?? wishWork(statement.name, values) ?? slotWork(statement.name, values)
            ?? journalWork(statement.name, values) ?? recoveryWork(statement.name, values)
        guard let work else { preconditionFailure("the simulated database does not know \(statement.name)") }
        return work
    }

    /// The server's clock.
    var now: Timestamp { world.wall }
}

/// The way of one host to the database.
private struct HostedServer: PostgresServer {
    let database: Database
    let host: Host

    func connect(
        on loop: EventLoop, onLost: @escaping @Sendable (PostgresError) -> Void,
        completion: @escaping @Sendable (Result<any PostgresBackend, PostgresError>) -> Void
    ) {
        let address = TCPAddress(bytes: database.host.address, port: Database.port)
        database.network.connect(from: host, to: address, on: loop) { outcome in
            switch outcome {
            case .failure(let error):
                completion(.failure(PostgresError(.notSent, .connecting, "\(error)")))
            case .success(let side):
                guard let server = database.session(of: side.peer) else {
                    side.close()
                    return completion(.failure(PostgresError(.notSent, .connecting, "the server is starting up")))
                }
                completion(.success(DatabaseSession(side, server, onLost: onLost)))
            }
        }
    }
}
