import Protocol
import Testing

@testable import Node

struct EventRingTests {
    let campaign = CampaignID(UUIDv7(at: Timestamp(milliseconds: 1_700_000_000_000), random: 7))
    let start = Position(epoch: 5, seq: 0)

    private func signal(_ seq: UInt64, bytes: Int = 2) -> SharedEvent {
        SharedEvent(
            ServerEvent(
                campaign: campaign, position: Position(epoch: 5, seq: seq), at: Timestamp(milliseconds: 0),
                body: .signal(name: "s", data: Array(repeating: 0x31, count: bytes))))
    }

    private func update(_ seq: UInt64) -> SharedEvent {
        let poll = PollID(UUIDv7(at: Timestamp(milliseconds: 1), random: 1))
        return SharedEvent(
            ServerEvent(
                campaign: campaign, position: Position(epoch: 5, seq: seq), at: Timestamp(milliseconds: 0),
                body: .pollUpdate(TallyView(id: poll, votes: [seq, 0], channels: []))))
    }

    private func missed(_ ring: EventRing, after seq: UInt64, current: UInt64) -> [UInt64]? {
        ring.events(after: Position(epoch: 5, seq: seq), current: Position(epoch: 5, seq: current))?
            .map(\.position.seq)
    }

    @Test func `what came after a position is given in order`() {
        var ring = EventRing(startingAt: start)
        for seq in 1...10 { ring.append(signal(UInt64(seq)), now: 0) }
        #expect(missed(ring, after: 7, current: 10) == [8, 9, 10])
        #expect(missed(ring, after: 10, current: 10) == [])
        #expect(missed(ring, after: 0, current: 10) == Array(1...10))
    }

    @Test func `of updates only the newest is given, in its place`() {
        var ring = EventRing(startingAt: start)
        ring.append(update(1), now: 0)
        ring.append(signal(2), now: 0)
        ring.append(update(3), now: 0)
        ring.append(signal(4), now: 0)
        #expect(missed(ring, after: 0, current: 4) == [2, 3, 4])
        #expect(missed(ring, after: 3, current: 4) == [4])
    }

    @Test func `another epoch and a position ahead of the stream cannot be recovered`() {
        var ring = EventRing(startingAt: start)
        ring.append(signal(1), now: 0)
        #expect(missed(ring, after: 2, current: 1) == nil)
        #expect(ring.events(after: Position(epoch: 4, seq: 1), current: Position(epoch: 5, seq: 1)) == nil)
        #expect(ring.events(after: Position(epoch: 6, seq: 0), current: Position(epoch: 5, seq: 1)) == nil)
    }

    @Test func `a ring that was handed over goes on under the next epoch`() {
        var before = EventRing(startingAt: start)
        for seq in 1...3 { before.append(signal(UInt64(seq)), now: 0) }
        before.append(update(4), now: 0)
        // Two more positions were given to votes, which are no events.
        var ring = EventRing(before.past(endingAt: Position(epoch: 5, seq: 6)), now: 0)
        let now = Position(epoch: 9, seq: 1)
        ring.append(
            SharedEvent(
                ServerEvent(
                    campaign: campaign, position: now, at: Timestamp(milliseconds: 0),
                    body: .signal(name: "s", data: []))), now: 0)
        func after(_ epoch: UInt64, _ seq: UInt64) -> [Position]? {
            ring.events(after: Position(epoch: epoch, seq: seq), current: now)?.map(\.position)
        }
        #expect(after(5, 2) == [Position(epoch: 5, seq: 3), Position(epoch: 5, seq: 4), now])
        #expect(after(5, 6) == [now])
        #expect(after(9, 1) == [])
        // Positions that nobody ever gave.
        #expect(after(5, 7) == nil)
        #expect(after(6, 0) == nil)
        #expect(after(9, 2) == nil)
    }

    @Test func `what does not travel cannot be recovered`() {
        var before = EventRing(startingAt: start)
        for seq in 1...9 { before.append(signal(UInt64(seq)), now: 0) }
        let end = Position(epoch: 5, seq: 9)
        let ring = EventRing(before.past(endingAt: end).droppingFirst(4), now: 0)
        let now = Position(epoch: 9, seq: 0)
        #expect(ring.events(after: Position(epoch: 5, seq: 3), current: now) == nil)
        #expect(ring.events(after: Position(epoch: 5, seq: 4), current: now)?.count == 5)
        #expect(ring.events(after: Position(epoch: 5, seq: 8), current: now)?.map(\.position) == [end])
    }

    @Test func `of very many epochs the oldest are forgotten`() {
        let ends = (1...20).map { Position(epoch: UInt64($0), seq: 10) }
        let past = StreamPast(floor: Position(epoch: 1, seq: 0), ends: ends, events: [], latestUpdate: nil)
        let ring = EventRing(past, now: 0)
        let now = Position(epoch: 21, seq: 0)
        #expect(ring.events(after: Position(epoch: 4, seq: 9), current: now) == nil)
        #expect(ring.events(after: Position(epoch: 5, seq: 1), current: now)?.isEmpty == true)
    }

    @Test func `the last 256 events stay however old they are`() {
        var ring = EventRing(startingAt: start)
        for seq in 1...256 { ring.append(signal(UInt64(seq)), now: 0) }
        let late = EventRing.minimumNanoseconds * 10
        ring.append(signal(257), now: late)
        #expect(ring.count == 256)
        #expect(missed(ring, after: 1, current: 257)?.count == 256)
        #expect(missed(ring, after: 0, current: 257) == nil)
    }

    @Test func `the last 60 seconds stay however many they are`() {
        var ring = EventRing(startingAt: start)
        for seq in 1...2000 { ring.append(signal(UInt64(seq)), now: UInt64(seq)) }
        #expect(ring.count == 2000)
        #expect(missed(ring, after: 0, current: 2000)?.count == 2000)
        ring.append(signal(2001), now: EventRing.minimumNanoseconds + 1000)
        #expect(missed(ring, after: 0, current: 2001) == nil)
        #expect(missed(ring, after: 1500, current: 2001)?.count == 501)
    }

    @Test func `a flood is bounded in bytes, and never cut below 256 events`() {
        var ring = EventRing(startingAt: start)
        for seq in 1...1000 { ring.append(signal(UInt64(seq), bytes: 16 * 1024), now: 0) }
        #expect(ring.count == 256)
        #expect(missed(ring, after: 743, current: 1000) == nil)
        #expect(missed(ring, after: 744, current: 1000)?.count == 256)
    }
}

struct UpdateConflatorTests {
    @Test func `the first update after a quiet moment leaves at once, the next after the interval`() {
        var conflator = UpdateConflator()
        #expect(conflator.delay(at: 5) == nil)
        conflator.tallyChanged()
        #expect(conflator.mayLeave(at: 5))
        #expect(conflator.delay(at: 5) == 0)
        conflator.updateSent(at: 5)
        #expect(conflator.delay(at: 6) == nil)
        conflator.tallyChanged()
        #expect(!conflator.mayLeave(at: 6))
        #expect(conflator.delay(at: 6) == UpdateConflator.intervalNanoseconds - 1)
        #expect(conflator.mayLeave(at: 5 + UpdateConflator.intervalNanoseconds))
    }

    @Test func `a start or an end takes the place of an owed update`() {
        var conflator = UpdateConflator()
        conflator.tallyChanged()
        conflator.superseded()
        #expect(!conflator.isOwed)
        #expect(conflator.delay(at: 9) == nil)
    }
}
