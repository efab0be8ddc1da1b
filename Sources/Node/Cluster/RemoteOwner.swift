// A peer as the edge of one loop reaches it: commands leave as requests on the link of this loop, answers come back to
// the edge as if the owner lived here. Subscriptions go by one loop for all: see `RemoteOwner+Following.swift`.
//
//   edge ─► send ─► request frames ─► [link] ─► owner
//   edge ◄─ inbox ◄─ answers ◄─────── [link] ◄─┘
//
// A command that is known not to have been done is handed back to the edge, which looks for its owner anew. One that
// may have been done is handed back where its key makes a second time harmless; of any other its sender is told that
// the outcome is unknown.

import Cluster
import Platform
import Protocol

actor RemoteOwner: LinkHandler, LoopActor {
    /// Milliseconds that a command may take in all.
    static let patienceMilliseconds: Int64 = 5000

    nonisolated let index: Int
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// The edges of this node, by their loops.
    let edges: [Inbox<EdgeMessage>]
    private let clock: any Clock
    private let onNewerTable: @Sendable (UInt64) -> Void
    let hints: OwnerHints
    private(set) var link: Link?
    /// The same peer as the other loops reach it, and this one.
    private(set) var siblings: [RemoteOwner] = []
    private var requests: [Request?] = []
    private var freeTokens: [UInt64] = []
    /// Whose events come by this link.
    var following = Following()

    /// What waits for an answer.
    enum Request: Sendable {
        case commands(CampaignID, [Command])
        case creation(CreationCommand)
        case subscription(Following.Wish, [Command])
        case call(CheckedContinuation<Result<[UInt8], UnansweredCall>, Never>)
    }

    /// How a request ended.
    private enum Outcome: Sendable {
        case answered([RoadAnswer])
        case joined(Result<Joined, ClientError>)
        case document(Result<[UInt8], UnansweredCall>)
        /// Nothing was done: whoever is the owner by now gets it.
        case notDone
        case refused(ClientError)
    }

    /// - Parameters:
    ///   - index: of the loop.
    ///   - edges: of this node, by their loops.
    ///   - onNewerTable: told of versions of the placement table that this node does not know.
    init(
        _ index: Int, loop: EventLoop, edges: [Inbox<EdgeMessage>], clock: any Clock, hints: OwnerHints,
        onNewerTable: @escaping @Sendable (UInt64) -> Void
    ) {
        self.hints = hints
        self.index = index
        self.loop = loop
        self.onNewerTable = onNewerTable
        self.edges = edges
        self.clock = clock
    }

    /// Gets its link, and the peer's owners on all loops; once, before the first `send`.
    func use(_ link: Link, among siblings: [RemoteOwner]) {
        self.link = link
        self.siblings = siblings
    }

    /// The peer is gone for good, its links are closed: whatever still comes is handed back.
    func leave() {
        link = nil
        siblings = []
    }

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
        guard commands.contains(where: \.body.isOfSubscriptions) else { return sendPlain(commands, campaign) }
        var plain: [Command] = []
        for command in commands {
            guard command.body.isOfSubscriptions else {
                plain.append(command)
                continue
            }
            sendPlain(plain, campaign)
            plain = []
            sendToHolder(command)
        }
        sendPlain(plain, campaign)
    }

    private func sendPlain(_ commands: [Command], _ campaign: CampaignID) {
        var start = 0
        while start < commands.count {
            var body: [UInt8] = []
            let end = RoadCodec.append(commands, from: start, at: clock.now(), to: &body)
            let part = start == 0 && end == commands.count ? commands : Array(commands[start..<end])
            submit(.request, Slot(of: campaign), body, .commands(campaign, part), since: part[0].receivedAt)
            start = end
        }
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

    /// Asks the owner to follow, for everybody who has this wish now.
    func ask(_ wish: Following.Wish, for commands: [Command]) {
        var body: [UInt8] = []
        RoadCodec.append(subscriptionTo: wish.campaign, after: wish.after, to: &body)
        submit(.subscribe, Slot(of: wish.campaign), body, .subscription(wish, commands), since: clock.now())
    }

    private func submit(_ kind: FrameKind, _ slot: Slot, _ body: [UInt8], _ request: Request, since: Timestamp) {
        let left = Self.patienceMilliseconds - max(0, clock.now().milliseconds(since: since))
        guard left > 0 else { return refuse(request, Self.tooLate) }
        let header = FrameHeader(
            kind, flags: request.isRepeated ? .again : [], slot: slot, remainingMilliseconds: UInt32(left), hops: 1)
        submit(header, body, request)
    }

    private func submit(_ header: FrameHeader, _ body: [UInt8], _ request: Request) {
        guard let link else { return handBack(request) }
        let token = freeTokens.popLast() ?? UInt64(requests.count)
        if token == requests.count { requests.append(nil) }
        switch link.onLoop((header, body, token), { $0.request($1.0, body: $1.1, token: $1.2) }) {
        case nil:
            requests[Int(token)] = request
            return
        case .notOpen, .leaving, .hopsExceeded: handBack(request)
        case .overloaded:
            refuse(
                request, ClientError(.overloaded, "too much is on its way to the owner", retryAfterMilliseconds: 1000))
        case .expired: refuse(request, Self.tooLate)
        }
        freeTokens.append(token)
    }

    private static let tooLate = ClientError(
        .unavailable, "no owner could be reached in time", retryAfterMilliseconds: 1000)

    // MARK: - Outcomes

    nonisolated func linkAnswered(_ link: Link, _ token: UInt64, _ header: FrameHeader, _ body: Span<UInt8>) {
        guard let request = onLoop(token, { $0.take($1) }) else { return }
        // Read here, where the frame lies.
        let outcome = outcome(of: request, header, body)
        onLoop((request, outcome)) { $0.settle($1.0, $1.1) }
    }

    /// The request under a token, which is free again: a link has one outcome for each.
    private func take(_ token: UInt64) -> Request? {
        guard token < requests.count, let request = requests[Int(token)] else { return nil }
        requests[Int(token)] = nil
        freeTokens.append(token)
        return request
    }

    private nonisolated func outcome(of request: Request, _ header: FrameHeader, _ body: Span<UInt8>) -> Outcome {
        if header.kind == .error {
            guard let error = PeerError(body) else { return .refused(Self.unreadable) }
            if let slot = header.slot, let owner = error.owner { hints.take(slot, owner, epoch: header.epoch) }
            switch error.code {
            case .notOwner, .unavailable, .expired, .hopsExceeded: return .notDone
            case .overloaded:
                let pause = Int(max(error.retryAfterMilliseconds, 100))
                return .refused(
                    ClientError(.overloaded, "the owner has too much to do", retryAfterMilliseconds: pause))
            case .malformed: return .refused(Self.unreadable)
            }
        }
        do throws(BinaryError) {
            switch request {
            case .commands(_, let commands): return .answered(try RoadCodec.answers(commands.count, body))
            case .creation: return .answered(try RoadCodec.answers(1, body))
            case .subscription: return .joined(try RoadCodec.joined(body, epoch: header.epoch))
            case .call: return .document(Self.document(try RoadCodec.answers(1, body)))
            }
        } catch {
            return .refused(Self.unreadable)
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

    private func settle(_ request: Request, _ outcome: Outcome) {
        switch (outcome, request) {
        case (.answered(let answers), .commands(_, let commands)): deliver(answers) { commands[$0].ticket }
        case (.answered(let answers), .creation(let creation)): deliver(answers) { _ in creation.ticket }
        case (.joined(let result), .subscription(let wish, let commands)): joined(wish, commands, result)
        case (.document(let result), .call(let caller)): caller.resume(returning: result)
        case (.refused(let error), _): refuse(request, error)
        case (.notDone, _), (.answered, _), (.joined, _), (.document, _): handBack(request)
        }
    }

    private func deliver(_ answers: [RoadAnswer], _ ticket: (Int) -> ReplyTicket) {
        let edge = edges[index]
        var settled: [VoteReply] = []
        var position: Position?
        for (place, answer) in answers.enumerated() {
            guard case .vote(let status, let at) = answer else {
                if case .reply(let reply) = answer { edge.postUnbounded(.reply(ticket(place), reply)) }
                continue
            }
            if let known = position, known != at {
                edge.postUnbounded(.votes(settled, known))
                settled = []
            }
            position = at
            settled.append(VoteReply(ticket: ticket(place), status: status))
        }
        if let position { edge.postUnbounded(.votes(settled, position)) }
    }

    nonisolated func linkLost(_ link: Link, _ loss: LinkLoss) { assumeIsolated { $0.lost(loss) } }

    private func lost(_ loss: LinkLoss) {
        guard let request = take(loss.token) else { return }
        guard loss.wasSent else { return handBack(request) }
        let (again, unknown) = request.afterLoss
        if let again { handBack(again) }
        if let unknown {
            refuse(unknown, ClientError(.timeout, "the link to the owner was lost: the outcome is unknown"))
        }
    }

    /// The edge finds out who the owner is now.
    private func handBack(_ request: Request) {
        switch request {
        case .commands(let campaign, let commands):
            edges[index].postUnbounded(.again(.commands(campaign, commands)))
        case .creation(let creation): edges[index].postUnbounded(.again(.create(creation)))
        case .subscription(let wish, let commands):
            for command in commands {
                edges[Int(command.ticket.edge)].postUnbounded(.again(.commands(wish.campaign, [command])))
            }
            ended(wish)
        case .call(let caller): caller.resume(returning: .failure(UnansweredCall(reason: "the node cannot be reached")))
        }
    }

    private func refuse(_ request: Request, _ error: ClientError) {
        switch request {
        case .commands(_, let commands):
            for command in commands { edges[index].postUnbounded(.reply(command.ticket, .failure(error))) }
        case .creation(let creation): edges[index].postUnbounded(.reply(creation.ticket, .failure(error)))
        case .subscription(let wish, let commands):
            for command in commands {
                edges[Int(command.ticket.edge)].postUnbounded(.joinFailed(command.ticket, wish.campaign, error))
            }
            ended(wish)
        case .call(let caller): caller.resume(returning: .failure(UnansweredCall(reason: error.message)))
        }
    }

    nonisolated func linkOpened(_ link: Link, _ peer: LinkPeer) {}
    nonisolated func linkSuspects(_ link: Link, _ isSuspect: Bool) {}
    nonisolated func linkSawTable(_ link: Link, _ version: UInt64) { onNewerTable(version) }
}
