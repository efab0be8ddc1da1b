// Answers queries about placement, from the database and from what this node has in memory. It works off the loops, one
// query after the other, so that no query, however large, delays a vote, and no crowd of them loads the database.
//
//   edge ─► requests ─► desk ─► database, Redis, membership, shards
//   edge ◄──────────────┘ a document

import Cluster
import Journal
import Platform
import Protocol
import Redis

actor AdminDesk {
    /// Queries that may wait.
    static let requestsLimit = 64
    /// A query that waited for longer is refused: who asked will soon be gone.
    static let patience: UInt64 = 15_000_000_000
    /// Changes of hands that a timeline shows.
    static let changesLimit = 1000

    struct Parts: Sendable {
        let nodeName: String
        let store: NodeStore
        /// `nil` for a node alone.
        let cluster: ClusterRuntime?
        let directory: any Directory
        let shards: [Shard]
        let edges: [Inbox<EdgeMessage>]
        let metrics: NodeMetrics
        let health: NodeHealth
        let clock: any Clock
        let beside: (any TaskExecutor)?
        let log: Log
    }

    let parts: Parts
    private let requests: Inbox<AdminRequest>
    private var pump: Task<Void, Never>?
    private var isStopping = false

    init(requests: Inbox<AdminRequest>, parts: Parts) {
        self.requests = requests
        self.parts = parts
    }

    // MARK: - Life

    /// Starts to answer; call once.
    func start() { pump = Task(executorPreference: parts.beside) { await self.run() } }

    /// Ends once the query at hand is answered, the others are refused; before what it asks itself.
    func stop() async {
        isStopping = true
        requests.finish()
        await pump?.value
    }

    private func run() async {
        while let batch = await requests.next(recycling: []) {
            for request in batch {
                let reply = await reply(to: request)
                parts.edges[Int(request.ticket.edge)].postUnbounded(.reply(request.ticket, reply))
            }
        }
    }

    private func reply(to request: AdminRequest) async -> Reply {
        guard parts.clock.monotonic().nanoseconds < request.askedAt + Self.patience else {
            return .failure(
                ClientError(.overloaded, "too many admin queries are waiting", retryAfterMilliseconds: 1000))
        }
        guard !isStopping else {
            return .failure(ClientError(.unavailable, "the node stops", retryAfterMilliseconds: 1000))
        }
        do {
            return .document(status: 200, json: try await answer(request.query))
        } catch let error as ClientError {
            return .failure(error)
        } catch {
            parts.log.warn("admin.query_failed", [("reason", .string("\(error)"))])
            return .failure(
                ClientError(.unavailable, "the database cannot be asked now", retryAfterMilliseconds: 1000))
        }
    }

    private func answer(_ query: AdminQuery) async throws -> [UInt8] {
        switch query {
        case .placement(let withOwners):
            return AdminDocuments.placement(
                try await picture(), withOwners: withOwners, campaigns: Int(parts.metrics.campaigns.value),
                connections: Int(parts.metrics.connections.value))
        case .slot(let slot): return AdminDocuments.slot(try await slotReport(slot))
        case .timeline(let slot):
            // A node alone has every slot from its start: no change of hands is recorded.
            let changes = try await database?.changes(of: slot, limit: Self.changesLimit) ?? []
            return AdminDocuments.timeline(slot, changes.reversed())
        case .campaign(let campaign): return try await campaignReport(campaign)
        case .plan(let changes):
            let picture = try await picture()
            do throws(PlacementPlan.Fault) {
                let plan = try PlacementPlan(
                    members: picture.members, owners: picture.ownerNames, changes: changes)
                return AdminDocuments.plan(plan, owners: picture.ownerNames)
            } catch {
                throw PlanQuery.error(error)
            }
        case .diff: return try await diff()
        }
    }

    // MARK: - What is known

    private var database: PostgresJournal? {
        guard case .database(let journal) = parts.store else { return nil }
        return journal
    }

    private func picture() async throws(JournalError) -> PlacementPicture {
        guard let database else {
            let phase = parts.health.readiness(at: parts.clock.monotonic().nanoseconds).phase
            return PlacementPicture(
                alone: PlacementNode(
                    name: parts.nodeName, incarnation: nil, address: nil, weight: 1,
                    state: phase == .draining ? .draining : .live))
        }
        // Owners first: who died meanwhile owns nothing, and who came meanwhile is known.
        let holdings = try await database.holdings()
        let nodes = try await database.nodes()
        let version = try await database.placementVersion()
        let releasing = await parts.cluster?.membership.slotsGivenAway ?? []
        return PlacementPicture(
            version: version, nodes: nodes, holdings: holdings, releasing: releasing,
            here: database.identity.incarnation)
    }

    private func shard(of slot: Slot) -> Shard { parts.shards[Int(slot.index) % parts.shards.count] }

    private func slotReport(_ slot: Slot) async throws(JournalError) -> SlotReport {
        let picture = try await picture()
        var epoch = picture.epochs.isEmpty ? nil : picture.epochs[Int(slot.index)]
        if epoch == nil { epoch = await shard(of: slot).look(at: slot)?.epoch }
        let newest = try await database?.changes(of: slot, limit: 1).first
        return SlotReport(slot, in: picture, epoch: epoch, newest: newest)
    }

    private func campaignReport(_ campaign: CampaignID) async throws -> [UInt8] {
        let slot = Slot(of: campaign)
        let look = await shard(of: slot).look(at: campaign)
        let index = try await parts.store.journal.index([slot]).first
        guard let index, let entry = index.campaigns.first(where: { $0.campaign == campaign }),
            look?.isDeleted != true
        else { throw ClientError(.notFound, "no such campaign") }
        return AdminDocuments.campaign(
            campaign, try await slotReport(slot), tail: index.tail, snapshot: entry.snapshotLSN, look: look)
    }

    // MARK: - Differences

    private func diff() async throws(JournalError) -> [UInt8] {
        guard let database else {
            return AdminDocuments.diff(nil, board: .unused, versions: (nil, nil), names: [:])
        }
        let before = try await database.holdings()
        let board = await board()
        let view = await view(from: database)
        let after = try await database.holdings()
        let nodes = try await database.nodes()
        let version = try await database.placementVersion()
        var names: [UInt128: String] = [:]
        if case .table(_, let table) = board { for member in table.members { names[member.incarnation] = member.name } }
        for node in nodes { names[node.incarnation] = node.name }
        let diff = PlacementDiff(
            before: before, after: after, living: Set(nodes.map(\.incarnation)), redis: board.owners, node: view)
        let known = parts.cluster?.board.known.now
        return AdminDocuments.diff(diff, board: board, versions: (version, known), names: names)
    }

    private func board() async -> PlacementDiff.Board {
        guard let board = parts.cluster?.board else { return .unused }
        do throws(RedisError) {
            guard let found = try await board.stored() else { return .empty }
            guard let table = found.table else { return .unreadable(version: found.version) }
            return .table(version: found.version, table)
        } catch {
            return .unreachable("\(error)")
        }
    }

    /// By slot, where this node would send a command.
    private func view(from database: PostgresJournal) async -> [UInt128?] {
        let peers = await parts.cluster?.membership.peersByPlace ?? [:]
        return (0..<Slot.count).map { index in
            switch parts.directory.owner(of: Slot(UInt16(index))) {
            case .local: database.identity.incarnation
            case .peer(let place): peers[place]
            case .moving, .unknown: nil
            }
        }
    }
}

extension Membership {
    /// Slots that are being given away now.
    var slotsGivenAway: Set<Slot> { Set(ceding.keys) }

    /// Who is behind the places of the directory.
    var peersByPlace: [Int: UInt128] {
        Dictionary(peers.map { ($0.value.place, $0.key) }) { first, _ in first }
    }
}
