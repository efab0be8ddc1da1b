// What a node takes and gives follows from what the database says and from what it holds.

import Protocol
import Testing

@testable import Journal
@testable import Node

struct HeldSlotsTests {
    private static let me: UInt128 = 1
    private static let other: UInt128 = 2

    private static func slots(_ indexes: Int...) -> [Slot] { indexes.map { Slot(UInt16($0)) } }
    /// Of slots 0, 1, 2 …, each with its owner; all in epoch 5.
    private static func holdings(_ owners: UInt128?...) -> [SlotHolding] {
        owners.enumerated().map { SlotHolding(slot: Slot(UInt16($0)), epoch: 5, owner: $1) }
    }
    private static func serving(_ indexes: Int...) -> HeldSlots {
        var held = HeldSlots()
        held.serve(indexes.map { Slot(UInt16($0)) })
        return held
    }

    // MARK: - Taking

    @Test func `slots that the database gives are taken unless they are held`() {
        var held = Self.serving(0, 1)
        _ = held.begin(Self.slots(1), to: Self.other, batchesOf: 16)
        #expect(held.given(Self.holdings(Self.me, Self.me, Self.me, Self.other, nil), to: Self.me) == Self.slots(2))
    }

    @Test func `slots without a living owner whose home is here are free`() {
        let held = Self.serving(0)
        let free = held.free(
            Self.holdings(nil, nil, Self.other, 3, nil), homes: ["a", "a", "a", "a", "b"], named: "a",
            living: [Self.me, Self.other])
        #expect(free == Self.slots(1, 3))
    }

    @Test func `a slot whose cession was never told of is claimed before it is served, once`() {
        var held = Self.serving(0, 1)
        _ = held.begin(Self.slots(0, 1), to: Self.other, batchesOf: 16)
        held.doubt(Self.slots(0))
        for slot in Self.slots(0, 1) { held.letGo(slot) }
        let holdings = Self.holdings(Self.me, Self.me)
        #expect(holdings.map { held.mustClaim($0, knownEpoch: 5) } == [true, false])
        held.serve(Self.slots(0))
        #expect(!held.mustClaim(holdings[0], knownEpoch: 5))
    }

    @Test func `a slot that was lost is served again under a new epoch alone`() {
        var held = Self.serving(0, 1)
        let isLost = held.lose(Self.slots(0)[0])
        #expect(isLost)
        #expect(Self.holdings(Self.me, Self.me).map { held.mustClaim($0, knownEpoch: 5) } == [true, false])
    }

    @Test func `a slot is claimed where the database has forgotten an epoch that others have served under`() {
        let holdings = Self.holdings(Self.me)
        #expect([4, 5, 6].map { HeldSlots().mustClaim(holdings[0], knownEpoch: $0) } == [false, false, true])
    }

    // MARK: - Giving

    @Test func `slots leave for their homes, where these can take them`() {
        let held = Self.serving(3, 2, 1, 0)
        let departing = held.departing(homes: ["a", "b", "c", "b"], to: ["b": Self.other])
        #expect(departing == [Self.other: Self.slots(1, 3)])
    }

    @Test func `slots leave in batches of a size`() {
        var held = Self.serving(0, 1, 2, 3, 4)
        let batches = held.begin(Self.slots(0, 1, 2, 3, 9), to: Self.other, batchesOf: 3)
        #expect(batches.map(\.slots) == [Self.slots(0, 1, 2), Self.slots(3)])
        #expect(batches.allSatisfy { $0.target == Self.other })
        #expect(held.served == Set(Self.slots(4)))
        #expect(held.ceding.keys.sorted() == Self.slots(0, 1, 2, 3))
        #expect(held.begin(Self.slots(0), to: Self.other, batchesOf: 3).isEmpty)
    }

