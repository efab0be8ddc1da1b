// The journal in Postgres, for nodes that share one.
//
//   shards ── submit ──► inbox ──► lanes, one per flush connection ──► one fenced statement with everything queued
//                                        │ rows that it did not return are looked up: ours, or fenced
//          ◄── outcomes, once per batch ─┘
//
// Everything here lives on one loop of its own, together with its connections. A slot always goes by the same lane, so
// that its rows reach the server in order and one flush of it is in flight.

public import Platform
public import Postgres
public import Protocol

/// Who this process is among the nodes that share a database.
public final class NodeIdentity: Sendable {
    /// Random, new with each process.
    public let incarnation: UInt128
    /// Stable over restarts.
    public let name: String
    /// `host:port` that other nodes dial; `:port` for the address from which this node speaks to the server; empty
    /// for a node alone.
    public let address: String
    /// Share of slots.
    public let weight: Double

    /// Takes the parts.
    public init(incarnation: UInt128, name: String, address: String = "", weight: Double = 1) {
        self.incarnation = incarnation
        self.name = name
        self.address = address
        self.weight = weight
    }
}

/// What a journal in Postgres is to do.
public struct PostgresJournalOptions: Sendable {
    /// Connections in all.
    public var budget = 4
    /// Called once, when the node was declared dead: it must end, others may own its slots.
    public var onLeaseLost: @Sendable () -> Void = {}
    /// Told of a slot whose newest committed rows the server does not have any more: it is no longer held, and must be
    /// claimed and recovered anew.
    public var onSlotLost: @Sendable (SlotLoss) -> Void = { _ in }
    /// Told of what the operator should see.
    public var onNotice: @Sendable (String) -> Void = { _ in }
    /// Turns the journal's loop, in a simulation; `nil` gives it a thread of its own.
    public var loopDriver: (any LoopDriver)?
    /// Where what takes long runs beside the loop; `nil` is the pool of the process.
    public var beside: (any TaskExecutor)?

    var statements = PostgresStatements()
    /// How long the node's lease lasts without a renewal.
    var leaseNanoseconds = LeaseMachine.ttl
    /// How long a flush may take before its connection is given up and its outcome is unknown.
    var flushNanoseconds: UInt64 = 5_000_000_000

    /// The defaults.
    public init() {}
}

/// `Journal` in Postgres. `open` first, `close` at the end.
public final class PostgresJournal: Journal {
    /// Rows and payload bytes that may wait; beyond, `submit` refuses.
    static let queuedRowsLimit = 65_536
    static let queuedBytesLimit = 256 << 20
    /// Snapshots and removals that may wait.
    static let maintenanceLimit = 8_192

    let core: PostgresJournalCore
    private let group: LoopGroup
    private let inbox: Inbox<PostgresJournalCore.Work>
    private let load = Locked(Load())

    struct Load {
        var rows = 0
        var bytes = 0
        var maintenance = 0
        var isClosed = false
    }

    /// Makes a journal that is not connected.
    public init(
        _ configuration: PostgresConfiguration, identity: NodeIdentity,
        options: PostgresJournalOptions = PostgresJournalOptions(), clock: any Clock = SystemClock(),
        random: any RandomSource = SystemRandom()
    ) {
        group = LoopGroup(count: 1, name: "journal", driver: options.loopDriver)
        inbox = Inbox(limit: Self.queuedRowsLimit + Self.maintenanceLimit)
        core = PostgresJournalCore(
            configuration, identity: identity, options: options, clock: clock, random: random, loop: group.loops[0],
            inbox: inbox)
    }

    /// Connects, checks server and schema, and takes the node's lease. It keeps itself connected from then on.
    /// - Throws: `unavailable` where the server cannot be reached within 10 s, `newerSchema` and `olderSchema` where
    ///   the schema is not this program's.
    public func open() async throws(JournalError) { try await core.open() }

    /// For a node that shares its database with no other: waits until every other lease has lapsed, at most its time
    /// to live and a second.
    /// - Throws: `locked` where another node renews its lease meanwhile.
    public func becomeSoleNode() async throws(JournalError) { try await core.becomeSoleNode() }

    /// Who this node is.
    public var identity: NodeIdentity { core.identity }

