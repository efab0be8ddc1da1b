// A node from start to end: stores, loops, shards, edges, listener; then the drain.
//
//   start:  data folder locked ─► journal ─► loops ─► shards and edges ─► listener ─► claim ─► recovery ─► ready
//   stop:   not ready ─► clients told, in slices ─► edges ─► shards ─► journal ─► loops

public import Cluster
import Domain
public import Journal
public import Platform
import Protocol
import Web

/// A running node.
public actor NodeServer {
    /// Where it listens.
    public private(set) var address: TCPAddress

    private let configuration: NodeConfiguration
    private let group: LoopGroup
    private let store: NodeStore
    private let journal: any Journal
    private let shards: [Shard]
    private let edges: [Edge]
    private let shardInboxes: [Inbox<ShardMessage>]
    private let health: NodeHealth
    private let log: Log
    private let clock: any Clock
    private let beside: (any TaskExecutor)?
    private let directory: any Directory
    private let cluster: ClusterRuntime?
    private let desk: AdminDesk
    /// Who follows which campaign.
    nonisolated let subscribers: SubscriberBoard
    private let peerDesk: PeerDesk?
    private let sharedLaunches: SharedLaunchLimiter?
    private var linkListener: TCPListener?
    private var listener: TCPListener?
    private var isStopping = false
    private var opening: Task<Void, Never>?
    /// Slots that were given up and may be claimed anew.
    private let fencedSlots = Inbox<Slot>(limit: Slot.count)
    private var reopening: Task<Void, Never>?
    private var maintenance: LoopTimer?

    /// Entries that one inbox holds at most.
    private static let inboxLimit = 1 << 20
    /// Over how long the clients of a draining node are told to leave.
    private static let drainSlices = 10
    private static let drainSliceNanoseconds: UInt64 = 1_000_000_000
    /// How often it is looked whether the last answers are out: for longer than a command may take.
    private static let lastLooksLimit = 80
    private static let lastLookNanoseconds: UInt64 = 100_000_000

    /// Opens the stores and starts the loops; nothing is served before `start()`.
    ///
    /// - Parameter onLeaseLost: called when others may own what this node owned: it must end.
    /// - Throws: `JournalError` where the data folder cannot be used.
    public init(
        _ configuration: NodeConfiguration, _ surroundings: NodeSurroundings = NodeSurroundings(),
        directory: any Directory = SoleOwnerDirectory(), log: Log,
        onLeaseLost: @escaping @Sendable () -> Void = {}
    ) throws(JournalError) {
        let (clock, random) = (surroundings.clock, surroundings.random)
        beside = surroundings.beside
        self.configuration = configuration
        self.clock = clock
        self.log = log
        address = configuration.http
        let loops = configuration.loopCount
        let shardInboxes = (0..<loops).map { _ in Inbox<ShardMessage>(limit: Self.inboxLimit) }
        self.shardInboxes = shardInboxes
        let store = try NodeStore(
            configuration, surroundings, log: log, onLeaseLost: onLeaseLost,
            onSlotLost: { shardInboxes[shardOf: $0].postUnbounded(.slotLost($0)) })
        let journal = store.journal
        self.store = store
        self.journal = journal
        let clusterDirectory = configuration.cluster == nil ? nil : ClusterDirectory()
        let directory: any Directory = clusterDirectory ?? directory
        self.directory = directory
        let group = LoopGroup(count: configuration.loopCount, name: "loop", driver: surroundings.loopDriver)
        self.group = group

        let registry = MetricsRegistry()
        let metrics = NodeMetrics(registry: registry)
        let edgeInboxes = group.loops.map { _ in Inbox<EdgeMessage>(limit: Self.inboxLimit) }
        NodeGauges.register(in: registry, store: store, shards: shardInboxes, edges: edgeInboxes, clock: clock)
        let health = NodeHealth(nodeName: configuration.nodeName, startedAt: clock.monotonic().nanoseconds) {
            NodeGauges.details(store: store, metrics: metrics)
        }
        self.health = health
        let remoteInboxes =
            configuration.cluster == nil ? [] : group.loops.map { _ in Inbox<EdgeMessage>(limit: Self.inboxLimit) }
        let loopTransport = LoopTransport(shards: shardInboxes, edges: edgeInboxes + remoteInboxes)
        let peers = PeerLanes()
        let transport: any Transport =
            configuration.cluster == nil
            ? loopTransport : ClusterTransport(local: loopTransport, loopCount: loops, peers: peers)
        var shardContext = ShardContext(
            clock: clock, random: random, journal: journal, transport: transport, metrics: metrics, health: health,
            log: log,
            idleNanoseconds: UInt64(configuration.idleSeconds) * 1_000_000_000,
            onFenced: { [fencedSlots] in fencedSlots.postUnbounded($0) }, beside: beside)
        if configuration.cluster != nil, case .database(let shared) = store {
            shardContext.leaseDeadline = { shared.leaseDeadline }
        }
        let shards = group.loops.indices.map { [shardContext] in
            Shard(index: $0, loop: group.loops[$0], inbox: shardInboxes[$0], context: shardContext)
        }
        self.shards = shards
        let adminRequests = Inbox<AdminRequest>(limit: AdminDesk.requestsLimit)
        let subscribers = SubscriberBoard(tellingLoops: configuration.cluster == nil ? 0 : loops)
        self.subscribers = subscribers
        if let settings = configuration.cluster, surroundings.placement == nil {
            sharedLaunches = SharedLaunchLimiter(
                settings.redis, key: settings.launchKey, on: group.loops[0], clock: clock, random: random, log: log)
        } else {
            sharedLaunches = nil
        }
        let edgeContext = EdgeContext(
            clock: clock, random: random, log: log, nodeName: configuration.nodeName,
            tokens: configuration.tokenSecret.map { TokenVerifier(secret: $0) },
            access: RequestAccess(
                origins: configuration.origins, isOpenMode: configuration.tokenSecret == nil,
                isOpenEverywhere: configuration.isOpenEverywhere && !configuration.http.isLoopback,
                adminToken: configuration.adminToken),
            router: Router(directory: directory, loopCount: configuration.loopCount), transport: transport,
            metrics: metrics, registry: registry, health: health,
            launchLimiter: sharedLaunches ?? LocalLaunchLimiter(), subscribers: subscribers, admin: adminRequests,
            connectionLimit: configuration.connectionLimit / configuration.loopCount + 1,
            httpLimits: HTTPLimits())
        edges = group.loops.indices.map {
            Edge(index: $0, loop: group.loops[$0], inbox: edgeInboxes[$0], context: edgeContext)
        }
        guard let settings = configuration.cluster, let clusterDirectory, case .database(let shared) = store else {
            cluster = nil
            peerDesk = nil
            desk = AdminDesk(
                requests: adminRequests,
                parts: AdminDesk.Parts(
                    nodeName: configuration.nodeName, store: store, cluster: nil, directory: directory,
                    inspector: NodeInspector(
                        shards: shards, subscribers: subscribers, metrics: metrics, cluster: nil),
                    edges: edgeInboxes, health: health, clock: clock, beside: beside, log: log))
            return
        }
        let questions = Inbox<PeerCall>(limit: PeerDesk.questionsLimit)
        let cluster = ClusterRuntime(
            settings,
            identity: Cluster.NodeIdentity(name: configuration.nodeName, incarnation: shared.identity.incarnation),
            loops: group.loops, inboxes: remoteInboxes, directory: clusterDirectory, peers: peers,
            transport: transport,
            parts: (shared, edgeInboxes, shards, shardInboxes, subscribers, surroundings, log), questions: questions,
            onDrain: { health.drainAsked($0) }, onIsolation: { health.isIsolated($0) })
        self.cluster = cluster
        LinkGauges.register(in: registry, loops: cluster.linkLoops)
        PlacementGauges.register(in: registry, cluster: cluster, directory: clusterDirectory)
        let inspector = NodeInspector(
            shards: shards, subscribers: subscribers, metrics: metrics, cluster: cluster)
        peerDesk = PeerDesk(questions: questions, inspector: inspector, clock: clock, beside: beside)
        desk = AdminDesk(
            requests: adminRequests,
            parts: AdminDesk.Parts(
                nodeName: configuration.nodeName, store: store, cluster: cluster, directory: directory,
                inspector: inspector, edges: edgeInboxes, health: health, clock: clock, beside: beside, log: log))
    }

    /// Listens, claims the slots and recovers them; returns once every poll that ran is served again.
    /// - Throws: `SystemError` where the address cannot be had, `JournalError` where the claim fails.
    public func start() async throws {
        for shard in shards { await shard.start() }
        for edge in edges { await edge.start() }
        await desk.start()
        try await listen()
        if let cluster { return try await startAmongOthers(cluster) }
        try await store.open(isAlone: true)
        let slots = directory.home
        for (shard, slots) in zip(shards, slots.byShard(of: shards.count)) { await shard.expect(slots) }
        let startedAt = clock.monotonic().nanoseconds
        let claims = try await journal.claim(slots)
        let index = try await journal.index(slots)
        let opener = SlotOpener(journal: journal, shards: shardInboxes, clock: clock, log: log)
        let plan = SlotOpener.plan(claims: claims, index: index)
        let urgent = await opener.open(plan.urgent)
        health.enter(.ready)
        noteRecovery("slots.urgent_open", plan.urgent.count, since: startedAt)
        opening = Task(executorPreference: beside) {
            let rest = await opener.open(plan.rest)
            await self.store.note(urgent.reports + rest.reports, log: self.log)
            await self.noteRecovery("slots.all_open", claims.count, since: startedAt)
        }
        reopening = Task(executorPreference: beside) { await self.reopenFenced(opener) }
        await startMaintenance()
    }

    /// Takes this node's share of the slots; returns once it serves them.
    private func startAmongOthers(_ cluster: ClusterRuntime) async throws {
        await cluster.start()
        await sharedLaunches?.start()
        await peerDesk?.start()
        let loops = group.loops
        linkListener = try await onLoop(loops[0]) { () throws(SystemError) in try cluster.listen(loops) }
        try await store.open(isAlone: false)
        await cluster.membership.start()
        await cluster.membership.calm()
        health.enter(.ready)
        reopening = Task(executorPreference: beside) {
            while let slots = await self.fencedSlots.next(recycling: []) {
                for slot in slots { await cluster.membership.lost(slot) }
            }
        }
        await startMaintenance()
    }

    private func noteRecovery(_ event: StaticString, _ slots: Int, since: UInt64) {
        let milliseconds = (clock.monotonic().nanoseconds - since) / 1_000_000
        log.info(event, [("slots", .integer(slots)), ("after_ms", .integer(Int(milliseconds)))])
    }

    /// A slot that the journal fenced although nobody else has it, as after a database was put back to an older state,
    /// is claimed under a new epoch and recovered from what is there.
    private func reopenFenced(_ opener: SlotOpener) async {
        while let batch = await fencedSlots.next(recycling: []) {
            var left = batch
            while !left.isEmpty, !isStopping {
                do {
                    let claims = try await journal.claim(left)
                    left = []
                    for claim in claims {
                        await shards[shardOf: claim.slot].reopen(claim.slot)
                        log.warn(
                            "slot.reopened",
                            [("slot", .integer(Int(claim.slot.index))), ("epoch", .integer(Int(claim.epoch)))])
                    }
                    await opener.open(claims.map { SlotOpener.Item(claim: $0, isEmpty: false) })
                } catch {
                    log.warn("slot.not_reopened", [("reason", .string("\(error)"))])
                    await pause(500_000_000)
                }
            }
        }
    }

    private func listen() async throws {
        var options = TCPListenerOptions()
        // What the kernel holds for a client that does not read is bounded here: a stalled overlay must not collect
        // minutes of tallies that nobody will look at.
        options.sendBufferBytes = 8 * 1024
        options.notSentLowWater = 4 * 1024
        let settings = options
        let edges = edges
        let loops = group.loops
        let http = configuration.http
        let listener = try await onLoop(loops[0]) { () throws(SystemError) in
            try TCPListener(http, options: settings, loops: loops) { loop, stream in
                let edge = edges[loop.index]
                edge.assumeIsolated { $0.accept(stream) }
            }
        }
        self.listener = listener
        address = listener.boundAddress
    }

    /// Runs something on a loop's thread and waits for it.
    private func onLoop<Value: Sendable, Failure: Error>(
        _ loop: EventLoop, _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            loop.execute {
                do { continuation.resume(returning: try body()) } catch { continuation.resume(throwing: error) }
            }
        }
    }

    // MARK: - Maintenance

    private func startMaintenance() async {
        let maintenance = Maintenance(
            journal: journal, shards: shardInboxes, clock: clock, log: log,
            retentionDays: configuration.voterRetentionDays)
        let loop = group.loops[0]
        let timer = try? await onLoop(loop) { () throws(SystemError) -> LoopTimer in
            let timer = LoopTimer(on: loop) { maintenance.begin() }
            timer.schedule(
                afterNanoseconds: Maintenance.intervalNanoseconds, repeatingNanoseconds: Maintenance.intervalNanoseconds
            )
            return timer
        }
        self.maintenance = timer
    }

    // MARK: - Drain

    /// Leaves in good order: clients are told, in slices, each once its answers are out; then everything is closed.
    ///
    /// - Parameter isHurried: closes at once.
    public func stop(isHurried: Bool = false) async {
        health.enter(.draining)
        isStopping = true
        fencedSlots.finish()
        log.info("node.draining")
        if !isHurried { await cluster?.membership.drain(within: ClusterRuntime.drainNanoseconds) }
        if !isHurried { await drainClients() }
        await opening?.value
        await reopening?.value
        let loop = group.loops[0]
        let closing = (listener, maintenance, linkListener)
        _ = try? await onLoop(loop) { () throws(SystemError) in
            closing.0?.close()
            closing.1?.close()
            closing.2?.close()
        }
        for edge in edges { await edge.stop() }
        await desk.stop()
        await peerDesk?.stop()
        await sharedLaunches?.stop()
        await cluster?.stop()
        for shard in shards { await shard.stop() }
        await journal.close()
        group.shutdown()
        log.info("node.stopped")
    }

    private func drainClients() async {
        for slice in 0..<Self.drainSlices {
            if await drainEdges(slice).untold == 0 { break }
            await pause(Self.drainSliceNanoseconds)
        }
        // Until here whoever came was answered; from here a balancer finds that the node is gone.
        let (loop, listener) = (group.loops[0], listener)
        _ = try? await onLoop(loop) { () throws(SystemError) in listener?.closeAfterQueue() }
        for _ in 0..<Self.lastLooksLimit {
            await pause(Self.lastLookNanoseconds)
            if await drainEdges(Self.drainSlices - 1).open == 0 { return }
        }
    }

    private func drainEdges(_ slice: Int) async -> (untold: Int, open: Int) {
        var left = (untold: 0, open: 0)
        for edge in edges {
            let (untold, open) = await edge.drain(slice: slice, of: Self.drainSlices)
            left = (left.untold + untold, left.open + open)
        }
        return left
    }

    private func pause(_ nanoseconds: UInt64) async {
        let loop = group.loops[0]
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.execute { OneShot.after(nanoseconds, on: loop) { continuation.resume() } }
        }
    }
}