    @Test func `no more slots are under way than are allowed`() {
        let many = (0..<HandOffLimits.slots + 10).map { Slot(UInt16($0)) }
        var held = HeldSlots()
        held.serve(many)
        let first = held.begin(many, to: Self.other, batchesOf: HandOffLimits.coldSlots)
        #expect(first.map(\.slots.count).reduce(0, +) == HandOffLimits.slots)
        #expect(held.begin(many, to: Self.other, batchesOf: HandOffLimits.coldSlots).isEmpty)
        held.letGo(many[0])
        #expect(held.begin(many, to: Self.other, batchesOf: 16).map(\.slots.count) == [1])
    }

    @Test func `a slot that is kept is served again; one that is let go of is not`() {
        var held = Self.serving(0, 1)
        _ = held.begin(Self.slots(0, 1), to: Self.other, batchesOf: 16)
        held.keep(Self.slots(0)[0])
        held.letGo(Self.slots(1)[0])
        #expect(held.served == Set(Self.slots(0)))
        held.keep(Self.slots(1)[0])
        #expect(held.served == Set(Self.slots(0)))
        #expect(!held.isEmpty)
        #expect(held.ceding.isEmpty)
    }

    @Test func `a slot that did not come to rest is served for a while before it is asked for again`() {
        var held = Self.serving(0, 1)
        _ = held.begin(Self.slots(0, 1), to: Self.other, batchesOf: 16)
        held.keep(Self.slots(0)[0], until: 100)
        held.keep(Self.slots(1)[0])
        #expect(held.served == Set(Self.slots(0, 1)))
        let homes = Array(repeating: "other", count: Slot.count)
        #expect(held.departing(homes: homes, to: ["other": Self.other], at: 99) == [Self.other: Self.slots(1)])
        #expect(held.departing(homes: homes, to: ["other": Self.other], at: 100) == [Self.other: Self.slots(0, 1)])
    }

    @Test func `a slot is lost once, whether it was served or on its way out`() {
        var held = Self.serving(0, 1)
        _ = held.begin(Self.slots(1), to: Self.other, batchesOf: 16)
        for slot in Self.slots(0, 1) {
            #expect(held.holds(slot))
            let isLost = held.lose(slot)
            #expect(isLost)
            let isLostAgain = held.lose(slot)
            #expect(!isLostAgain)
        }
        #expect(held.isEmpty)
    }
}

struct OfferedSlotsTests {
    private static let slot = Slot(7)

    private static func offered(at time: UInt64 = 0, through lsn: UInt64 = 3) -> OfferedSlots {
        var offered = OfferedSlots()
        offered.keep(Incoming(readAt: time, through: lsn, campaigns: []), of: slot)
        return offered
    }

    @Test func `what was read of a slot is given away once`() {
        var offered = Self.offered()
        #expect(offered.through(Self.slot) == 3)
        let first = offered.take(Self.slot)
        #expect(first?.through == 3)
        let second = offered.take(Self.slot)
        #expect(second == nil)
        #expect(offered.through(Self.slot) == nil)
    }

    @Test func `whoever offered a slot is waited for from the moment at which it is seen to be owned here`() {
        var offered = Self.offered()
        let seen: UInt64 = 5_000_000_000
        let moments = [seen, seen + HandOffLimits.graceNanoseconds - 1, seen + HandOffLimits.graceNanoseconds]
        let awaited = moments.map { offered.isAwaited(Self.slot, at: $0) }
        #expect(awaited == [true, true, false])
        let isOtherAwaited = offered.isAwaited(Slot(8), at: seen)
        #expect(!isOtherAwaited)
    }

    @Test func `offers that nobody follows up are forgotten in time`() {
        var offered = Self.offered(at: 10)
        offered.forgetOld(at: 10 + HandOffLimits.offerNanoseconds)
        #expect(offered.through(Self.slot) == 3)
        offered.forgetOld(at: 11 + HandOffLimits.offerNanoseconds)
        #expect(offered.through(Self.slot) == nil)
    }

    @Test func `only so many offers are kept`() {
        var offered = Self.offered()
        #expect(offered.hasRoom(for: HandOffLimits.offers - 1))
        #expect(!offered.hasRoom(for: HandOffLimits.offers))
        offered.forget([Self.slot])
        #expect(offered.hasRoom(for: HandOffLimits.offers))
    }
}
