// An edge whose followers' campaign changes hands; the test answers in the place of the owners.

import Cluster
import Platform
import Protocol
import TestSupport
import Testing
import Web

@testable import Node

/// Takes what an edge sends to owners.
private struct TestOwners: Transport {
    let asked: AsyncStream<Command>.Continuation
    let edge: Inbox<EdgeMessage>

    var laneCount: Int { 1 }
    var edgeCount: Int { 1 }

    func send(_ batch: inout [OwnerMessage], lane: Int, from edge: UInt16) -> Bool {
        for case .commands(_, let commands) in batch { for command in commands { asked.yield(command) } }
        batch.removeAll()
        return true
    }

    func deliver(_ batch: inout [EdgeMessage], to edge: UInt16) { _ = self.edge.post(contentsOf: &batch) }
}

/// Every slot is here, or on its way.
private final class TestDirectory: Directory {
    let isMoving = Locked(false)

    var home: [Slot] { [] }
    func owner(of slot: Slot) -> SlotOwner { isMoving.withLock { $0 } ? .moving : .local }
}

/// One edge behind a listener.
private final class EdgeScene {
    static let at = Timestamp(milliseconds: 1_800_000_000_000)
    static let campaign = CampaignID(UUIDv7(at: at, random: 7))

    let address: TCPAddress
    let directory: TestDirectory
    private let inbox: Inbox<EdgeMessage>
    private let asked: AsyncStream<Command>

    private init(
        _ address: TCPAddress, _ directory: TestDirectory, _ inbox: Inbox<EdgeMessage>, _ asked: AsyncStream<Command>
    ) {
        self.address = address
        self.directory = directory
        self.inbox = inbox
        self.asked = asked
    }

    static func with(_ body: (EdgeScene) async throws -> Void) async throws {
        let group = LoopGroup(count: 1, name: "edge")
        let loop = group.loops[0]
        let inbox = Inbox<EdgeMessage>(limit: 1024)
        let (stream, continuation) = AsyncStream.makeStream(of: Command.self)
        let registry = MetricsRegistry()
        let directory = TestDirectory()
        let health = NodeHealth(nodeName: "edge", startedAt: 0) { [] }
        health.enter(.ready)
        let edge = Edge(
            index: 0, loop: loop, inbox: inbox,
            context: EdgeContext(
                clock: SystemClock(), random: SystemRandom(), nodeName: "edge", tokens: nil,
                access: RequestAccess(origins: [], isOpenMode: true, isOpenEverywhere: false, adminToken: nil),
                router: Router(directory: directory, loopCount: 1),
                transport: TestOwners(asked: continuation, edge: inbox), metrics: NodeMetrics(registry: registry),
                registry: registry, health: health, launchLimiter: LocalLaunchLimiter(),
                subscribers: SubscriberBoard(tellingLoops: 0), admin: Inbox<AdminRequest>(limit: 1),
                connectionLimit: 8, httpLimits: HTTPLimits()))
        await edge.start()
        let listener = try await withCheckedContinuation { answer in
            loop.execute {
                answer.resume(
                    returning: Result { () throws(SystemError) in
                        try TCPListener(
                            TCPAddress(bytes: [127, 0, 0, 1], port: 0), options: TCPListenerOptions(), loops: [loop]
                        ) { _, stream in edge.assumeIsolated { $0.accept(stream) } }
                    })
            }
        }.get()
        let result: Result<Void, any Error>
        do {
            let scene = EdgeScene(listener.boundAddress, directory, inbox, stream)
            result = .success(try await body(scene))
        } catch {
            result = .failure(error)
        }
        await withCheckedContinuation { closed in
            loop.execute {
                listener.close()
                closed.resume()
            }
        }
        await edge.stop()
        group.shutdown()
        try result.get()
    }

