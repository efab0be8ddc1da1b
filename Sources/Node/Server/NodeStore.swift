// The journal that the configuration asks for: a file in the data folder, or a database that nodes share.

import Journal
import Platform
import Postgres
import Protocol

enum NodeStore: Sendable {
    /// The lock is held as long as the journal is used.
    case embedded(SQLiteJournal, DataLock)
    case database(PostgresJournal)

    var journal: any Journal {
        switch self {
        case .embedded(let journal, _): journal
        case .database(let journal): journal
        }
    }

    /// Figures of the connections to the database.
    var connections: PostgresStatistics? {
        switch self {
        case .embedded: nil
        case .database(let journal): journal.connections
        }
    }

    /// - Parameters:
    ///   - onLeaseLost: the node was declared dead and must end.
    ///   - onSlotLost: the database lost rows of a slot, which must be opened anew.
    init(
        _ configuration: NodeConfiguration, _ surroundings: NodeSurroundings = NodeSurroundings(), log: Log,
        onLeaseLost: @escaping @Sendable () -> Void = {}, onSlotLost: @escaping @Sendable (Slot) -> Void = { _ in }
    ) throws(JournalError) {
        let (clock, random) = (surroundings.clock, surroundings.random)
        if let database = configuration.database {
            var options = PostgresJournalOptions()
            options.budget = configuration.databaseConnections
            options.loopDriver = surroundings.loopDriver
            options.beside = surroundings.beside
            options.onLeaseLost = onLeaseLost
            options.onSlotLost = { loss in
                log.error(
                    "journal.rows_lost",
                    [
                        ("slot", .integer(Int(loss.slot.index))), ("first_lsn", .integer(Int(loss.lsns.lowerBound))),
                        ("last_lsn", .integer(Int(loss.lsns.upperBound))), ("votes", .integer(Int(loss.votes))),
                        (
                            "reason",
                            .string(
                                "the database has an older state than was acknowledged"
                                    + (loss.isAtLeast ? "; more votes than these are gone" : ""))
                        ),
                    ])
                onSlotLost(loss.slot)
            }
            options.onNotice = { log.warn("database.notice", [("notice", .string($0))]) }
            let identity = NodeIdentity(
                incarnation: random.next128(), name: configuration.nodeName,
                // Without a host it is the one from which this node speaks to the database.
                address: configuration.cluster.map { $0.advertise ?? ":\($0.listen.port)" } ?? "",
                weight: configuration.cluster?.weight ?? 1)
            self = .database(
                PostgresJournal(database, identity: identity, options: options, clock: clock, random: random))
            return
        }
        if let reason = DataFolder.create(configuration.dataFolder) { throw .unusable(reason) }
        let lock = try DataLock(folder: configuration.dataFolder)
        let journal = try SQLiteJournal(
            folder: configuration.dataFolder, now: { clock.now() }, nanoseconds: { clock.monotonic().nanoseconds })
        self = .embedded(journal, lock)
    }

    /// Notes how slots changed hands, where that is recorded.
    func note(_ reports: [HandOffReport], log: Log) async {
        guard case .database(let journal) = self else { return }
        do throws(JournalError) { try await journal.note(reports) } catch {
            log.warn("slots.changes_not_noted", [("reason", .string("\(error)"))])
        }
    }

    /// Connects where there is something to connect to. Returns once this node may claim slots; of a database it is
    /// then the only node, unless it is one of a cluster.
    func open(isAlone: Bool) async throws(JournalError) {
        switch self {
        case .embedded: break
        case .database(let journal):
            try await journal.open()
            guard isAlone else { return }
            do throws(JournalError) {
                try await journal.becomeSoleNode()
            } catch {
                await journal.close()
                throw error
            }
        }
    }
}
