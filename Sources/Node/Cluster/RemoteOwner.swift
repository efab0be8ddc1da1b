// A peer as the edge of one loop reaches it: commands leave as requests on the link of this loop, answers and events
// come back to the edge as if the owner lived here.
//
//   edge ─► send ─► request frames ─► [link] ─► owner
//   edge ◄─ inbox ◄─ answers, events ◄─ [link] ◄─┘
//
// A command that is known not to have been done is handed back to the edge, which looks for its owner anew. One that
// may have been done is not sent twice: its sender is told that the outcome is unknown.

import Cluster
import Platform
import Protocol

actor RemoteOwner: LinkHandler {
    /// Milliseconds that a command may take in all.
    static let patienceMilliseconds: Int64 = 5000

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private let edge: Inbox<EdgeMessage>
    private let clock: any Clock
    private let onNewerTable: @Sendable (UInt64) -> Void
    private let hints: OwnerHints
    private var link: Link?
    private var requests: [UInt64: Request] = [:]
    private var lastToken: UInt64 = 0
    /// Campaigns whose events come by this link.
    private var followed: Set<CampaignID> = []

    /// What waits for an answer.
    private enum Request {
        case commands(CampaignID, [Command])
        case creation(CreationCommand)
        case subscription(Command)
        case call(CheckedContinuation<Result<[UInt8], UnansweredCall>, Never>)
    }

    /// - Parameter onNewerTable: told of versions of the placement table that this node does not know.
    init(
        loop: EventLoop, edge: Inbox<EdgeMessage>, clock: any Clock, hints: OwnerHints,
        onNewerTable: @escaping @Sendable (UInt64) -> Void
    ) {
        self.hints = hints
        self.loop = loop
        self.onNewerTable = onNewerTable
        self.edge = edge
        self.clock = clock
    }

    /// Gets its link; once, before the first `send`.
    func use(_ link: Link) { self.link = link }

    // MARK: - Commands

    /// Sends a batch of this loop's edge, in order.
    func send(_ batch: [OwnerMessage]) {
        for message in batch {
            switch message {
            case .create(let creation): send(creation)
            case .commands(let campaign, let commands): send(commands, campaign)
            }
        }
    }

    private func send(_ commands: [Command], _ campaign: CampaignID) {
        var plain: [Command] = []
        for command in commands {
            switch command.body {
            case .vote, .manage, .verify: plain.append(command)
            case .subscribe(let after):
                sendPlain(&plain, campaign)
                subscribe(command, after)
            case .leave:
                sendPlain(&plain, campaign)
                leave(campaign)
            }
        }
        sendPlain(&plain, campaign)
    }

    private func sendPlain(_ commands: inout [Command], _ campaign: CampaignID) {
        var start = 0
        while start < commands.count {
            var body: [UInt8] = []
            let end = RoadCodec.append(commands, from: start, at: clock.now(), to: &body)
            let part = Array(commands[start..<end])
            submit(.request, Slot(of: campaign), body, .commands(campaign, part), since: part[0].receivedAt)
            start = end
        }
        commands.removeAll()
    }

    private func send(_ creation: CreationCommand) {
        var body: [UInt8] = []
        RoadCodec.append(creation, at: clock.now(), to: &body)
        submit(.request, creation.slot, body, .creation(creation), since: creation.receivedAt)
    }

    /// Asks the node itself, beside the road of commands.
    ///
    /// - Parameter milliseconds: how long its answer may take.
    func ask(_ body: [UInt8], within milliseconds: UInt32) async -> Result<[UInt8], UnansweredCall> {
        await withCheckedContinuation {
            submit(FrameHeader(.request, remainingMilliseconds: milliseconds, hops: 1), body, .call($0))
        }
    }

    private func subscribe(_ command: Command, _ after: Position?) {
        var body: [UInt8] = []
        RoadCodec.append(subscriptionTo: command.campaign, after: after, to: &body)
        submit(
            .subscribe, Slot(of: command.campaign), body, .subscription(command), since: clock.now())
    }

    private func leave(_ campaign: CampaignID) {
        guard followed.remove(campaign) != nil, let link else { return }
        var body: [UInt8] = []
        RoadCodec.append(subscriptionTo: campaign, after: nil, to: &body)
        // Where it cannot be said the link is about to go, and every subscription with it.
        _ = link.assumeIsolated { $0.unsubscribe(FrameHeader(.unsubscribe, slot: Slot(of: campaign)), body: body) }
    }

    private func submit(_ kind: FrameKind, _ slot: Slot, _ body: [UInt8], _ request: Request, since: Timestamp) {
        let left = Self.patienceMilliseconds - max(0, clock.now().milliseconds(since: since))
        guard left > 0 else { return refuse(request, Self.tooLate) }
        submit(FrameHeader(kind, slot: slot, remainingMilliseconds: UInt32(left), hops: 1), body, request)
    }

    private func submit(_ header: FrameHeader, _ body: [UInt8], _ request: Request) {
        guard let link else { return handBack(request) }
        lastToken += 1
        let token = lastToken
        let refusal = link.assumeIsolated { $0.request(header, body: body, token: token) }
        switch refusal {
        case nil: requests[token] = request
        case .notOpen, .leaving, .hopsExceeded: handBack(request)
        case .overloaded:
            refuse(
                request, ClientError(.overloaded, "too much is on its way to the owner", retryAfterMilliseconds: 1000))
        case .expired: refuse(request, Self.tooLate)
        }
    }

    private static let tooLate = ClientError(
        .unavailable, "no owner could be reached in time", retryAfterMilliseconds: 1000)

    // MARK: - Outcomes

    nonisolated func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>) {
        let bytes = Array(copying: body)
        assumeIsolated { $0.answered(token, header, bytes) }
    }

    private func answered(_ token: UInt64, _ header: FrameHeader, _ body: [UInt8]) {
        guard let request = requests.removeValue(forKey: token) else { return }
        if header.kind == .error {
            guard let error = PeerError(body.span) else { return refuse(request, Self.unreadable) }
            if let slot = header.slot, let owner = error.owner { hints.take(slot, owner, epoch: header.epoch) }
            switch error.code {
            // Nothing was done: whoever is the owner by now gets it.
            case .notOwner, .unavailable, .expired, .hopsExceeded: return handBack(request)
            case .overloaded:
                let pause = Int(max(error.retryAfterMilliseconds, 100))
                return refuse(
                    request, ClientError(.overloaded, "the owner has too much to do", retryAfterMilliseconds: pause))
            case .malformed: return refuse(request, Self.unreadable)
            }
        }
        do throws(BinaryError) {
            switch request {
            case .commands(_, let commands):
                deliver(try RoadCodec.answers(commands.count, body.span), commands.map(\.ticket))
            case .creation(let creation): deliver(try RoadCodec.answers(1, body.span), [creation.ticket])
            case .subscription(let command): deliver(try RoadCodec.joined(body.span), command)
            case .call(let caller): caller.resume(returning: Self.document(try RoadCodec.answers(1, body.span)))
            }
        } catch {
            refuse(request, Self.unreadable)
        }
    }

    private static func document(_ answers: [RoadAnswer]) -> Result<[UInt8], UnansweredCall> {
        switch answers.first {
        case .reply(.document(_, let bytes))?: .success(bytes)
        case .reply(.failure(let error))?: .failure(UnansweredCall(reason: error.message))
        case .reply(.signal)?, .vote?, nil: .failure(UnansweredCall(reason: "the answer is of another kind"))
        }
    }

    private static let unreadable = ClientError(.internalError, "the owner's answer could not be read")

    private func deliver(_ answers: [RoadAnswer], _ tickets: [ReplyTicket]) {
        var settled: [VoteReply] = []
        var position: Position?
        for (answer, ticket) in zip(answers, tickets) {
            guard case .vote(let status, let at) = answer else {
                if case .reply(let reply) = answer { edge.postUnbounded(.reply(ticket, reply)) }
                continue
            }
            if let known = position, known != at {
                edge.postUnbounded(.votes(settled, known))
                settled = []
            }
            position = at
            settled.append(VoteReply(ticket: ticket, status: status))
        }
        if let position { edge.postUnbounded(.votes(settled, position)) }
    }

    private func deliver(_ result: Result<Joined, ClientError>, _ command: Command) {
        switch result {
        case .success(let joined):
            followed.insert(command.campaign)
            edge.postUnbounded(.joined(command.ticket, joined))
        case .failure(let error): edge.postUnbounded(.joinFailed(command.ticket, command.campaign, error))
        }
    }

    nonisolated func linkLost(_ link: Link, _ loss: LinkLoss) { assumeIsolated { $0.lost(loss) } }

    private func lost(_ loss: LinkLoss) {
        guard let request = requests.removeValue(forKey: loss.token) else { return }
        guard loss.wasSent else { return handBack(request) }
        if case .subscription = request { return handBack(request) }
        refuse(request, ClientError(.timeout, "the link to the owner was lost: the outcome is unknown"))
    }

    /// Nothing was done: the edge finds out who the owner is now.
    private func handBack(_ request: Request) {
        switch request {
        case .commands(let campaign, let commands): edge.postUnbounded(.again(.commands(campaign, commands)))
        case .creation(let creation): edge.postUnbounded(.again(.create(creation)))
        case .subscription(let command): edge.postUnbounded(.again(.commands(command.campaign, [command])))
        case .call(let caller): caller.resume(returning: .failure(UnansweredCall(reason: "the node cannot be reached")))
        }
    }

    private func refuse(_ request: Request, _ error: ClientError) {
        switch request {
        case .commands(_, let commands):
            for command in commands { edge.postUnbounded(.reply(command.ticket, .failure(error))) }
        case .creation(let creation): edge.postUnbounded(.reply(creation.ticket, .failure(error)))
        case .subscription(let command): edge.postUnbounded(.joinFailed(command.ticket, command.campaign, error))
        case .call(let caller): caller.resume(returning: .failure(UnansweredCall(reason: error.message)))
        }
    }

    // MARK: - Events

    nonisolated func linkReceived(_ link: Link, _ header: FrameHeader, _ body: Span<UInt8>) {
        switch header.kind {
        case .event:
            guard let event = try? RoadCodec.event(body) else { return }
            assumeIsolated { $0.arrived(event) }
        case .moved:
            guard let slot = header.slot else { return }
            if let notice = MovedNotice(body) { hints.take(slot, notice.target, epoch: header.epoch) }
            assumeIsolated { $0.moved(slot) }
        case .hello, .challenge, .proof, .welcome, .refusal, .ping, .pong, .goodbye, .request, .reply, .error,
            .subscribe, .unsubscribe:
            break  // the link passes on events alone
        }
    }

    private func arrived(_ event: SharedEvent) {
        // One whose followers have all left may still come.
        guard followed.contains(event.campaign) else { return }
        edge.postUnbounded(.event(event))
    }

    private func moved(_ slot: Slot) {
        let gone = followed.filter { Slot(of: $0) == slot }
        guard !gone.isEmpty else { return }
        followed.subtract(gone)
        edge.postUnbounded(.resync(slot))
    }

    nonisolated func linkClosed(_ link: Link, _ reason: LinkCloseReason) { assumeIsolated { $0.closed() } }

    private func closed() {
        let slots = Set(followed.map { Slot(of: $0) })
        followed = []
        for slot in slots.sorted(by: { $0.index < $1.index }) { edge.postUnbounded(.resync(slot)) }
    }

    nonisolated func linkOpened(_ link: Link, _ peer: LinkPeer) {}
    nonisolated func linkSuspects(_ link: Link, _ isSuspect: Bool) {}
    nonisolated func linkSawTable(_ link: Link, _ version: UInt64) { onNewerTable(version) }
}
