import Platform
import Protocol
import Testing

@testable import Cluster

private let millisecond: UInt64 = 1_000_000

private func request(_ remaining: UInt32 = 5000, hops: UInt8 = 0) -> FrameHeader {
    FrameHeader(.request, slot: Slot(5), remainingMilliseconds: remaining, hops: hops)
}

extension LinkMachine {
    fileprivate init(requests: Int = 16_384, bytes: Int = 1 << 20) {
        var limits = LinkLimits()
        limits.requestsInFlight = requests
        limits.queuedBytes = bytes
        self.init(limits: limits, now: 0)
    }

    /// Submits and gives the id under which it is written; 0 where it is not.
    fileprivate mutating func sent(_ token: UInt64, remaining: UInt32 = 5000, now: UInt64 = 0) -> UInt64 {
        guard case .write(let header) = submit(request(remaining), body: [], token: token, now: now) else { return 0 }
        return header.request
    }
}

@Suite(.timeLimit(.minutes(5)))
struct LinkMachineTests {
    @Test func `answers find their requests in any order, once`() {
        var machine = LinkMachine()
        let ids = (0..<200).map { machine.sent(UInt64($0) + 1000) }
        #expect(Set(ids).count == 200)
        #expect(machine.inFlight == 200)
        for index in [7, 199, 0, 100] {
            #expect(machine.answered(ids[index]) == UInt64(index) + 1000)
            #expect(machine.answered(ids[index]) == nil)
        }
        #expect(machine.answered(0) == nil)
        #expect(machine.answered(9999) == nil)
        #expect(machine.inFlight == 196)
        #expect(machine.closed().map(\.token) == (0..<200).filter { ![7, 199, 0, 100].contains($0) }.map { $0 + 1000 })
    }

    @Test func `an old request that stays does not lose its place to a newer one`() {
        var machine = LinkMachine()
        let first = machine.sent(1)
        for token in 2..<1000 as Range<UInt64> {
            let id = machine.sent(token)
            #expect(machine.answered(id) == token)
        }
        #expect(machine.answered(first) == 1)
    }

    @Test func `a random history ends each request exactly once`() {
        let random = SeededRandom(seed: 11)
        var machine = LinkMachine(requests: 100, bytes: 3000)
        var open: Set<UInt64> = []
        var ids: [UInt64: UInt64] = [:]
        var ended = 0
        var token: UInt64 = 0
        var now: UInt64 = 0
        func end(_ loss: LinkLoss) {
            #expect(open.remove(loss.token) != nil)
            ended += 1
        }
        for _ in 0..<6000 {
            switch random.next() % 10 {
            case 0...4:
                token += 1
                let body = [UInt8](repeating: 0, count: Int(random.next() % 200))
                switch machine.submit(
                    request(UInt32(1 + random.next() % 500)), body: body, token: token, now: now)
                {
                case .write(let header):
                    #expect(!machine.isBlocked)
                    open.insert(token)
                    ids[header.request] = token
                case .queued:
                    #expect(machine.isBlocked)
                    open.insert(token)
                case .refused(let reason): #expect(reason == .overloaded)
                }
            case 5, 6:
                guard let id = ids.keys.sorted().first(where: { $0 >= random.next() % (token + 1) }),
                    let expected = ids.removeValue(forKey: id)
                else { continue }
                if let found = machine.answered(id) {
                    #expect(found == expected)
                    #expect(open.remove(found) != nil)
                    ended += 1
                }
            case 7: if random.next() % 2 == 0 { machine.blocked() } else { machine.flushed() }
            case 8:
                for frame in machine.drained(now: now) {
                    #expect(frame.header.remainingMilliseconds > 0)
                }
            default:
                now += random.next() % (100 * millisecond)
                for case .expire(let loss) in machine.ticked(now: now) { end(loss) }
                _ = machine.heard()
            }
            #expect(machine.inFlight == open.count)
            #expect(machine.inFlight <= 100)
            #expect(machine.queuedBytes <= 3000)
        }
        for loss in machine.closed() { end(loss) }
        #expect(open.isEmpty)
        #expect(ended > 500)
    }

