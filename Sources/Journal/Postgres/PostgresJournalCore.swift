// The actor behind a `PostgresJournal`: what it holds of each slot, its lanes and its housekeeping.

import Platform
import Postgres
import Protocol

actor PostgresJournalCore {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
    nonisolated let pool: PostgresPool
    nonisolated let figures = Locked(JournalStatistics())

    enum Work: Sendable {
        case rows([SealedRow], @Sendable ([RowOutcome]) -> Void)
        case snapshot(SnapshotJob, @Sendable (SnapshotOutcome) -> Void)
        case removal(CampaignID, Slot, lsn: UInt64, epoch: UInt64, @Sendable (SnapshotOutcome) -> Void)
    }

    /// What this node holds of a slot.
    struct Held {
        let epoch: UInt64
        /// The newest lsn that is known to be committed.
        var tail: UInt64
        var recent = RecentVotes()
    }

    nonisolated let identity: NodeIdentity
    let options: PostgresJournalOptions
    let clock: any Clock
    let random: any RandomSource
    nonisolated var statements: PostgresStatements { options.statements }

    var slots: [Slot: Held] = [:]
    var lease: LeaseMachine {
        didSet { leaseDeadline.withLock { $0 = lease.deadline } }
    }
    /// What this node has seen of the others' leases.
    var watch = LapseWatch()
    /// The lease's deadline, for other threads.
    nonisolated let leaseDeadline = Locked<UInt64>(0)
    var lanes: [FlushLane] = []
    /// Outcomes that may not be told while the lease is suspended.
    var withheld: [@Sendable () -> Void] = []
    var waiting: [Work] = []
    var trims: [Slot] = []
    var maintaining: Task<Void, Never>?
    var isClosing = false
    private let inbox: Inbox<Work>
    private let connected: ConnectionHook
    private var pump: Task<Void, Never>?
    private var renewing: Task<Void, Never>?
    private let alarm: LoopAlarm

    init(
        _ configuration: PostgresConfiguration, identity: NodeIdentity, options: PostgresJournalOptions,
        clock: any Clock, random: any RandomSource, loop: EventLoop, inbox: Inbox<Work>
    ) {
        self.identity = identity
        self.options = options
        lease = LeaseMachine(ttl: options.leaseNanoseconds)
        self.clock = clock
        self.random = random
        self.loop = loop
        self.inbox = inbox
        alarm = LoopAlarm(on: loop)
        var pooling = PostgresPoolOptions()
        pooling.budget = options.budget
        pooling.readTimeoutMilliseconds = 10_000
        let notify = options.onNotice
        pooling.session.onNotice = { notify("\($0.severity) \($0.sqlState): \($0.message)") }
        let connected = ConnectionHook()
        self.connected = connected
        pooling.onConnected = { member, connection async throws(PostgresError) in
            try await connected.core.withLock { $0 }?.compareTails(member, connection)
        }
        pool = PostgresPool(configuration, options: pooling, on: loop, random: random)
        lanes = (0..<pool.plan.flushers.count).map { FlushLane(index: $0) }
    }

    /// A deadline so many nanoseconds from now.
    func deadline(_ nanoseconds: UInt64) -> MonotonicTime {
        MonotonicTime(nanoseconds: loop.monotonic.nanoseconds + nanoseconds)
    }

    // MARK: - Life

    func open() async throws(JournalError) {
        connected.core.withLock { $0 = self }
        await pool.start()
        let limit = deadline(10_000_000_000)
        do throws(PostgresError) {
            try await PostgresMigration.check(pool, deadline: limit)
            try await PostgresMigration.checkBudget(pool, connections: options.budget, deadline: limit)
            let address = try await advertised(deadline: limit)
            let sentAt = clock.monotonic().nanoseconds
            _ = try await pool.execute(
                .lease, LeaseStatements.take,
                [
                    .uuid(identity.incarnation), .text(identity.name), .text(address),
                    .float8(identity.weight), .float8(Double(lease.ttl) / 1e9),
                ], deadline: limit)
            lease.renewed(sentAt: sentAt, now: clock.monotonic().nanoseconds)
        } catch {
            await pool.close()
            connected.core.withLock { $0 = nil }
            alarm.close()
            throw JournalError(error)
        }
        pump = Task(executorPreference: loop) { await self.run() }
        renewing = Task(executorPreference: loop) { await self.renew() }
    }

    /// Where other nodes reach this one. Given as a port alone, it is that port at the address from which this node
    /// speaks to the database: the others speak to the same one.
    private func advertised(deadline: MonotonicTime) async throws(PostgresError) -> String {
        guard identity.address.hasPrefix(":"), let port = UInt16(identity.address.dropFirst()) else {
            return identity.address
        }
        let local = try await pool.withConnection(.lease, deadline: deadline) {
            connection async throws(PostgresError) in await connection.localAddress
        }
        return TCPAddress(bytes: local?.bytes ?? [127, 0, 0, 1], port: port).description
    }

    private func run() async {
        var recycled: [Work] = []
        while let batch = await inbox.next(recycling: recycled) {
            for work in batch {
                switch work {
                case .rows(let rows, let completion): enqueue(rows, completion)
                case .snapshot, .removal: waiting.append(work)
                }
            }
            startLanes()
            startMaintenance()
            recycled = batch
            recycled.removeAll(keepingCapacity: true)
        }
    }

    func close() async {
        await pump?.value
        isClosing = true
        for lane in lanes { await lane.task?.value }
        await maintaining?.value
        refuse(waiting, .unavailable("it is closed"))
        waiting = []
        alarm.ring()
        await renewing?.value
        if !lease.isLost {
            // Best effort: without it the next owner waits for the lease to lapse.
            _ = try? await pool.execute(
                .lease, LeaseStatements.release, [.uuid(identity.incarnation), .float8(Double(lease.ttl) / 1e9)],
                deadline: deadline(1_000_000_000))
        }
        tellWithheld()
        alarm.close()
        await pool.close()
        connected.core.withLock { $0 = nil }
    }

    func refuse(_ works: [Work], _ error: JournalError) {
        for work in works {
            switch work {
            case .rows: break
            case .snapshot(_, let completion), .removal(_, _, _, _, let completion): completion(.failed(error))
            }
        }
    }

    // MARK: - The lease

    private func renew() async {
        var pause = LeaseMachine.renewalInterval
        while !isClosing, !lease.isLost {
            await alarm.sleep(pause)
            guard !isClosing else { return }
            let sentAt = clock.monotonic().nanoseconds
            do throws(PostgresError) {
                let result = try await pool.execute(
                    .lease, LeaseStatements.renew,
                    [.uuid(identity.incarnation), .float8(Double(lease.ttl) / 1e9)],
                    deadline: deadline(lease.ttl))
                if result.rowCount == 1 {
                    lease.renewed(sentAt: sentAt, now: clock.monotonic().nanoseconds)
                    pause = LeaseMachine.renewalInterval
                    if holdsLease { tellWithheld() }
                } else {
                    loseLease()
                }
            } catch {
                lease.failed()
                pause = LeaseMachine.retryInterval
            }
        }
    }

    /// Read from the clock at this very moment.
    var holdsLease: Bool { lease.holds(at: clock.monotonic().nanoseconds) }

    private func loseLease() {
        lease.lost()
        slots = [:]
        options.onLeaseLost()
        tellWithheld()
    }

    /// Tells an outcome, once the node may show what depends on it.
    func tell(_ outcome: @escaping @Sendable () -> Void) {
        guard holdsLease || lease.isLost || isClosing else {
            withheld.append(outcome)
            return
        }
        outcome()
    }

    private func tellWithheld() {
        let outcomes = withheld
        withheld = []
        for outcome in outcomes { outcome() }
    }

    func becomeSoleNode() async throws(JournalError) {
        var rivals = Rivals()
        let patience = LoopAlarm(on: loop)
        defer { patience.close() }
        let limit = clock.monotonic().nanoseconds + 2 * lease.ttl + 1_000_000_000
        while true {
            let found = try await query(.lease, LeaseStatements.others, [me])
            try Self.reading { () throws(PostgresError) in try rivals.see(found) }
            if rivals.isAlone { return }
            if let name = rivals.winner { throw Self.inUse(by: name) }
            guard clock.monotonic().nanoseconds < limit else { throw Self.inUse(by: rivals.anyName) }
            // A lease that ends tells nobody: one has to look.
            await patience.sleep(200_000_000)
            _ = try await query(.lease, LeaseStatements.buryLapsed, [])
        }
    }

    private static func inUse(by name: String) -> JournalError {
        .unusable(
            "the database is in use by node \(name), which renews its lease: stop it, or choose another DATABASE_URL")
    }

    /// Runs one statement that may be run again.
    ///
    /// No 128-bit integer lives across an `await` here or in what calls this, and no closure carries one: async frames
    /// were seen to be resumed at address 0 then (Swift 6.3.1, debug builds). Ids travel in arrays of values.
    func query(
        _ role: PostgresRole, _ statement: PostgresStatement, _ values: [PostgresValue],
        within nanoseconds: UInt64 = 10_000_000_000
    ) async throws(JournalError) -> PostgresResult {
        do throws(PostgresError) {
            return try await pool.execute(role, statement, values, deadline: deadline(nanoseconds))
        } catch {
            throw JournalError(error)
        }
    }

    /// Reads a result.
    static func reading<Value>(_ body: () throws(PostgresError) -> Value) throws(JournalError) -> Value {
        do throws(PostgresError) { return try body() } catch { throw JournalError(error) }
    }

    /// This node, as a statement's value.
    var me: PostgresValue { .uuid(identity.incarnation) }
}

