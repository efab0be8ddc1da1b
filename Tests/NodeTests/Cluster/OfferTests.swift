// Slots that are offered: how long they are read, which are not read again, and by which pump they go.

@testable import Journal
import Platform
import Protocol
import Testing

@testable import Node

/// A journal that takes its time for each slot, by a clock that it turns itself.
private final class SlowJournal: Journal {
    let clock = ManualClock(at: Timestamp(milliseconds: 1_800_000_000_000))
    let read = Locked<[UInt16]>([])
    private let milliseconds: Int64

    init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// Slots from 100 on hold nothing.
    func index(_ slots: [Slot]) async throws(JournalError) -> [SlotIndex] {
        slots.map { SlotIndex(slot: $0, tail: $0.index < 100 ? 3 : 0, campaigns: []) }
    }
    func recover(_ slot: Slot) async throws(JournalError) -> SlotRecovery {
        read.withLock { $0.append(slot.index) }
        clock.advance(milliseconds: milliseconds)
        return SlotRecovery(slot: slot, tail: 3, snapshots: [], rows: [], removed: [:], notices: [])
    }
    func claim(_ slots: [Slot]) async throws(JournalError) -> [SlotClaim] { [] }
    func submit(_ rows: [SealedRow], completion: @escaping @Sendable ([RowOutcome]) -> Void) -> Bool { false }
    func submitSnapshot(_ job: SnapshotJob, completion: @escaping @Sendable (SnapshotOutcome) -> Void) {}
    func removeCampaign(
        _ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64,
        completion: @escaping @Sendable (SnapshotOutcome) -> Void
    ) {}
    func snapshot(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> RecoveredSnapshot? { nil }
    func repair(_ slot: Slot, keepThrough lsn: UInt64) async throws(JournalError) -> Int { 0 }
    func trimHolders() async throws(JournalError) -> [TrimHolder] { [] }
    func expireVoterData(before limit: Timestamp) async throws(JournalError) -> [TrimHolder] { [] }
    var statistics: JournalStatistics { JournalStatistics() }
    func close() async {}
}

struct OfferTests {
    private static func slots(_ slots: UInt16...) -> [Slot] { slots.map { Slot($0) } }

    private func read(_ journal: SlowJournal, _ slots: [Slot], milliseconds: UInt64) async -> [Slot: Incoming] {
        let opener = SlotOpener(journal: journal, shards: [], clock: journal.clock, log: .silent)
        let reader = OfferReader(journal: journal, opener: opener, clock: journal.clock)
        let deadline = journal.clock.monotonic().nanoseconds + milliseconds * 1_000_000
        return await reader.read(slots, until: deadline)
    }

    @Test func `what cannot be read in time is left out, and what holds nothing costs none`() async {
        let journal = SlowJournal(milliseconds: 700)
        let found = await read(journal, Self.slots(1, 2, 3, 4, 100, 101), milliseconds: 2000)
        #expect(journal.read.withLock { $0 } == [1, 2, 3])
        #expect(Set(found.keys) == Set(Self.slots(1, 2, 3, 100, 101)))
    }

    @Test func `however slow the journal is, one slot is read, and is new when it is`() async {
        let journal = SlowJournal(milliseconds: 60_000)
        let found = await read(journal, Self.slots(1, 2), milliseconds: 2000)
        #expect(journal.read.withLock { $0 } == [1])
        var offered = OfferedSlots()
        offered.keep(found[Slot(1)], of: Slot(1))
        #expect(offered.isFresh(Slot(1), at: journal.clock.monotonic().nanoseconds))
    }

    @Test func `what was read lately serves the next offer, and what is old does not`() {
        var offered = OfferedSlots()
        offered.keep(Incoming(readAt: 10, through: 3, campaigns: []), of: Slot(1))
        #expect(offered.isFresh(Slot(1), at: 9 + HandOffLimits.freshNanoseconds))
        #expect(!offered.isFresh(Slot(1), at: 10 + HandOffLimits.freshNanoseconds))
        #expect(!offered.isFresh(Slot(2), at: 10))
        _ = offered.take(Slot(1))
        #expect(!offered.isFresh(Slot(1), at: 10))
    }

    // MARK: - Pumps

    @Test func `batches for one node go by one pump while any is under way, those for others by others`() {
        var lanes = GivingLanes()
        let slow = lanes.begin(to: 1)
        let next = lanes.begin(to: 1)
        #expect(next == slow)
        var others: Set<Int> = []
        for target in UInt128(2)...UInt128(GivingLanes.count) { others.insert(lanes.begin(to: target)) }
        #expect(others.count == GivingLanes.count - 1 && !others.contains(slow))
        // One more than there are pumps: it does not go behind the node with the most.
        let shared = lanes.begin(to: 99)
        #expect(shared != slow)
        lanes.end(to: 1)
        let again = lanes.begin(to: 1)
        #expect(again == slow)
    }

    @Test func `a node without batches keeps no pump`() {
        var lanes = GivingLanes()
        let first = lanes.begin(to: 1)
        lanes.end(to: 1)
        lanes.end(to: 1)
        let second = lanes.begin(to: 2)
        #expect(second == first)
    }

    @Test func `as many slots may go to one node as to another`() {
        let many = (0..<HandOffLimits.slots * 2).map { Slot(UInt16($0)) }
        var held = HeldSlots()
        held.serve(many)
        _ = held.begin(Array(many[..<HandOffLimits.slots]), to: 1, batchesOf: HandOffLimits.coldSlots)
        let other = held.begin(Array(many[HandOffLimits.slots...]), to: 2, batchesOf: HandOffLimits.coldSlots)
        #expect(other.map(\.slots.count).reduce(0, +) == HandOffLimits.slots)
        #expect(held.cedingCount(to: 1) == HandOffLimits.slots && held.cedingCount(to: 3) == 0)
    }
}
