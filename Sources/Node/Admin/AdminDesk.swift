// Answers queries about placement, from the database, from what this node has in memory, and from what its peers say of
// themselves; and writes the operator's wishes down. It works off the loops, one query after the other, so that no query,
// however large, delays a vote, and no crowd of them loads the database.
//
//   edge ─► requests ─► desk ─► database, Redis, membership, shards, peers
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
        let inspector: NodeInspector
        let edges: [Inbox<EdgeMessage>]
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
        } catch JournalError.io(let reason) where request.query.isWish {
            parts.log.warn("admin.wish_unknown", [("reason", .string(reason))])
            return .failure(ClientError(.timeout, "the database did not answer: ask again"))
        } catch {
            parts.log.warn("admin.query_failed", [("reason", .string("\(error)"))])
            return .failure(
                ClientError(.unavailable, "the database cannot be asked now", retryAfterMilliseconds: 1000))
        }
    }

    private func answer(_ query: AdminQuery) async throws -> [UInt8] {
        switch query {
        case .placement(let withOwners):
            let answers = await statuses()
            let leases = try await database?.leases() ?? []
            let steps = answers.reduce(into: [:]) { $0.merge($1.1.steps) { first, _ in first } }
            return AdminDocuments.placement(
                try await picture(steps: steps), withOwners: withOwners, statuses: answers, leases: leases)
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
                    members: picture.members, owners: picture.ownerNames, pins: picture.pins, changes: changes)
                return AdminDocuments.plan(plan, owners: picture.ownerNames)
            } catch {
                throw PlanQuery.error(error)
            }
        case .diff: return try await diff()
        case .drain(let name, let isAsked): return try await drain(name, isAsked: isAsked)
        case .pin(let campaign, let node): return try await pin(campaign, to: node)
        case .unpin(let campaign): return try await pin(campaign, to: nil)
        }
    }

    // MARK: - What is known

    var database: PostgresJournal? {
        guard case .database(let journal) = parts.store else { return nil }
        return journal
    }

    /// - Parameter steps: what nodes are doing with slots, where that was asked.
    func picture(steps: [Slot: MoveStep] = [:]) async throws(JournalError) -> PlacementPicture {
        guard let database else {
            let phase = parts.health.readiness(at: parts.clock.monotonic().nanoseconds).phase
            let isLeaving = phase == .draining
            return PlacementPicture(
                alone: PlacementNode(
                    name: parts.nodeName, incarnation: nil, address: nil, weight: 1,
                    state: isLeaving ? .draining : .live, isMember: !isLeaving, isLeaving: isLeaving))
        }
        // Owners first: who died meanwhile owns nothing, and who came meanwhile is known.
        let holdings = try await database.holdings()
        let nodes = try await database.nodes()
        let version = try await database.placementVersion()
        return PlacementPicture(
            version: version, nodes: nodes, holdings: holdings, steps: steps, here: database.identity.incarnation)
    }

    /// What the nodes say of themselves, this one first.
    private func statuses() async -> [(UInt128, PeerStatus)] {
        let voices = await voices(.status) { bytes throws(BinaryError) in try RoadCodec.status(bytes) }
        let own = await parts.inspector.status()
        return [(database?.identity.incarnation ?? 0, own)] + voices
    }

    /// What the peers answer, each with its incarnation; those that do not are left out.
    private func voices<Answer: Sendable>(
        _ question: PeerQuestion, _ read: (Span<UInt8>) throws(BinaryError) -> Answer
    ) async -> [(UInt128, Answer)] {
        let contacts = await parts.cluster?.membership.contacts ?? []
        let bodies = await bodies(question, contacts)
        return zip(contacts, bodies).compactMap { contact, body in
            guard let body, let answer = try? read(body.span) else { return nil }
            return (contact.incarnation, answer)
        }
    }

    /// Asks all at once; a link gives up after a second.
    private func bodies(_ question: PeerQuestion, _ contacts: [PeerContact]) async -> [[UInt8]?] {
        var body: [UInt8] = []
        RoadCodec.append(question, to: &body)
        let message = body
        return await withTaskGroup(of: (Int, [UInt8]?).self) { group in
            for (place, contact) in contacts.enumerated() {
                let owner = contact.owner
                group.addTask {
                    (place, try? await owner.ask(message, within: PeerQuestion.milliseconds).get())
                }
            }
            var bodies = [[UInt8]?](repeating: nil, count: contacts.count)
            for await (place, body) in group { bodies[place] = body }
            return bodies
        }
    }

    private func shard(of slot: Slot) -> Shard {
        parts.inspector.shards[shardOf: slot]
    }

    private func slotReport(_ slot: Slot) async throws(JournalError) -> SlotReport {
        let picture = try await picture()
        var epoch = picture.epochs.isEmpty ? nil : picture.epochs[Int(slot.index)]
        if epoch == nil { epoch = await shard(of: slot).look(at: slot)?.epoch }
        let newest = try await database?.changes(of: slot, limit: 1).first
        return SlotReport(slot, in: picture, epoch: epoch, newest: newest)
    }

    private func campaignReport(_ campaign: CampaignID) async throws -> [UInt8] {
        let slot = Slot(of: campaign)
        let own = await parts.inspector.campaign(campaign)
        let voices = await voices(.campaign(campaign)) { bytes throws(BinaryError) in try RoadCodec.campaign(bytes) }
        let answers = [(database?.identity.incarnation ?? 0, own)] + voices
        let index = try await parts.store.journal.index([slot]).first
        let look = answers.compactMap(\.1.look).max { $0.slot.epoch < $1.slot.epoch }
        guard let index, let entry = index.campaigns.first(where: { $0.campaign == campaign }),
            look?.isDeleted != true
        else { throw ClientError(.notFound, "no such campaign") }
        return AdminDocuments.campaign(
            campaign, try await slotReport(slot), journal: (index.tail, entry.snapshotLSN), look: look,
            voices: answers)
    }

    // MARK: - Differences

    private func diff() async throws(JournalError) -> [UInt8] {
        guard let database else {
            return AdminDocuments.diff(nil, board: .unused, versions: (nil, nil), names: [:])
        }
        let living = Set(try await database.nodes().map(\.incarnation))
        let before = try await database.holdings()
        let board = await board()
        let voices = PlacementDiff.Voices(await statuses()) { first, _ in first }
        let view = await view(from: database)
        let after = try await database.holdings()
        let nodes = try await database.nodes()
        let version = try await database.placementVersion()
        var names: [UInt128: String] = [:]
        if case .table(_, let table) = board { for member in table.members { names[member.incarnation] = member.name } }
        for node in nodes { names[node.incarnation] = node.name }
        let diff = PlacementDiff(
            before: before, after: after, living: living.intersection(nodes.map(\.incarnation)), board: board,
            node: view, voices: voices)
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
