// A peer as the loops of a node reach it, over real links to a host that the tests play: one subscription for two loops,
// and what becomes of commands whose link is cut before the answer.

import Cluster
import Domain
import Platform
import Protocol
import Testing

@testable import Node

/// The node that owns everything: it writes down what it is asked, and does as the test says.
private actor PlayedOwner: LinkService {
    enum Heard: Sendable {
        case request(LinkTicket, FrameHeader, [UInt8])
        case unsubscribed([UInt8])
        case present([UInt8])
    }

    nonisolated let heard = Inbox<Heard>(limit: 10_000)
    private let loop: EventLoop
    private let shared: LinkLoop
    private var host: LinkHost?
    private var listener: TCPListener?
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ loop: EventLoop) {
        self.loop = loop
        shared = LinkLoop(on: loop, configuration: linkConfiguration("owner", 2))
    }

    /// Returns the port.
    func start() async throws -> UInt16 {
        await shared.start()
        let host = LinkHost(shared: shared, service: self)
        self.host = host
        await host.start()
        let listener = try TCPListener(
            TCPAddress(bytes: [127, 0, 0, 1], port: 0), options: TCPListenerOptions(), loops: [loop]
        ) { _, stream in host.assumeIsolated { $0.accept(stream) } }
        self.listener = listener
        return listener.boundAddress.port
    }

    func reply(_ ticket: LinkTicket, _ body: [UInt8]) async {
        await host?.reply(to: ticket, FrameHeader(.reply), body: body)
    }

    func publish(_ link: HostedLinkID, _ kind: FrameKind, _ slot: Slot, _ body: [UInt8]) async -> Bool {
        await host?.publish(on: link, FrameHeader(kind, slot: slot), body: body) ?? false
    }

    /// Cuts every link, with whatever is under way.
    func cut() async { await host?.stop() }

    func stop() async {
        listener?.close()
        await host?.stop()
        await shared.stop()
        host = nil
    }

    nonisolated func serve(
        _ host: LinkHost, _ ticket: LinkTicket, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) { heard.post(.request(ticket, header, Array(copying: body))) }
    nonisolated func unsubscribed(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) { heard.post(.unsubscribed(Array(copying: body))) }
    nonisolated func present(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) { heard.post(.present(Array(copying: body))) }
    nonisolated func hostSawTable(_ host: LinkHost, _ peer: LinkPeer, _ version: UInt64) {}
    nonisolated func linkGone(_ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer) {}
}

private func linkConfiguration(_ name: String, _ incarnation: UInt128) -> LinkConfiguration {
    LinkConfiguration(
        identity: Cluster.NodeIdentity(name: name, incarnation: incarnation),
        key: LinkKey(clusterSecret: [UInt8](repeating: 7, count: 32)), log: .silent, tableVersion: { 0 })
}

