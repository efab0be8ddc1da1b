// A node among others: who lives, who serves what, and which slots this one takes, opens and gives away.
//
//   round:  living nodes, owners ─► links to peers, directory
//                                ─► homes of all slots ─► free ones whose home is here: claimed and opened
//                                                      ─► own ones whose home is elsewhere: let go of, then ceded
//
// Everything is decided from what the database says; every claim and cession is fenced there, so that a round which
// knows too little costs a refusal, never a vote.

import Cluster
import Journal
import Platform
import Protocol

actor Membership {
    /// Between two rounds, while all is calm and while slots are on their way.
    static let calmInterval: UInt64 = 250_000_000
    static let busyInterval: UInt64 = 50_000_000
    /// Between two readings of all owners, and two writings of the table, while slots move: each costs the database and this
    /// node milliseconds that those who wait for a slot would wait too. Whoever knows too little is redirected meanwhile.
    static let readInterval: UInt64 = 200_000_000
    static let publishInterval: UInt64 = 500_000_000
    /// Between two looks at the table in Redis while nothing moves.
    static let lookInterval: UInt64 = 2_000_000_000
    struct Parts: Sendable {
        let identity: Cluster.NodeIdentity
        let journal: PostgresJournal
        let directory: ClusterDirectory
        let peers: PeerLanes
        let linkLoops: [LinkLoop]
        let edges: [Inbox<EdgeMessage>]
        let shards: [Shard]
        let shardInboxes: [Inbox<ShardMessage>]
        let opener: SlotOpener
        let board: PlacementBoard
        /// Versions of the placement table that others know and this node does not.
        let sightings: Inbox<UInt64>
        /// What other nodes say while slots move to this one.
        let offers: Inbox<PeerCall>
        let handOvers: Inbox<PeerCall>
        /// Where slots are read whose owner another node still is.
        let workers: (any TaskExecutor)?
        /// Which nodes the links lead to.
        let routes: LinkRoutes
        /// Told in each round whether the node is cut off from its peers.
        let onIsolation: @Sendable (Bool) -> Void
        let clock: any Clock
        let log: Log
        /// Told in every round whether this node takes no slots because the operator wishes so.
        var onDrain: @Sendable (Bool) -> Void = { _ in }
    }

    /// What one of the pumps that give slots away has to do: batches, and what the shards let go of for them.
    struct Lane: Sendable {
        let batches = Inbox<HeldSlots.Batch>(limit: Slot.count)
        let releases = Inbox<Release>(limit: Slot.count)
    }

    /// A peer that this node has links to.
    struct Peer {
        let place: Int
        let links: [Link]
        let owners: [RemoteOwner]
    }

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    let parts: Parts
    let alarm: LoopAlarm
    /// Interrupted whenever a node that leaves may have nothing left.
    let departure: LoopAlarm
    var peers: [UInt128: Peer] = [:]
    var held = HeldSlots()
    /// Of the slots that are served here, those whose content has not been read yet.
    var opening = OpeningSlots()
    /// How long nobody served those that were given away lately.
    var givenReports: [HandOffReport] = []
    /// How long nobody served those that have been opened lately.
    var openingReports: [HandOffReport] = []
    /// Rung when there are some to be read.
    let openings = Inbox<Void>(limit: 1)
    var offered = OfferedSlots()
    private var planner: HomePlanner
    /// What the last round found; empty before the first.
    var homes = Homes()
    /// The owners as they were read last.
    private var heard: HomePlanner.Owners?
    private var heardAt: UInt64 = 0
    private var publishedAt: UInt64 = 0
    /// What the last round found: the living nodes, and the version of the owners.
    private var known: (nodes: [LeasedNode], version: UInt64)?
    private(set) var isDraining = false
    /// Whether it reaches enough of the others, and what the database was told of that.
    var isolation = IsolationMachine()
    var isAnnouncedAway = false
    /// Whom the database named when it last answered, and whether followers were told since that it does not.
    var lastNamed: [LeasedNode] = []
    var isSendingAway = false
    private(set) var isStopping = false
    var isBusy = false
    private var rounds: Task<Void, Never>?
    /// What is to be given away, and by which of these pumps.
    let lanes = (0..<GivingLanes.count).map { _ in Lane() }
    var giving = GivingLanes()
    let reports = Inbox<HandOffReport>(limit: Slot.count)
    /// Peers that are gone, whose links are to be closed.
    let retired = Inbox<Peer>(limit: PeerLanes.limit)
    private var pumps: [Task<Void, Never>] = []
    private var givingPumps: [Task<Void, Never>] = []
    /// Slots have changed hands since the table was written.
    var isUnpublished = false
    /// Slots that are fixed to a node, as the last look at the owners showed them.
    var pins: [Slot: String] = [:]
    /// When this node last looked whether the table is there.
    private var lookedAt: UInt64 = 0
    private var whenCalm: [CheckedContinuation<Void, Never>] = []

    init(_ parts: Parts, loop: EventLoop) {
        self.parts = parts
        self.loop = loop
        planner = HomePlanner(me: parts.identity.incarnation)
        alarm = LoopAlarm(on: loop)
        departure = LoopAlarm(on: loop)
    }

    // MARK: - Life

    /// Starts the rounds; call once.
    func start() {
        rounds = Task(executorPreference: loop) { await self.run() }
        pumps = [
            Task(executorPreference: loop) { await self.hearReports() },
            Task(executorPreference: loop) { await self.hearOffers() },
            Task(executorPreference: loop) { await self.hearHandOvers() },
            Task(executorPreference: loop) { await self.hearSightings() },
            Task(executorPreference: loop) { await self.hearRetired() },
            Task(executorPreference: loop) { await self.hearOpenings() },
        ]
        givingPumps = lanes.map { lane in Task(executorPreference: loop) { await self.hearBatches(lane) } }
    }

    /// Returns once this node serves every slot whose home it is, and gives none away.
    func calm() async {
        guard isBusy || held.served.isEmpty else { return }
        await withCheckedContinuation { whenCalm.append($0) }
    }

    /// Gives every slot to the others, as far as there are any; returns once none is left here, or the time is over.
    func drain(within nanoseconds: UInt64) async {
        isDraining = true
        isBusy = true
        let deadline = now + nanoseconds
        // The next round announces it.
        alarm.interrupt()
        while !held.isEmpty, !peers.isEmpty, now < deadline { await departure.sleep(deadline - now) }
    }

    /// Ends the rounds and closes every link.
    func stop() async {
        isStopping = true
        alarm.ring()
        await rounds?.value
        for lane in lanes {
            lane.batches.finish()
            lane.releases.finish()
        }
        for pump in givingPumps { await pump.value }
        reportGiven()
        reports.finish()
        retired.finish()
        openings.finish()
        parts.offers.finish()
        parts.handOvers.finish()
        parts.sightings.finish()
        for pump in pumps { await pump.value }
        alarm.close()
        departure.close()
        for (_, peer) in peers.sorted(by: { $0.key < $1.key }) { await remove(peer) }
        peers = [:]
        for waiter in whenCalm { waiter.resume() }
        whenCalm = []
    }

    private func run() async {
        while !isStopping {
            do {
                try await round()
            } catch {
                parts.log.warn("cluster.round_failed", [("reason", .string("\(error)"))])
                lookAroundUntold()
            }
            guard !isStopping else { return }
            await alarm.sleep(isBusy ? Self.busyInterval : Self.calmInterval)
        }
    }

    var now: UInt64 { parts.clock.monotonic().nanoseconds }

    /// Whether this node is to have no slots.
    var isLeaving: Bool { isDraining || !isolation.mayTake }

    // MARK: - A round

    private func round() async throws(JournalError) {
        var nodes = try await parts.journal.nodes()
        if nodes.contains(where: { $0.hasLapsed && $0.incarnation != parts.identity.incarnation }) {
            let count = try await parts.journal.buryLapsed()
            if count > 0 {
                parts.log.warn("cluster.nodes_dead", [("count", .integer(count))])
                nodes = try await parts.journal.nodes()
            }
        }
        heed(nodes)
        planner.look(nodes, at: now)
        await meet(nodes)
        try await lookAround(nodes)
        let version = try await parts.journal.ownershipVersion()
        // Most rounds find that nothing has happened.
        let isNews = known.map { $0 != (nodes, version) } ?? true
        guard isBusy || isUnpublished || isNews || planner.awaitsNewcomer(among: nodes) else { return lookAtTable() }
        let owners = try await owners(at: version, among: nodes)
        // Who has what is taken from the newest owners alone; older ones will do for what is here and has to go.
        let isNewest = owners.version == version
        homes = planner.plan(owners, among: nodes, isLeaving: isLeaving, at: now)
        if isNewest {
            note(owners.holdings, nodes)
            try await take(owners.holdings, nodes)
        }
        await give(nodes)
        known = (nodes, owners.version)
        let isMoving = !isNewest || !opening.isEmpty || !held.ceding.isEmpty || isWaiting(owners.holdings, nodes)
        if !isMoving || now >= publishedAt + Self.publishInterval { try await publish() }
        isBusy = isMoving
        guard !isBusy else { return }
        reportGiven()
        for waiter in whenCalm { waiter.resume() }
        whenCalm = []
        lookAtTable()
    }

    /// The owners of all slots, read where they have changed since the last round; a moment old where the same nodes live.
    private func owners(
        at version: UInt64, among nodes: [LeasedNode]
    ) async throws(JournalError) -> HomePlanner.Owners {
        let isFresh = now < heardAt + Self.readInterval && known.map { $0.nodes == nodes } ?? false
        if let heard, heard.version == version || isFresh { return heard }
        heardAt = now
        let owners = HomePlanner.Owners(version: version, holdings: try await parts.journal.holdings())
        pins = owners.holdings.pins
        heard = owners
        return owners
    }

    /// Now and then, whether the table is still in Redis.
    private func lookAtTable() {
        guard now >= lookedAt + Self.lookInterval else { return }
        lookedAt = now
        parts.sightings.post(0)
    }

    /// Tells the others what has changed: the version comes first, so that whoever has a later one knows no less.
    private func publish() async throws(JournalError) {
        guard isUnpublished else { return }
        publishedAt = now
        isUnpublished = false
        do throws(JournalError) { try await write() } catch {
            isUnpublished = true
            throw error
        }
    }

    private func write() async throws(JournalError) {
        let version = try await parts.journal.nextPlacementVersion(above: parts.board.newest)
        let nodes = try await parts.journal.nodes()
        let living = Set(nodes.map(\.incarnation))
        let holdings = try await parts.journal.holdings()
        let owners = holdings.map { $0.owner.flatMap { living.contains($0) ? $0 : nil } }
        let members = nodes.prefix(PlacementTable.membersLimit).map {
            TableMember(
                incarnation: $0.incarnation, name: $0.name, address: $0.address, weight: $0.weight,
                isDraining: $0.isDraining || $0.isAskedToDrain)
        }
        let table = PlacementTable(members: Array(members), owners: owners, pins: holdings.pins)
        parts.board.publish(table, version: version)
    }

    private func hearSightings() async {
        while await parts.sightings.next(recycling: []) != nil {
            if let table = await parts.board.read() {
                note(table.owners)
                // It may be old, or of a database that was put back since: the next round says what is true.
                known = nil
                if table.pins != pins { alarm.interrupt() }
                await outgrow()
            } else if await parts.board.isBehind() {
                isUnpublished = true
            }
        }
    }

    /// Where the database has forgotten versions that Redis knows, a table with a higher one is due.
    private func outgrow() async {
        guard let given = try? await parts.journal.placementVersion(), given < parts.board.newest else { return }
        isUnpublished = true
    }

    func members(_ nodes: [LeasedNode]) -> [String: LeasedNode] { ServingNodes.of(nodes) }

    /// Notes who serves what.
    private func note(_ holdings: [SlotHolding], _ nodes: [LeasedNode]) {
        let living = Set(nodes.map(\.incarnation))
        parts.directory.note(epochs: holdings.map(\.epoch))
        note(holdings.map { $0.owner.flatMap { living.contains($0) ? $0 : nil } })
    }

    private func note(_ owners: [UInt128?]) {
        var slots: [Int: [Slot]] = [:]
        for (index, owner) in owners.enumerated() {
            let slot = Slot(UInt16(index))
            guard !held.holds(slot) else { continue }
            slots[owner.flatMap { peers[$0]?.place } ?? -1, default: []].append(slot)
        }
        for (place, slots) in slots.sorted(by: { $0.key < $1.key }) {
            parts.directory.note(slots, place < 0 ? .moving : .peer(place))
        }
    }

    /// Whether slots are on their way that concern this node.
    private func isWaiting(_ holdings: [SlotHolding], _ nodes: [LeasedNode]) -> Bool {
        guard !homes.given.isEmpty else { return isDraining && !held.served.isEmpty }
        let me = parts.identity
        let members = members(nodes)
        return holdings.contains { holding in
            let home = homes.given[Int(holding.slot.index)]
            // A newer process of this node's own name counts as another node.
            if held.served.contains(holding.slot) {
                return members[home].map { $0.incarnation != me.incarnation } ?? false
            }
            return home == me.name && !isLeaving
        }
    }
}
