// The slots that a node has, and those that it is giving away; what the owners in the database ask it to take and to
// give. A value: it asks nobody, and every answer follows from what it was told.
//
//   free ─► claimed ─┐                       ┌─ kept ◄───────────┐
//   given ─► adopted ┴─► served ─► departing ┴─► ceding ─► let go┴─► given to another
//
// Whatever the outcome, a slot is served or ceding here, or neither: never both.

import Journal
import Protocol

struct HeldSlots {
    /// Slots that go to one node together.
    struct Batch: Hashable, Sendable {
        let target: UInt128
        let slots: [Slot]
    }

    /// Slots that are served here, or about to be.
    private(set) var served: Set<Slot> = []
    /// Slots that are being given away, and to whom.
    private(set) var ceding: [Slot: UInt128] = [:]
    /// Slots that may only be served again under a new epoch.
    private var doubtful: Set<Slot> = []
    /// Slots that were not let go of when they were asked for, and when they may be asked for again.
    private var restless: [Slot: UInt64] = [:]

    var isEmpty: Bool { served.isEmpty && ceding.isEmpty }

    /// Whether the slot is served here or on its way out.
    func holds(_ slot: Slot) -> Bool { served.contains(slot) || ceding[slot] != nil }

    // MARK: - Taking

    /// Slots that the database says are this node's, and that it does not serve.
    func given(_ holdings: [SlotHolding], to me: UInt128) -> [Slot] {
        holdings.filter { $0.owner == me && !holds($0.slot) }.map(\.slot)
    }

    /// Whether a slot that was given must be claimed anew before it is served. A cession whose outcome was never told may
    /// still be committed: not after a claim. What was let go of or lost has a stream that ended, and would begin again at
    /// places where followers have been. And a database that was put back has forgotten epochs under which others have
    /// served: those must not come again.
    func mustClaim(_ holding: SlotHolding, knownEpoch: UInt64) -> Bool {
        doubtful.contains(holding.slot) || holding.epoch < knownEpoch
    }

    /// Slots whose home is here and whose owner does not live, or that never had one.
    func free(_ holdings: [SlotHolding], homes: [String], named me: String, living: Set<UInt128>) -> [Slot] {
        holdings.filter { holding in
            homes[Int(holding.slot.index)] == me && !served.contains(holding.slot)
                && !(holding.owner.map { living.contains($0) } ?? false)
        }.map(\.slot)
    }

    /// These are served from now on, under an epoch that is new here.
    mutating func serve(_ slots: [Slot]) {
        served.formUnion(slots)
        doubtful.subtract(slots)
    }

    /// These could not be opened after all.
    mutating func unserve(_ slots: [Slot]) { served.subtract(slots) }

    // MARK: - Giving

    /// Served slots whose home is another node, by that node, ascending.
    ///
    /// - Parameters:
    ///   - takers: nodes that could be given slots now, by name.
    ///   - now: monotonic nanoseconds.
    func departing(homes: [String], to takers: [String: UInt128], at now: UInt64 = .max) -> [UInt128: [Slot]] {
        var departing: [UInt128: [Slot]] = [:]
        for slot in served.sorted() where restless[slot] ?? 0 <= now {
            if let target = takers[homes[Int(slot.index)]] { departing[target, default: []].append(slot) }
        }
        return departing
    }

    /// How many slots are on their way to a node.
    func cedingCount(to target: UInt128) -> Int { ceding.values.count { $0 == target } }

    /// Begins to give slots away, as many as may be under way to one node at a time.
    mutating func begin(_ slots: [Slot], to target: UInt128, batchesOf size: Int) -> [Batch] {
        var rest = slots.filter { served.contains($0) }.prefix(max(0, HandOffLimits.slots - cedingCount(to: target)))
        var batches: [Batch] = []
        while !rest.isEmpty {
            let slots = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            for slot in slots { ceding[slot] = target }
            served.subtract(slots)
            batches.append(Batch(target: target, slots: slots))
        }
        return batches
    }

    /// The slot stays, for now.
    mutating func keep(_ slot: Slot) {
        if ceding.removeValue(forKey: slot) != nil { served.insert(slot) }
    }

    /// The slot stays: its shard did not let go of it. It is served for a while before it is asked for again.
    mutating func keep(_ slot: Slot, until time: UInt64) {
        restless = restless.filter { holds($0.key) }
        restless[slot] = time
        keep(slot)
    }

    /// Nobody has told whether these have changed hands, or they have not after they were let go of.
    mutating func doubt(_ slots: [Slot]) { doubtful.formUnion(slots) }

    /// The slot is not held here any more.
    mutating func letGo(_ slot: Slot) { ceding[slot] = nil }

    /// The slot was found to be somebody else's, or its journal to have lost rows.
    /// - Returns: whether this node held it.
    mutating func lose(_ slot: Slot) -> Bool {
        guard served.remove(slot) != nil || ceding.removeValue(forKey: slot) != nil else { return false }
        doubtful.insert(slot)
        return true
    }
}