/// Messages of an inbox, one by one.
private actor Reader<Element: Sendable> {
    private let inbox: Inbox<Element>
    private var left: [Element] = []

    init(_ inbox: Inbox<Element>) { self.inbox = inbox }

    func next() async throws -> Element {
        while left.isEmpty { left = try #require(await inbox.next(recycling: [])) }
        return left.removeFirst()
    }
}

/// A node of two loops with links to a played owner.
private struct Scene {
    let owner: PlayedOwner
    let owners: [RemoteOwner]
    let heard: Reader<PlayedOwner.Heard>
    let edges: [Reader<EdgeMessage>]

    static let at = SystemClock().now()
    static let campaign = CampaignID(UUIDv7(at: at, random: 7))
    static let slot = Slot(of: campaign)

    static func with(_ body: (Scene) async throws -> Void) async throws {
        let group = LoopGroup(count: 3, name: "owner")
        let played = PlayedOwner(group.loops[2])
        let port = try await played.start()
        let inboxes = (0..<2).map { _ in Inbox<EdgeMessage>(limit: 10_000) }
        let owners = (0..<2).map {
            RemoteOwner(
                $0, loop: group.loops[$0], edges: inboxes, clock: SystemClock(),
                hints: OwnerHints(directory: ClusterDirectory(), peers: PeerLanes()), onNewerTable: { _ in })
        }
        var loops: [LinkLoop] = []
        var links: [Link] = []
        for (index, owner) in owners.enumerated() {
            let shared = LinkLoop(on: group.loops[index], configuration: linkConfiguration("asker", 1))
            await shared.start()
            let link = Link(to: "127.0.0.1", port: port, expecting: nil, shared: shared, handler: owner)
            await owner.use(link, among: owners)
            await link.open()
            loops.append(shared)
            links.append(link)
        }
        let scene = Scene(
            owner: played, owners: owners, heard: Reader(played.heard), edges: inboxes.map { Reader($0) })
        let result: Result<Void, any Error>
        do { result = .success(try await body(scene)) } catch { result = .failure(error) }
        for link in links { await link.close() }
        for owner in owners { await owner.leave() }
        for loop in loops { await loop.stop() }
        await played.stop()
        group.shutdown()
        try result.get()
    }

    static func command(_ edge: Int, _ body: CommandBody, connection: UInt32 = 0) -> Command {
        Command(
            campaign: campaign,
            ticket: ReplyTicket(edge: UInt16(edge), connection: connection, generation: 1, request: nil),
            receivedAt: SystemClock().now(), body: body)
    }

    /// The owner on the loop that holds the subscription.
    var holder: RemoteOwner { owners[Int(Self.slot.index) % 2] }

    /// Waits until the links of both loops are open.
    func opened() async {
        for owner in owners { while await owner.link?.isOpen != true { await Task.yield() } }
    }

    static let joined: [UInt8] = {
        var body: [UInt8] = []
        let subscribed = Subscribed(
            campaign: campaign, position: Position(epoch: 5, seq: 9), recovered: false, poll: nil)
        _ = RoadCodec.append(Joined(subscribed: subscribed, missed: []), to: &body)
        return body
    }()

    /// What both loops get next is an event; whether it is the same object.
    func eventIsShared() async throws -> Bool {
        guard case .event(let first) = try await edges[0].next(), case .event(let second) = try await edges[1].next()
        else { return false }
        return first === second
    }
}

@Suite(.timeLimit(.minutes(1)))
struct RemoteOwnerTests {
    @Test func `two loops follow by one subscription, and each event comes once for both`() async throws {
        try await Scene.with { scene in
            await scene.opened()
            for (edge, connection) in [(0, 1), (1, 2), (0, 3), (1, 4)] as [(Int, UInt32)] {
                await scene.owners[edge].send([
                    .commands(Scene.campaign, [Scene.command(edge, .subscribe(after: nil), connection: connection)])
                ])
            }
            var link: HostedLinkID?
            var expected = 3
            // The others came while the first was being asked for, and share the second request.
            for _ in 0..<2 {
                guard case .request(let ticket, let header, _) = try await scene.heard.next() else {
                    return #expect(Bool(false), "something else was asked")
                }
                #expect(header.kind == .subscribe && (link == nil || link == ticket.link))
                link = ticket.link
                while await scene.holder.following.waitingCount < expected { await Task.yield() }
                expected = 0
                await scene.owner.reply(ticket, Scene.joined)
            }
            var connections: Set<UInt32> = []
            for edge in [0, 1, 0, 1] {
                guard case .joined(let ticket, _) = try await scene.edges[edge].next() else {
                    return #expect(Bool(false))
                }
                connections.insert(ticket.connection)
            }
            #expect(connections == [1, 2, 3, 4])
            let event = SharedEvent(
                ServerEvent(
                    campaign: Scene.campaign, position: Position(epoch: 5, seq: 10), at: Scene.at,
                    body: .signal(name: "dice", data: Array("6".utf8))))
            let follower = try #require(link)
            #expect(await scene.owner.publish(follower, .event, Scene.slot, event.encoded))
            #expect(try await scene.eventIsShared())
            // One loop leaves: the other goes on; both leave: the owner is told, once.
            await scene.owners[0].send([.commands(Scene.campaign, [Scene.command(0, .leave)])])
            await scene.owners[1].send([.commands(Scene.campaign, [Scene.command(1, .leave)])])
            guard case .unsubscribed(let body) = try await scene.heard.next() else { return #expect(Bool(false)) }
            #expect(try RoadCodec.subscription(body.span).campaign == Scene.campaign)
        }
    }

    @Test func `a slot that moves and a link that is lost tell every loop that follows`() async throws {
        for isCut in [false, true] {
            try await Scene.with { scene in
                await scene.opened()
                for edge in [0, 1] {
                    await scene.owners[edge].send([
                        .commands(Scene.campaign, [Scene.command(edge, .subscribe(after: nil))])
                    ])
                    guard case .request(let ticket, _, _) = try await scene.heard.next() else {
                        return #expect(Bool(false))
                    }
                    await scene.owner.reply(ticket, Scene.joined)
                    guard case .joined = try await scene.edges[edge].next() else { return #expect(Bool(false)) }
                    if edge == 1, !isCut { #expect(await scene.owner.publish(ticket.link, .moved, Scene.slot, [])) }
                }
                if isCut { await scene.owner.cut() }
                for edge in [0, 1] {
                    guard case .resync(let slot) = try await scene.edges[edge].next() else {
                        return #expect(Bool(false))
                    }
                    #expect(slot == Scene.slot)
                }
            }
        }
    }

    @Test func `the owner is told of clients once for each change`() async throws {
        try await Scene.with { scene in
            await scene.opened()
            let holder = scene.holder
            let board = SubscriberBoard(tellingLoops: 2)
            await scene.owners[1].send([.commands(Scene.campaign, [Scene.command(1, .subscribe(after: nil))])])
            guard case .request(let ticket, _, _) = try await scene.heard.next() else { return #expect(Bool(false)) }
            await scene.owner.reply(ticket, Scene.joined)
            guard case .joined = try await scene.edges[1].next() else { return #expect(Bool(false)) }
            func told() async throws -> Int? {
                await holder.tellPresence(board.takeChanges(Int(Scene.slot.index) % 2), board)
                await holder.tellPresence([], board)
                guard case .present(let body) = try await scene.heard.next() else { return nil }
                let presence = try RoadCodec.presence(body.span)
                return presence.campaign == Scene.campaign ? presence.clients : nil
            }
            board.add(40, to: Scene.campaign)
            #expect(try await told() == 40)
            board.add(2, to: Scene.campaign)
            board.add(-1, to: Scene.campaign)
            #expect(try await told() == 41)
            // There and back is no news.
            board.add(1, to: Scene.campaign)
            board.add(-1, to: Scene.campaign)
            await holder.tellPresence(board.takeChanges(Int(Scene.slot.index) % 2), board)
            board.add(-41, to: Scene.campaign)
            #expect(try await told() == 0)
        }
    }

    @Test func `of commands whose link is cut those with a key are sent again`() async throws {
        let poll = PollID(UUIDv7(at: Scene.at, random: 8))
        let mark = IdempotencyMark(key: Hash128(high: 1, low: 2), body: Hash128(high: 3, low: 4))
        func vote(_ key: String?) -> CommandBody {
            .vote(VoteCommand(poll: poll, option: 0, voter: "v", channel: nil, key: key))
        }
        try await Scene.with { scene in
            await scene.opened()
            let bodies: [CommandBody] = [
                vote("k"), vote(nil), .manage(.cancel(.openMode, poll), mark), .manage(.cancel(.openMode, poll), nil),
                .manage(.readCampaign, nil),
            ]
            await scene.owners[0].send([
                .commands(
                    Scene.campaign,
                    bodies.enumerated().map { Scene.command(0, $0.element, connection: UInt32($0.offset)) })
            ])
            guard case .request(_, let header, _) = try await scene.heard.next() else { return #expect(Bool(false)) }
            #expect(!header.flags.contains(.again))
            await scene.owner.cut()
            guard case .again(.commands(_, let again)) = try await scene.edges[0].next() else {
                return #expect(Bool(false), "nothing is sent again")
            }
            #expect(again.map(\.ticket.connection) == [0, 2, 4])
            #expect(again.map(\.ticket.isRepeated) == [true, true, false])
            for connection in [1, 3] as [UInt32] {
                guard case .reply(let ticket, .failure(let error)) = try await scene.edges[0].next() else {
                    return #expect(Bool(false))
                }
                #expect(ticket.connection == connection && error.code == .timeout)
            }
        }
    }

    @Test func `a command that is sent again says so`() async throws {
        let poll = PollID(UUIDv7(at: Scene.at, random: 8))
        try await Scene.with { scene in
            await scene.opened()
            var ticket = Scene.command(0, .verify).ticket
            ticket.isRepeated = true
            let vote = VoteCommand(poll: poll, option: 0, voter: "v", channel: nil, key: "k")
            await scene.owners[0].send([
                .commands(
                    Scene.campaign,
                    [
                        Command(
                            campaign: Scene.campaign, ticket: ticket, receivedAt: SystemClock().now(),
                            body: .vote(vote))
                    ])
            ])
            guard case .request(_, let header, _) = try await scene.heard.next() else { return #expect(Bool(false)) }
            #expect(header.flags.contains(.again))
        }
    }

    @Test func `a refusal of what was sent again does not say that it was not done`() {
        let isUnknown = ErrorCode.allCases.filter {
            ClientError($0, "so").afterRepetition.code == .timeout
        }
        #expect(isUnknown == [.pollClosed, .notFound, .rateLimited, .overloaded, .unavailable, .timeout])
    }
}