/// What is said about leases.
enum LeaseStatements {
    static let take = PostgresStatement(
        "lease.take", [.uuid, .text, .text, .float8, .float8],
        """
        INSERT INTO node_lease(incarnation, name, address, weight, started, expires)
        VALUES($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + make_interval(secs => $5))
        """)

    /// Tests `dead`, never `expires`: a lapsed lease is a node's own as long as nobody has buried it.
    static let renew = PostgresStatement(
        "lease.renew", [.uuid, .float8],
        """
        UPDATE node_lease SET expires = clock_timestamp() + make_interval(secs => $2)
        WHERE incarnation = $1 AND NOT dead RETURNING 1
        """)

    /// The last sign of life: like a renewal, so that `expires` tells of a dead node when it was last seen.
    static let release = PostgresStatement(
        "lease.release", [.uuid, .float8],
        """
        UPDATE node_lease SET dead = true, expires = clock_timestamp() + make_interval(secs => $2)
        WHERE incarnation = $1 AND NOT dead
        """)

    static let others = PostgresStatement(
        "lease.others", [.uuid],
        """
        SELECT o.incarnation, o.name, o.expires, (o.started, o.incarnation) < (m.started, m.incarnation)
        FROM node_lease o, node_lease m
        WHERE m.incarnation = $1 AND o.incarnation <> m.incarnation AND NOT o.dead ORDER BY o.started
        """)

    static let buryLapsed = PostgresStatement(
        "lease.bury", [], "UPDATE node_lease SET dead = true WHERE NOT dead AND expires < clock_timestamp()")
}

extension JournalError {
    /// What a failure of Postgres means to a caller of the journal.
    init(_ error: PostgresError) {
        if error.reason == .configuration || error.reason == .unsuitableServer {
            self = .unusable(error.message)
            return
        }
        switch error.sqlState {
        case "53100", "53200", "53400": self = .full(error.message)
        case "25006": self = .readOnly(error.message)
        case "55P03", "40P01", "40001": self = .busy(error.message)
        default:
            switch error.outcome {
            case .notSent: self = .unavailable(error.description)
            case .refusedByServer, .unknown, .unreadable: self = .io(error.description)
            }
        }
    }
}
