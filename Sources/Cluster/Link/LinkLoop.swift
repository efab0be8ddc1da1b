// What the links of one loop share: who this node is, the resolver, one clock tick for all, and the end of the turn, at
// which everything that the turn has gathered for a link leaves in one write.

public import Platform

/// What links need to know of their node.
public struct LinkConfiguration: Sendable {
    /// This process.
    public let identity: NodeIdentity
    /// What it speaks.
    public var versions = LinkVersions.current
    /// Derived from the cluster's secret.
    public let key: LinkKey
    /// For nonces and pauses; one that nobody can predict.
    public let random: any RandomSource
    /// The time.
    public let clock: any Clock
    /// Where openings, losses and refusals are told.
    public let log: Log
    /// The version of this node's placement table, as every frame tells it; asked on every loop, often.
    public let tableVersion: @Sendable () -> UInt64
    /// Which nodes the links lead to; the same for all loops of a node.
    public let routes = LinkRoutes()
    /// The bounds of each link.
    public var limits = LinkLimits()

    /// Takes all as it is.
    public init(
        identity: NodeIdentity, key: LinkKey, random: any RandomSource = SystemRandom(),
        clock: any Clock = SystemClock(), log: Log, tableVersion: @escaping @Sendable () -> UInt64
    ) {
        self.identity = identity
        self.key = key
        self.random = random
        self.clock = clock
        self.log = log
        self.tableVersion = tableVersion
    }
}

/// A link, or a host of links, as its loop drives it. All calls are made on the loop.
protocol LinkMember: AnyObject, Sendable {
    /// The turn is over: what was gathered is to be written.
    func turnEnded()
    /// Time has passed.
    func ticked(now: UInt64)
}

/// The links of one loop.
public actor LinkLoop: LoopActor {
    /// Between two looks at deadlines, pings and pauses.
    static let tickInterval: UInt64 = 50_000_000

    /// The loop it lives on.
    public nonisolated let loop: EventLoop
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// What went through the links of this loop.
    public nonisolated let counters = LinkCounters()

    nonisolated let configuration: LinkConfiguration
    nonisolated let turn: LinkTurn
    nonisolated let resolver: AddressResolver

    private var members: [any LinkMember] = []
    private var dirty: [any LinkMember] = []
    private var writing: [any LinkMember] = []
    private var ticker: LoopTimer?
    private var isClosed = false

    /// Makes one without links; `start` before the first.
    public init(on loop: EventLoop, configuration: LinkConfiguration) {
        self.loop = loop
        self.configuration = configuration
        turn = LinkTurn(configuration)
        resolver = AddressResolver(on: loop)
    }

    /// Starts the ticks; call once.
    public func start() {
        precondition(ticker == nil && !isClosed, "a link loop was started twice")
        loop.onTurnEnd { [weak self] in self?.assumeIsolated { $0.turnEnded() } }
        let ticker = LoopTimer(on: loop) { [weak self] in self?.assumeIsolated { $0.tick() } }
        ticker.schedule(afterNanoseconds: Self.tickInterval, repeatingNanoseconds: Self.tickInterval)
        self.ticker = ticker
    }

    /// Ends the ticks; after the last link is closed.
    public func stop() async {
        precondition(members.isEmpty, "a link loop was stopped before its links")
        isClosed = true
        ticker?.close()
        ticker = nil
        await resolver.close()
    }

    /// The time of this turn.
    nonisolated var now: UInt64 { turn.now }

    func add(_ member: any LinkMember) { members.append(member) }

    func remove(_ member: any LinkMember) {
        members.removeAll { $0 === member }
        dirty.removeAll { $0 === member }
    }

    /// Something was gathered for this member; it tells so once a turn.
    func markDirty(_ member: any LinkMember) { dirty.append(member) }

    private func turnEnded() {
        turn.ended()
        guard !dirty.isEmpty else { return }
        swap(&dirty, &writing)
        for member in writing { member.turnEnded() }
        writing.removeAll(keepingCapacity: true)
    }

    private func tick() {
        turn.ended()
        let now = now
        for member in members { member.ticked(now: now) }
        turnEnded()
    }
}

/// What is asked for each frame and changes little within one turn of a loop: the time, and the version of the table.
///
/// `@unchecked Sendable`: it is touched on its loop's thread alone.
final class LinkTurn: @unchecked Sendable {
    private let clock: any Clock
    private let readTableVersion: @Sendable () -> UInt64
    private var readAt: UInt64 = 0
    private var version: UInt64 = 0

    init(_ configuration: LinkConfiguration) {
        clock = configuration.clock
        readTableVersion = configuration.tableVersion
    }

    /// The time at which the turn first asked.
    @inline(__always)
    var now: UInt64 {
        if readAt == 0 { read() }
        return readAt
    }

    /// The version of the placement table at that time.
    @inline(__always)
    var tableVersion: UInt64 {
        if readAt == 0 { read() }
        return version
    }

    private func read() {
        readAt = max(1, clock.monotonic().nanoseconds)
        version = readTableVersion()
    }

    /// The next call begins another turn.
    func ended() { readAt = 0 }
}
