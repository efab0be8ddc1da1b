// The edges of other nodes, as the shards of this one see them: one more edge for each loop. Requests come in by links
// and go to the shards as commands; answers are gathered until a request has all of its own, events go once to each
// link that follows their campaign.
//
//   [link] ─► serve ─► commands, one batch per shard and turn ─► shard
//   [link] ◄─ reply, event frames ◄─ inbox ◄──────────────────────┘

import Cluster
import Platform
import Protocol

actor RemoteEdge: LinkService, LoopActor {
    nonisolated let index: UInt16
    nonisolated let loop: EventLoop
    nonisolated let inbox: Inbox<EdgeMessage>
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    let router: Router
    private let transport: any Transport
    let subscribers: SubscriberBoard
    let clock: any Clock
    private let log: Log
    private let onNewerTable: @Sendable (UInt64) -> Void
    let hints: OwnerHints
    /// Gets what other nodes ask this one beside the road of commands.
    private let onCall: @Sendable (RoadCodec.Form, PeerCall) -> Void
    var host: LinkHost?

    private var requests: [Request?] = []
    private var generations: [UInt32] = []
    private var freeIndexes: [UInt32] = []
    var followers = LinkFollowers()
    var outboxes: [[OwnerMessage]]
    private var pump: Task<Void, Never>?

    /// A request that waits for the answers to its commands.
    struct Request {
        let ticket: LinkTicket
        /// `nil` for a question that is about none.
        let slot: Slot?
        var answers: [RoadAnswer?]
        var missing: Int
        /// Who asks, where it asks to follow.
        var incarnation: UInt128 = 0
        /// What of it came in HTTP requests.
        var forwarded: [ForwardedRequest] = []
    }

    init(
        index: UInt16, loop: EventLoop, inbox: Inbox<EdgeMessage>, router: Router, transport: any Transport,
        subscribers: SubscriberBoard, clock: any Clock, hints: OwnerHints, log: Log,
        onNewerTable: @escaping @Sendable (UInt64) -> Void,
        onCall: @escaping @Sendable (RoadCodec.Form, PeerCall) -> Void
    ) {
        self.onNewerTable = onNewerTable
        self.onCall = onCall
        self.hints = hints
        self.index = index
        self.loop = loop
        self.inbox = inbox
        self.router = router
        self.transport = transport
        self.subscribers = subscribers
        self.clock = clock
        self.log = log
        outboxes = Array(repeating: [], count: router.loopCount)
    }

    // MARK: - Life

    /// Starts the pump; call once.
    func start(_ host: LinkHost) {
        self.host = host
        loop.onTurnEnd { [weak self] in self?.assumeIsolated { $0.turnEnded() } }
        pump = Task(executorPreference: loop) { await self.run() }
    }

    /// Ends the pump; after the shards have ended.
    func stop() async {
        inbox.finish()
        await pump?.value
        host = nil
    }

    private func run() async {
        var recycled: [EdgeMessage] = []
        while let batch = await inbox.next(recycling: recycled) {
            for message in batch { deliver(message) }
            recycled = batch
            recycled.removeAll(keepingCapacity: true)
        }
    }

    private func turnEnded() {
        for lane in outboxes.indices where !outboxes[lane].isEmpty {
            if !transport.send(&outboxes[lane], lane: lane, from: index) { refuseOverload(lane) }
        }
    }

    private func refuseOverload(_ lane: Int) {
        let refused = outboxes[lane]
        outboxes[lane].removeAll(keepingCapacity: true)
        let error = ClientError(.overloaded, "too many commands are waiting", retryAfterMilliseconds: 1000)
        for message in refused {
            switch message {
            case .commands(_, let commands): for command in commands { refuse(command, error) }
            case .create(let creation): answered(creation.ticket, .reply(.failure(error)))
            }
        }
    }

    private func refuse(_ command: Command, _ error: ClientError) {
        switch command.body {
        case .leave: break
        case .subscribe: joinFailed(command.ticket, command.campaign, error)
        case .vote, .manage, .verify: answered(command.ticket, .reply(.failure(error)))
        }
    }

    // MARK: - Requests

    nonisolated func serve(
        _ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {
        // Read here, where the frame lies: its bytes cannot enter the actor.
        do throws(BinaryError) {
            if header.kind == .subscribe {
                let wish = try RoadCodec.subscription(body)
                return onLoop { $0.subscribe(ticket, wish, peer.identity.incarnation) }
            }
            let now = clock.now()
            var cursor = BinaryCursor()
            let form = try RoadCodec.form(&cursor, body)
            switch form {
            case .offer, .handOver, .status, .campaignStatus:
                let bytes = Array(copying: body)
                let deadline = clock.monotonic().nanoseconds + UInt64(header.remainingMilliseconds) * 1_000_000
                onLoop { $0.call(form, bytes, peer.identity.incarnation, ticket, until: deadline) }
            case .commands:
                let (campaign, received, traces) = try RoadCodec.commands(&cursor, body, at: now)
                try cursor.finish(body)
                let forwarded = traces.map { ForwardedRequest($0, received, from: peer.identity.name) }
                onLoop((ticket, campaign, received, forwarded)) { $0.request($1.0, $1.1, $1.2, $1.3) }
            case .creation:
                let creation = try RoadCodec.creation(&cursor, body, at: now, ticket: .ofEdge(index))
                try cursor.finish(body)
                let forwarded = ForwardedRequest(creation, from: peer.identity.name)
                onLoop { $0.request(ticket, creation, forwarded) }
            }
        } catch {
            onLoop { $0.refuse(ticket, header.slot, .malformed) }
        }
    }

    /// A question beside the road of commands.
    private func call(
        _ form: RoadCodec.Form, _ body: [UInt8], _ caller: UInt128, _ ticket: LinkTicket, until deadline: UInt64
    ) {
        let origin = open(Request(ticket: ticket, slot: nil, answers: [], missing: 1), 1)
        onCall(
            form,
            PeerCall(
                caller: caller, body: body, deadline: deadline, ticket: self.ticket(origin, item: 0), edge: inbox))
    }

    private func request(
        _ ticket: LinkTicket, _ campaign: CampaignID, _ received: [RoadCodec.Received], _ forwarded: [ForwardedRequest]
    ) {
        let slot = Slot(of: campaign)
        guard let lane = lane(to: slot, ticket) else { return }
        let origin = open(
            Request(ticket: ticket, slot: slot, answers: [], missing: received.count, forwarded: forwarded),
            received.count)
        var commands: [Command] = []
        commands.reserveCapacity(received.count)
        for (item, command) in received.enumerated() {
            commands.append(
                Command(
                    campaign: campaign, ticket: self.ticket(origin, item: item), receivedAt: command.receivedAt,
                    body: command.body))
        }
        outboxes[lane].append(.commands(campaign, commands))
    }

    private func request(_ ticket: LinkTicket, _ draft: CreationCommand, _ forwarded: ForwardedRequest?) {
        guard let lane = lane(to: draft.slot, ticket) else { return }
        var request = Request(ticket: ticket, slot: draft.slot, answers: [], missing: 1)
        if let forwarded { request.forwarded = [forwarded] }
        let origin = open(request, 1)
        outboxes[lane].append(
            .create(
                CreationCommand(
                    slot: draft.slot, principal: draft.principal, draft: draft.draft, mark: draft.mark,
                    ticket: self.ticket(origin, item: 0), receivedAt: draft.receivedAt)))
    }

    /// The loop of a slot of this node; any other request is refused, and its sender looks for the owner anew.
    func lane(to slot: Slot, _ ticket: LinkTicket) -> Int? {
        guard router.directory.owner(of: slot) == .local else {
            refuse(ticket, slot, .notOwner)
            return nil
        }
        return router.loop(of: slot)
    }

    func refuse(_ ticket: LinkTicket, _ slot: Slot?, _ code: PeerErrorCode) {
        let hint = code == .notOwner ? slot.flatMap { hints.hint(of: $0) } : nil
        let header = FrameHeader(.error, slot: slot, epoch: hint?.epoch ?? 0)
        host?.assumeIsolated { $0.refuse(ticket, header, PeerError(code, owner: hint?.owner)) }
    }

    func open(_ request: Request, _ count: Int) -> UInt32 {
        var request = request
        request.answers = Array(repeating: nil, count: count)
        if let index = freeIndexes.popLast() {
            requests[Int(index)] = request
            return index
        }
        requests.append(request)
        generations.append(1)
        return UInt32(requests.count - 1)
    }

    func ticket(_ origin: UInt32, item: Int) -> ReplyTicket {
        ReplyTicket(
            edge: index, item: UInt16(item), connection: origin, generation: generations[Int(origin)], request: nil)
    }

    func close(_ origin: UInt32) {
        requests[Int(origin)] = nil
        generations[Int(origin)] &+= 1
        freeIndexes.append(origin)
    }

    func request(_ ticket: ReplyTicket) -> Request? {
        let place = Int(ticket.connection)
        guard place < requests.count, generations[place] == ticket.generation else { return nil }
        return requests[place]
    }

    // MARK: - Answers

    private func deliver(_ message: EdgeMessage) {
        switch message {
        case .votes(let replies, let position):
            for reply in replies { answered(reply.ticket, .vote(reply.status, position)) }
        case .reply(let ticket, let reply): answered(ticket, .reply(reply))
        case .joined(let ticket, let joined): self.joined(ticket, joined)
        case .joinFailed(let ticket, let campaign, let error): joinFailed(ticket, campaign, error)
        case .event(let event): publish(event)
        case .resync(let slot): moved(slot)
        case .again(let message): refuseMoved(message)
        case .admitted: break  // launches are admitted where they come in
        }
    }

    private func answered(_ ticket: ReplyTicket, _ answer: RoadAnswer) {
        let (place, item) = (Int(ticket.connection), Int(ticket.item))
        guard let known = request(ticket), item < known.answers.count, known.answers[item] == nil else { return }
        requests[place]?.answers[item] = answer
        requests[place]?.missing -= 1
        guard let request = requests[place], request.missing == 0 else { return }
        close(ticket.connection)
        for forwarded in request.forwarded { forwarded.log(request.answers, slot: request.slot, to: log) }
        var body: [UInt8] = []
        RoadCodec.append(request.answers.compactMap { $0 }, to: &body)
        reply(request, body)
    }

    func reply(_ request: Request, _ body: [UInt8], epoch: UInt64 = 0) {
        host?.onLoop((request.ticket, FrameHeader(.reply, slot: request.slot, epoch: epoch), body)) {
            $0.reply(to: $1.0, $1.1, body: $1.2)
        }
    }

    /// The slot went away before these commands were applied.
    private func refuseMoved(_ message: OwnerMessage) {
        let tickets: [ReplyTicket]
        switch message {
        case .commands(_, let commands):
            tickets = commands.map(\.ticket)
            for command in commands { if case .subscribe = command.body { followers.answered(command.campaign) } }
        case .create(let creation): tickets = [creation.ticket]
        }
        for ticket in tickets {
            guard let request = request(ticket) else { continue }
            if request.missing == request.answers.count, tickets.count == request.answers.count {
                close(ticket.connection)
                refuse(request.ticket, request.slot, .notOwner)
            } else {
                answered(
                    ticket,
                    .reply(
                        .failure(ClientError(.unavailable, "the slot has moved", retryAfterMilliseconds: 100))))
            }
        }
    }

    nonisolated func linkGone(_ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer) {
        assumeIsolated { $0.gone(link) }
    }

    private func gone(_ link: HostedLinkID) {
        for (index, request) in requests.enumerated() where request?.ticket.link == link {
            for forwarded in request?.forwarded ?? [] { forwarded.logAsLost(slot: request?.slot, to: log) }
            close(UInt32(index))
        }
        for campaign in followers.campaigns(of: link) { unsubscribed(link, campaign) }
    }

    nonisolated func hostSawTable(_ host: LinkHost, _ peer: LinkPeer, _ version: UInt64) { onNewerTable(version) }
}
