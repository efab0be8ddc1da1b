// In which order slots are read that a node begins to serve: what runs first, nothing twice, nothing forgotten.

import Journal
import Protocol
import Testing

@testable import Node

struct OpeningSlotsTests {
    private static func claims(_ slots: UInt16..., epoch: UInt64 = 5) -> [SlotClaim] {
        slots.map { SlotClaim(slot: Slot($0), epoch: epoch, tail: 1) }
    }

    private static func items(_ slots: UInt16..., epoch: UInt64 = 5) -> [SlotOpener.Item] {
        slots.map { SlotOpener.Item(claim: SlotClaim(slot: Slot($0), epoch: epoch, tail: 1), isEmpty: false) }
    }

    /// These were taken and looked up.
    private static func planned(urgent: [SlotOpener.Item], rest: [SlotOpener.Item]) -> OpeningSlots {
        var opening = OpeningSlots()
        opening.take((urgent + rest).map(\.claim))
        _ = opening.takeUnplanned()
        opening.plan(urgent: urgent, rest: rest)
        return opening
    }

    private static func next(_ opening: inout OpeningSlots, _ limit: Int) -> [UInt16] {
        opening.next(limit).map(\.claim.slot.index)
    }

    @Test func `slots with polls that run are read first, also those that are taken later`() {
        var opening = Self.planned(urgent: Self.items(4), rest: Self.items(1, 2, 3))
        let first = Self.next(&opening, 2)
        #expect(first == [4, 1])
        opening.take(Self.claims(9))
        let fresh = opening.takeUnplanned()
        #expect(fresh.map(\.slot.index) == [9])
        opening.plan(urgent: Self.items(9), rest: [])
        let rest = Self.next(&opening, 8)
        #expect(rest == [9, 2, 3])
        #expect(!opening.hasWork)
    }

    @Test func `a slot is here until it is open, whatever became of its first reading`() {
        var opening = Self.planned(urgent: [], rest: Self.items(1, 2))
        let claims = opening.next(8).map(\.claim)
        #expect(opening.contains(Slot(1)) && opening.contains(Slot(2)))
        opening.opened(claims[0])
        opening.fail([claims[1]])
        #expect(Array(opening.slots) == [Slot(2)])
        #expect(!opening.hasWork)
        opening.tryAgain()
        #expect(opening.hasWork)
        let again = opening.takeUnplanned()
        #expect(again.map(\.slot.index) == [2])
        opening.opened(claims[1])
        #expect(opening.isEmpty)
    }

    @Test func `a slot that is taken twice is read once, unless it is of a new epoch`() {
        var opening = Self.planned(urgent: [], rest: Self.items(1))
        opening.take(Self.claims(1))
        let none = opening.takeUnplanned()
        #expect(none.isEmpty)
        let old = opening.next(8)
        opening.take(Self.claims(1, epoch: 6))
        #expect(!opening.isAwaited(old[0].claim))
        opening.opened(old[0].claim)
        #expect(opening.contains(Slot(1)))
        let new = opening.takeUnplanned()
        #expect(new.map(\.epoch) == [6])
    }

    @Test func `a slot that was lost is not read any more`() {
        var opening = Self.planned(urgent: Self.items(1), rest: Self.items(2))
        opening.take(Self.claims(3))
        for slot in [Slot(1), Slot(3)] { opening.forget(slot) }
        let unplanned = opening.takeUnplanned()
        #expect(unplanned.isEmpty)
        let next = Self.next(&opening, 8)
        #expect(next == [2])
    }
}