    /// Until when this node may show what it owns, in monotonic nanoseconds; 0 once it was declared dead. After it
    /// another node may own its slots. Asked from any thread.
    public var leaseDeadline: UInt64 { core.leaseDeadline.withLock { $0 } }

    /// Figures of the connections.
    public var connections: PostgresStatistics { core.pool.statistics }

    /// See `Journal`.
    public func claim(_ slots: [Slot]) async throws(JournalError) -> [SlotClaim] { try await core.claim(slots) }

    /// See `Journal`.
    public func submit(_ rows: [SealedRow], completion: @escaping @Sendable ([RowOutcome]) -> Void) -> Bool {
        guard !rows.isEmpty else {
            completion([])
            return true
        }
        var size = 0
        for row in rows { size += row.payload.count }
        let (count, bytes) = (rows.count, size)
        let isTaken = load.withLock { load in
            guard !load.isClosed, load.rows + count <= Self.queuedRowsLimit,
                load.bytes + bytes <= Self.queuedBytesLimit
            else { return false }
            load.rows += count
            load.bytes += bytes
            return true
        }
        guard isTaken else { return false }
        return inbox.post(
            .rows(rows) { [self] outcomes in
                load.withLock { load in
                    load.rows -= count
                    load.bytes -= bytes
                }
                completion(outcomes)
            })
    }

    /// See `Journal`.
    public func submitSnapshot(_ job: SnapshotJob, completion: @escaping @Sendable (SnapshotOutcome) -> Void) {
        submit(completion) { .snapshot(job, $0) }
    }

    /// See `Journal`.
    public func removeCampaign(
        _ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64,
        completion: @escaping @Sendable (SnapshotOutcome) -> Void
    ) {
        submit(completion) { .removal(campaign, slot, lsn: lsn, epoch: epoch, $0) }
    }

    private func submit(
        _ completion: @escaping @Sendable (SnapshotOutcome) -> Void,
        _ work: (@escaping @Sendable (SnapshotOutcome) -> Void) -> PostgresJournalCore.Work
    ) {
        let isTaken = load.withLock { load in
            guard !load.isClosed, load.maintenance < Self.maintenanceLimit else { return false }
            load.maintenance += 1
            return true
        }
        let counted: @Sendable (SnapshotOutcome) -> Void = { [self] outcome in
            load.withLock { $0.maintenance -= 1 }
            completion(outcome)
        }
        guard isTaken, inbox.post(work(counted)) else {
            if isTaken { load.withLock { $0.maintenance -= 1 } }
            return completion(.failed(.unavailable("too many snapshots wait, or closed")))
        }
    }

    /// See `Journal`.
    public func index(_ slots: [Slot]) async throws(JournalError) -> [SlotIndex] { try await core.index(slots) }

    /// See `Journal`.
    public func recover(_ slot: Slot) async throws(JournalError) -> SlotRecovery { try await core.recover(slot) }

    /// See `Journal`.
    public func snapshot(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> RecoveredSnapshot? {
        try await core.snapshot(of: campaign, slot: slot)
    }

    /// See `Journal`.
    public func repair(_ slot: Slot, keepThrough lsn: UInt64) async throws(JournalError) -> Int {
        try await core.repair(slot, keepThrough: lsn)
    }

    /// See `Journal`. Of the slots that this node owns.
    public func trimHolders() async throws(JournalError) -> [TrimHolder] { try await core.trimHolders() }

    /// See `Journal`. Of the slots that this node owns.
    public func expireVoterData(before limit: Timestamp) async throws(JournalError) -> [TrimHolder] {
        try await core.expireVoterData(before: limit)
    }

    /// See `Journal`.
    public var statistics: JournalStatistics {
        let queued = load.withLock { $0.rows }
        return core.figures.withLock { figures in
            var copy = figures
            copy.queuedRows = queued
            return copy
        }
    }

    /// See `Journal`. Gives the lease back, so that the next owner need not wait for its end.
    public func close() async {
        let isFirst = load.withLock { load in
            defer { load.isClosed = true }
            return !load.isClosed
        }
        guard isFirst else { return }
        inbox.finish()
        await core.close()
        group.shutdown()
    }
}