    /// A client that wishes to follow, and the command that its wish became.
    func wish() async throws -> (client: LiveFollower, command: Command) {
        let address = address
        let client = try await onThread {
            Result {
                let client = try LiveClient(address)
                try client.upgrade()
                try client.say(#"{"op":"subscribe","id":1,"campaign":"\#(Self.campaign)"}"#)
                return LiveFollower(client: client)
            }
        }.get()
        return (client, try await command())
    }

    /// A client that follows, from a place on that an owner told it.
    func follower(at epoch: UInt64, _ seq: UInt64) async throws -> LiveFollower {
        let (client, command) = try await wish()
        answer(command.ticket, at: epoch, seq)
        #expect(try await client.next().contains(#""epoch":\#(epoch),"seq":\#(seq)"#))
        return client
    }

    func command() async throws -> Command {
        for await command in asked { return command }
        throw Unexpected(description: "the edge asks for nothing more")
    }

    /// An owner's answer: the state of the campaign at a place.
    func answer(_ ticket: ReplyTicket, at epoch: UInt64, _ seq: UInt64) {
        let subscribed = Subscribed(
            campaign: Self.campaign, position: Position(epoch: epoch, seq: seq), recovered: false, poll: nil)
        inbox.postUnbounded(.joined(ticket, Joined(subscribed: subscribed, missed: [])))
    }

    /// An owner's answer to a follower that goes on in epoch 1.
    func answer(_ ticket: ReplyTicket, after: UInt64, through last: UInt64) {
        let subscribed = Subscribed(
            campaign: Self.campaign, position: Position(epoch: 1, seq: after), recovered: true, poll: nil)
        let missed = (after + 1...last).map { Self.happening(1, $0) }
        inbox.postUnbounded(.joined(ticket, Joined(subscribed: subscribed, missed: missed)))
    }

    /// An owner's answer to a follower that has missed nothing, though that owner is a later one.
    func answer(_ ticket: ReplyTicket, after: Position, by epoch: UInt64) {
        let subscribed = Subscribed(campaign: Self.campaign, position: after, recovered: true, poll: nil)
        inbox.postUnbounded(.joined(ticket, Joined(subscribed: subscribed, missed: [], epoch: epoch)))
    }

    /// Commands that come back, since their slot is on its way.
    func handBack(_ commands: [Command]) { inbox.postUnbounded(.again(.commands(Self.campaign, commands))) }

    func event(_ epoch: UInt64, _ seq: UInt64) { inbox.postUnbounded(.event(Self.happening(epoch, seq))) }

    /// The owner has gone, or the way to it.
    func resync() { inbox.postUnbounded(.resync(Slot(of: Self.campaign))) }

    /// From where a wish to follow goes on.
    func place(_ command: Command) -> Position? {
        guard case .subscribe(let after) = command.body else {
            Issue.record("no wish to follow: \(command.body)")
            return nil
        }
        return after
    }

    private static func happening(_ epoch: UInt64, _ seq: UInt64) -> SharedEvent {
        SharedEvent(
            ServerEvent(
                campaign: campaign, position: Position(epoch: epoch, seq: seq), at: at,
                body: .signal(name: "dice", data: Array("6".utf8))))
    }
}

extension LiveFollower {
    /// There and back.
    func ping(_ id: Int) async throws {
        let follower = self
        try await onThread { Result { try follower.client.say(#"{"op":"ping","id":\#(id)}"#) } }.get()
        #expect(try await next() == #"{"op":"pong","id":\#(id)}"#)
    }

    /// The next message, whatever it is.
    func next() async throws -> String {
        let follower = self
        return try await onThread { Result { try follower.client.message() } }.get()
    }
}

@Suite(.timeLimit(.minutes(1)))
struct EdgeResyncTests {
    @Test func `a newcomer whom a new owner answers takes no event from those who were there before`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 1, 50)
            // The campaign has another owner by now, of whom the edge learns by its answer to a newcomer.
            let second = try await scene.wish()
            scene.answer(second.command.ticket, at: 2, 7)
            let again = try await scene.command()
            #expect(scene.place(again) == Position(epoch: 1, seq: 50) && again.ticket.isOfEdge)
            // What happens before the answer is in what it brings.
            scene.event(2, 8)
            scene.answer(again.ticket, at: 2, 8)
            let late = try await scene.command()
            #expect(scene.place(late) == nil && late.ticket.connection == second.command.ticket.connection)
            scene.answer(late.ticket, at: 2, 8)
            scene.event(2, 9)
            for client in [first, second.client] {
                let state = try await client.next()
                #expect(state.contains(#""op":"subscribed""#) && state.contains(#""epoch":2,"seq":8"#), "\(state)")
                let event = try await client.next()
                #expect(event.contains(#""op":"event""#) && event.contains(#""epoch":2,"seq":9"#), "\(event)")
            }
        }
    }

    @Test func `a newcomer ahead of followers that ask again waits until they have what they missed`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 1, 50)
            scene.resync()
            let again = try await scene.command()
            #expect(scene.place(again) == Position(epoch: 1, seq: 50))
            let second = try await scene.wish()
            scene.answer(second.command.ticket, after: 54, through: 60)
            scene.event(1, 61)
            scene.answer(again.ticket, after: 50, through: 61)
            for seq in 51...61 { #expect(try await first.next().contains(#""seq":\#(seq)"#)) }
            let late = try await scene.command()
            #expect(scene.place(late) == Position(epoch: 1, seq: 54))
            scene.answer(late.ticket, after: 54, through: 61)
            scene.event(1, 62)
            #expect(try await second.client.next().contains(#""recovered":true"#))
            for seq in 55...62 { #expect(try await second.client.next().contains(#""seq":\#(seq)"#)) }
            #expect(try await first.next().contains(#""seq":62"#))
        }
    }