    @Test func `too many requests are refused, and an answer makes room`() {
        var machine = LinkMachine(requests: 100)
        let ids = (0..<100).map { machine.sent($0) }
        #expect(machine.submit(request(), body: [], token: 1, now: 0) == .refused(.overloaded))
        #expect(machine.answered(ids[50]) == 50)
        #expect(machine.sent(100) != 0)
        #expect(machine.submit(request(), body: [], token: 1, now: 0) == .refused(.overloaded))
    }

    @Test func `while the socket takes nothing frames wait up to a bound, and leave in order`() {
        var machine = LinkMachine(bytes: 180)
        machine.blocked()
        #expect(machine.submit(request(), body: [1], token: 1, now: 0) == .queued)
        #expect(machine.submit(FrameHeader(.unsubscribe), body: [2]) == .queued)
        #expect(machine.submit(request(), body: [3], token: 3, now: 0) == .queued)
        #expect(machine.queuedBytes == 153)
        #expect(machine.submit(request(), body: [4], token: 4, now: 0) == .refused(.overloaded))
        #expect(machine.submit(FrameHeader(.unsubscribe), body: [5]) == .refused(.overloaded))
        #expect(machine.drained(now: 0).map(\.body) == [[1], [2], [3]])
        #expect(machine.queuedBytes == 153)
        machine.flushed()
        #expect(machine.queuedBytes == 0)
        #expect(machine.sent(5) != 0)
    }

    @Test func `one turn gathers no more than the bound, until it is written`() {
        var machine = LinkMachine(bytes: 100)
        #expect(machine.sent(1) != 0)
        #expect(machine.sent(2) != 0)
        #expect(machine.submit(request(), body: [], token: 3, now: 0) == .refused(.overloaded))
        machine.flushed()
        #expect(machine.sent(3) != 0)
        // What the socket took a part of counts until it has drained.
        machine.blocked()
        machine.flushed()
        #expect(machine.submit(request(), body: [], token: 4, now: 0) == .queued)
        #expect(machine.submit(request(), body: [], token: 5, now: 0) == .refused(.overloaded))
    }

    @Test func `what waited tells the time that is left, and what has none stays here`() {
        var machine = LinkMachine()
        machine.blocked()
        _ = machine.submit(request(1000), body: [1], token: 1, now: 0)
        _ = machine.submit(request(300), body: [2], token: 2, now: 0)
        let frames = machine.drained(now: 400 * millisecond)
        #expect(frames.map(\.body) == [[1]])
        #expect(frames.map(\.header.remainingMilliseconds) == [600])
        #expect(machine.ticked(now: 401 * millisecond) == [.expire(LinkLoss(token: 2, wasSent: false))])
    }

    @Test func `a request ends at its deadline, and a later answer finds nobody`() {
        var machine = LinkMachine()
        let late = machine.sent(1, remaining: 100)
        _ = machine.sent(2, remaining: 200)
        #expect(machine.ticked(now: 99 * millisecond).isEmpty)
        #expect(machine.ticked(now: 100 * millisecond) == [.expire(LinkLoss(token: 1, wasSent: true))])
        #expect(machine.answered(late) == nil)
        #expect(machine.ticked(now: 150 * millisecond).isEmpty)
        #expect(machine.ticked(now: 200 * millisecond) == [.expire(LinkLoss(token: 2, wasSent: true))])
        #expect(machine.inFlight == 0)
    }

    @Test func `a deadline is bounded, and none at all is refused`() {
        var machine = LinkMachine()
        #expect(machine.submit(request(0), body: [], token: 1, now: 0) == .refused(.expired))
        guard case .write(let header) = machine.submit(request(.max), body: [], token: 1, now: 0) else {
            return #expect(Bool(false))
        }
        #expect(header.remainingMilliseconds == ClusterFrame.remainingMillisecondsLimit)
    }

