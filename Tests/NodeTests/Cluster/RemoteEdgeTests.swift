// What other nodes ask this one beside the road of commands, over a real link: the question as it is handed on, and its
// answer.

import Cluster
import Platform
import Protocol
import TestSupport
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(1)))
struct RemoteEdgeTests {
    private static func links(_ name: String, _ incarnation: UInt128) -> LinkConfiguration {
        LinkConfiguration(
            identity: Cluster.NodeIdentity(name: name, incarnation: incarnation),
            key: LinkKey(clusterSecret: [UInt8](repeating: 7, count: 32)), log: .silent, tableVersion: { 0 })
    }

    private static func listener(_ loop: EventLoop, _ host: LinkHost) async throws -> TCPListener {
        try await withCheckedThrowingContinuation { continuation in
            loop.execute {
                do {
                    let listener = try TCPListener(
                        TCPAddress(bytes: [127, 0, 0, 1], port: 0), options: TCPListenerOptions(), loops: [loop]
                    ) { _, stream in host.assumeIsolated { $0.accept(stream) } }
                    continuation.resume(returning: listener)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    /// Asks a remote edge whose clock stands still; what it hands on goes to `body`.
    private func asking(
        _ question: [UInt8], within milliseconds: UInt32, _ body: (PeerCall, UInt64) async throws -> Void
    ) async throws -> Result<[UInt8], UnansweredCall> {
        let group = LoopGroup(count: 2, name: "edge")
        let clock = ManualClock(at: Timestamp(milliseconds: 1_800_000_000_000))
        let calls = Inbox<PeerCall>(limit: 10)
        let hints = OwnerHints(directory: ClusterDirectory(), peers: PeerLanes())
        let edge = RemoteEdge(
            index: 0, loop: group.loops[0], inbox: Inbox(limit: 100),
            router: Router(directory: hints.directory, loopCount: 1), transport: LoopTransport(shards: [], edges: []),
            subscribers: SubscriberBoard(tellingLoops: 0), clock: clock, hints: hints, log: .silent,
            onNewerTable: { _ in },
            onCall: { _, call in calls.post(call) })
        let serving = LinkLoop(on: group.loops[0], configuration: Self.links("asked", 2))
        await serving.start()
        let host = LinkHost(shared: serving, service: edge)
        await edge.start(host)
        await host.start()
        let listener = try await Self.listener(group.loops[0], host)

        let dialling = LinkLoop(on: group.loops[1], configuration: Self.links("asker", 1))
        await dialling.start()
        let owner = RemoteOwner(
            0, loop: group.loops[1], edges: [Inbox(limit: 100)], clock: SystemClock(), hints: hints,
            onNewerTable: { _ in })
        let link = Link(
            to: "127.0.0.1", port: listener.boundAddress.port, expecting: nil, shared: dialling, handler: owner)
        await owner.use(link, among: [owner])
        await link.open()
        while await !link.isOpen { await Task.yield() }

        async let answer = owner.ask(question, within: milliseconds)
        let call = await calls.next(recycling: [])?.first
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(try #require(call), clock.monotonic().nanoseconds))
        } catch {
            result = .failure(error)
        }
        let answered = await answer
        await link.close()
        await owner.leave()
        await dialling.stop()
        group.loops[0].execute { listener.close() }
        await host.stop()
        await edge.stop()
        await serving.stop()
        group.shutdown()
        try result.get()
        return answered
    }

    @Test func `a question comes with the time at which nobody waits for its answer any more`() async throws {
        let question = [RoadCodec.Form.offer.rawValue, 0]
        let answer = try await asking(question, within: 30_000) { call, now in
            #expect(call.caller == 1 && call.body == question)
            #expect(call.deadline > now && call.deadline <= now + 30_000_000_000)
            #expect(call.isAwaited(at: call.deadline - 1) && !call.isAwaited(at: call.deadline))
            call.answer([1, 2, 3])
        }
        #expect(try answer.get() == [1, 2, 3])
    }

    @Test func `a question that is refused says why`() async throws {
        let answer = try await asking([RoadCodec.Form.offer.rawValue, 0], within: 30_000) { call, _ in
            call.refuse("not now")
        }
        #expect(throws: UnansweredCall.self) { try answer.get() }
    }
}