    @Test func `a newcomer in the epoch of those who were there before changes nothing for them`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 1, 50)
            let second = try await scene.wish()
            scene.event(1, 51)
            scene.answer(second.command.ticket, at: 1, 51)
            scene.event(1, 52)
            #expect(try await second.client.next().contains(#""seq":51"#))
            for seq in 51...52 { #expect(try await first.next().contains(#""seq":\#(seq)"#)) }
            #expect(try await second.client.next().contains(#""seq":52"#))
        }
    }

    @Test func `a newcomer whose answer is older than what has happened since is asked for again`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 1, 50)
            let second = try await scene.wish()
            // The answer comes by another way than what the owner has told since.
            for seq in 51...52 as ClosedRange<UInt64> { scene.event(1, seq) }
            scene.answer(second.command.ticket, at: 1, 50)
            let again = try await scene.command()
            #expect(scene.place(again) == nil && again.ticket.connection == second.command.ticket.connection)
            scene.answer(again.ticket, at: 1, 52)
            scene.event(1, 53)
            #expect(try await second.client.next().contains(#""seq":52"#))
            #expect(try await second.client.next().contains(#""seq":53"#))
            for seq in 51...53 { #expect(try await first.next().contains(#""seq":\#(seq)"#)) }
        }
    }

    @Test func `no live event leads into the epoch of another owner`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 1, 50)
            scene.event(2, 3)
            let again = try await scene.command()
            #expect(scene.place(again) == Position(epoch: 1, seq: 50) && again.ticket.isOfEdge)
            scene.answer(again.ticket, at: 2, 9)
            scene.event(2, 10)
            for seq in 9...10 { #expect(try await first.next().contains(#""epoch":2,"seq":\#(seq)"#)) }
        }
    }

    @Test func `an answer of an owner that is none any more does not take followers back`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 2, 5)
            scene.resync()
            scene.answer(try await scene.command().ticket, at: 1, 90)
            let again = try await scene.command()
            #expect(scene.place(again) == Position(epoch: 2, seq: 5) && again.ticket.isOfEdge)
            scene.answer(again.ticket, at: 2, 6)
            #expect(try await first.next().contains(#""epoch":2,"seq":6"#))
        }
    }

    @Test func `who has missed nothing goes on under a later owner, and so does who comes then`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 7, 0)
            // Nothing has happened since the owner before.
            let second = try await scene.wish()
            scene.answer(second.command.ticket, after: Position(epoch: 6, seq: 50), by: 7)
            #expect(try await second.client.next().contains(#""epoch":6,"seq":50,"recovered":true"#))
            scene.event(7, 1)
            for client in [first, second.client] {
                #expect(try await client.next().contains(#""epoch":7,"seq":1"#))
            }
        }
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 6, 50)
            scene.resync()
            scene.answer(try await scene.command().ticket, after: Position(epoch: 6, seq: 50), by: 7)
            let second = try await scene.wish()
            scene.answer(second.command.ticket, at: 7, 0)
            #expect(try await second.client.next().contains(#""epoch":7,"seq":0"#))
            scene.event(7, 1)
            for client in [first, second.client] {
                #expect(try await client.next().contains(#""epoch":7,"seq":1"#))
            }
        }
    }

    @Test func `followers wait for their campaign however many commands wait for an owner`() async throws {
        try await EdgeScene.with { scene in
            let first = try await scene.follower(at: 1, 50)
            scene.directory.isMoving.withLock { $0 = true }
            let ticket = ReplyTicket(edge: 0, item: 0, connection: 99, generation: 99, request: nil)
            let waiting = Command(
                campaign: EdgeScene.campaign, ticket: ticket, receivedAt: SystemClock().now(),
                body: .manage(.readCampaign, nil))
            scene.handBack(Array(repeating: waiting, count: ParkingLimits.commandsLimit))
            scene.resync()
            // What is answered in the turn after the next was read after all of that.
            for id in 2...3 { try await first.ping(id) }
            scene.directory.isMoving.withLock { $0 = false }
            var command = try await scene.command()
            while !command.ticket.isOfEdge { command = try await scene.command() }
            scene.answer(command.ticket, after: 50, through: 51)
            #expect(try await first.next().contains(#""seq":51"#))
        }
    }
}