    @Test func `a frame passes three nodes and no more`() {
        var machine = LinkMachine()
        for hops in 0..<3 as Range<UInt8> {
            guard case .write(let header) = machine.submit(request(hops: hops), body: [], token: 1, now: 0) else {
                return #expect(Bool(false))
            }
            #expect(header.hops == hops + 1)
        }
        for hops in [3, 4, 255] as [UInt8] {
            #expect(machine.submit(request(hops: hops), body: [], token: 1, now: 0) == .refused(.hopsExceeded))
        }
    }

    @Test func `when the link closes each loss tells whether it can have arrived`() {
        var machine = LinkMachine()
        _ = machine.sent(1)
        machine.blocked()
        _ = machine.submit(request(), body: [], token: 2, now: 0)
        #expect(machine.closed() == [LinkLoss(token: 1, wasSent: true), LinkLoss(token: 2, wasSent: false)])
        #expect(machine.closed().isEmpty)
        #expect(machine.submit(request(), body: [], token: 3, now: 0) == .refused(.leaving))
    }

    /// The times at which pings leave and anything else happens, in ticks of 50 ms.
    private func run(
        _ machine: inout LinkMachine, until end: UInt64, from start: UInt64 = 0
    ) -> [(UInt64, LinkMachine.Action)] {
        stride(from: start, through: end, by: 50).flatMap { time in
            machine.ticked(now: time * millisecond).map { (time, $0) }
        }
    }

    @Test func `pings go out every half second; two missed are a suspicion, six the end`() {
        var machine = LinkMachine()
        let seen = run(&machine, until: 4000)
        let pings = seen.filter { if case .write = $0.1 { true } else { false } }
        #expect(pings.map(\.0) == [500, 1000, 1500, 2000, 2500, 3000])
        #expect(seen.filter { $0.1 == .suspect }.map(\.0) == [1500])
        #expect(seen.filter { $0.1 == .giveUp }.map(\.0).first == 3500)
    }

    @Test func `a sign of life ends a suspicion, told once`() {
        var machine = LinkMachine()
        _ = run(&machine, until: 1500)
        #expect(machine.isSuspected)
        #expect(machine.heard() == .trust)
        #expect(machine.heard() == nil)
        let seen = run(&machine, until: 3000, from: 1550)
        #expect(seen.filter { $0.1 == .suspect }.map(\.0) == [3000])
    }

    @Test func `a process that was stopped itself suspects nobody`() {
        var machine = LinkMachine()
        _ = run(&machine, until: 400)
        // Ten seconds later the pong waits in the socket, not read yet.
        let actions = machine.ticked(now: 10_400 * millisecond)
        #expect(actions == [.write(FrameHeader(.ping, request: 1))])
        #expect(!machine.isSuspected)
    }

    @Test func `a socket that takes nothing gets no pings, and is suspected all the same`() {
        var machine = LinkMachine()
        machine.blocked()
        #expect(run(&machine, until: 1500).map(\.1) == [.suspect])
    }

    @Test func `a pong tells the round trip of the last ping alone`() {
        var machine = LinkMachine()
        _ = machine.ticked(now: 500 * millisecond)
        machine.ponged(9, now: 501 * millisecond)
        #expect(machine.roundTripNanoseconds == nil)
        machine.ponged(1, now: 503 * millisecond)
        #expect(machine.roundTripNanoseconds == 3 * millisecond)
        machine.ponged(1, now: 600 * millisecond)
        #expect(machine.roundTripNanoseconds == 3 * millisecond)
    }

    @Test func `after a goodbye nothing is taken, and the last answer ends the link`() {
        var machine = LinkMachine()
        let id = machine.sent(1)
        machine.saidGoodbye()
        #expect(machine.submit(request(), body: [], token: 2, now: 0) == .refused(.leaving))
        #expect(!machine.isDone)
        #expect(machine.answered(id) == 1)
        #expect(machine.isDone)
    }
}

@Suite struct ServingMachineTests {
    private func header(_ kind: FrameKind, remaining: UInt32 = 100, hops: UInt8 = 1) -> FrameHeader {
        FrameHeader(kind, request: 1, remainingMilliseconds: remaining, hops: hops)
    }

