// The slots that this node serves and has not read yet. A value: it says what is to be read next, and reads nothing.
//
//   taken ─► to be looked up ─► urgent, or later ─► being read ─► opened: not here any more
//                   ▲                                    └─► failed
//                   └──────── tried again ─────────────────────┘

import Journal
import Protocol

struct OpeningSlots {
    /// Taken, and not looked up in the journal yet.
    private var unplanned: [SlotClaim] = []
    /// Those with polls that run, and the others; the next ones first.
    private var urgent: [SlotOpener.Item] = []
    private var rest: [SlotOpener.Item] = []
    private var failed: [SlotClaim] = []
    /// The epoch under which each slot of these is to be opened.
    private var epochs: [Slot: UInt64] = [:]

    var isEmpty: Bool { epochs.isEmpty }
    var slots: some Sequence<Slot> { epochs.keys }
    /// Whether there is something to look up or to read now.
    var hasWork: Bool { !unplanned.isEmpty || !urgent.isEmpty || !rest.isEmpty }

    func contains(_ slot: Slot) -> Bool { epochs[slot] != nil }

    /// Whether the slot is still to be opened under this claim.
    func isAwaited(_ claim: SlotClaim) -> Bool { epochs[claim.slot] == claim.epoch }

    /// These are to be opened.
    mutating func take(_ claims: [SlotClaim]) {
        for claim in claims where !isAwaited(claim) {
            epochs[claim.slot] = claim.epoch
            unplanned.append(claim)
        }
    }

    /// What is to be looked up before anything else is read: polls that run may be among it.
    mutating func takeUnplanned() -> [SlotClaim] {
        let claims = unplanned.filter { isAwaited($0) }
        unplanned = []
        return claims
    }

    /// These have been looked up.
    mutating func plan(urgent: [SlotOpener.Item], rest: [SlotOpener.Item]) {
        self.urgent += urgent
        self.rest += rest
    }

    /// The next ones to be read, at most so many, those with polls that run first. None is given out twice.
    mutating func next(_ limit: Int) -> [SlotOpener.Item] {
        var items: [SlotOpener.Item] = []
        while items.count < limit, !urgent.isEmpty || !rest.isEmpty {
            let item = urgent.isEmpty ? rest.removeFirst() : urgent.removeFirst()
            if isAwaited(item.claim) { items.append(item) }
        }
        return items
    }

    /// The slot is open, or never will be.
    mutating func opened(_ claim: SlotClaim) {
        if isAwaited(claim) { epochs[claim.slot] = nil }
    }

    /// These could not be read, or looked up.
    mutating func fail(_ claims: [SlotClaim]) { failed += claims }

    /// What failed is tried again.
    mutating func tryAgain() {
        unplanned += failed
        failed = []
    }

    /// The slot is not served here any more.
    mutating func forget(_ slot: Slot) { epochs[slot] = nil }
}