    @Test func `what a dialer sends is delivered or answered, anything else ends the link`() {
        for kind in FrameKind.allCases {
            var machine = ServingMachine(now: 0)
            switch kind {
            case .request, .subscribe, .unsubscribe, .presence:
                #expect(machine.received(header(kind), now: 0) == .deliver)
                #expect(machine.openRequests == (kind == .request || kind == .subscribe ? 1 : 0))
            case .ping: #expect(machine.received(header(kind), now: 0) == .pong)
            case .relay: #expect(machine.received(header(kind), now: 0) == .relay)
            case .hello, .challenge, .proof, .welcome, .refusal, .pong, .goodbye, .relayed, .reply, .error, .event,
                .moved:
                #expect(machine.received(header(kind), now: 0) == .close(.unexpectedKind(kind)))
            }
        }
    }

    @Test func `a link with requests under way does not become a way for others`() {
        var machine = ServingMachine(now: 0)
        #expect(machine.received(header(.request), now: 0) == .deliver)
        #expect(machine.received(header(.relay), now: 0) == .answer(PeerError(.unavailable)))
        machine.answered()
        #expect(machine.received(header(.relay), now: 0) == .relay)
        machine.leaves()
        #expect(machine.received(header(.relay), now: 0) == .answer(PeerError(.unavailable)))
    }

    @Test func `a request out of time, over its hops or over the bound is answered at once`() {
        var machine = ServingMachine(now: 0)
        #expect(machine.received(header(.request, remaining: 0), now: 0) == .answer(PeerError(.expired)))
        for hops in [0, 4, 255] as [UInt8] {
            #expect(machine.received(header(.request, hops: hops), now: 0) == .answer(PeerError(.hopsExceeded)))
        }
        #expect(machine.openRequests == 0)
        for _ in 0..<ServingMachine.openRequestsLimit {
            #expect(machine.received(header(.request, hops: 3), now: 0) == .deliver)
        }
        guard case .answer(let error) = machine.received(header(.request), now: 0) else {
            return #expect(Bool(false))
        }
        #expect(error.code == .overloaded)
        machine.answered()
        #expect(machine.received(header(.request), now: 0) == .deliver)
    }

    @Test func `a dialer that is silent, or takes nothing, for three seconds is given up`() {
        var machine = ServingMachine(now: 0)
        for time in stride(from: 50, through: 3000, by: 50) as StrideThrough<UInt64> {
            #expect(machine.ticked(now: time * millisecond) == nil)
        }
        #expect(machine.ticked(now: 3050 * millisecond) == .silent)
        _ = machine.received(header(.ping), now: 3050 * millisecond)
        #expect(machine.ticked(now: 3100 * millisecond) == nil)
        machine.blocked(now: 3100 * millisecond)
        for time in stride(from: 3150, through: 6100, by: 50) as StrideThrough<UInt64> {
            machine.blocked(now: time * millisecond)
            #expect(machine.ticked(now: time * millisecond) == nil)
        }
        #expect(machine.ticked(now: 6150 * millisecond) == .tooSlow)
        machine.drained(now: 6150 * millisecond)
        #expect(machine.ticked(now: 6200 * millisecond) == nil)
    }

    @Test func `a process that was stopped itself gives nobody up`() {
        var machine = ServingMachine(now: 0)
        #expect(machine.ticked(now: 50 * millisecond) == nil)
        #expect(machine.ticked(now: 10_000 * millisecond) == nil)
        #expect(machine.ticked(now: 10_050 * millisecond) == nil)
    }

    @Test func `after a goodbye new requests are unavailable, and the last answer ends the link`() {
        var machine = ServingMachine(now: 0)
        _ = machine.received(header(.request), now: 0)
        machine.leaves()
        #expect(machine.received(header(.request), now: 0) == .answer(PeerError(.unavailable)))
        #expect(!machine.isDone)
        machine.answered()
        #expect(machine.isDone)
    }
}
