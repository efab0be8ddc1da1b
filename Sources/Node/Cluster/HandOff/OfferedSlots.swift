// Slots that other nodes have offered, with what was read of them beforehand, until they are handed over.

import Protocol

/// A slot that another node offered.
struct Incoming {
    /// When it was read, monotonic nanoseconds.
    let readAt: UInt64
    /// When this node first saw that the slot is its own.
    var ownedAt: UInt64?
    /// The row up to which it was read, and what was found.
    var through: UInt64
    var campaigns: [RecoveredCampaign]
}

struct OfferedSlots {
    private var offers: [Slot: Incoming] = [:]

    /// Whether so many more can be kept.
    func hasRoom(for count: Int) -> Bool { offers.count + count <= HandOffLimits.offers }

    /// Whether the slot was read lately: its owner need not wait for that again.
    func isFresh(_ slot: Slot, at now: UInt64) -> Bool {
        offers[slot].map { now < $0.readAt + HandOffLimits.freshNanoseconds } ?? false
    }

    /// The row up to which the slot was read; `nil` where it was not offered.
    func through(_ slot: Slot) -> UInt64? { offers[slot]?.through }

    /// Keeps what was read of a slot.
    mutating func keep(_ offer: Incoming?, of slot: Slot) { offers[slot] = offer }

    /// Gives away what was read of a slot: its tables change in place, so nobody else may hold them.
    mutating func take(_ slot: Slot) -> Incoming? { offers.removeValue(forKey: slot) }

    /// These are served: what was read of them is of no use any more.
    mutating func forget(_ slots: [Slot]) { for slot in slots { offers[slot] = nil } }

    /// Lets go of what nobody has handed over in time.
    mutating func forgetOld(at now: UInt64) {
        for (slot, offer) in offers where now > offer.readAt + HandOffLimits.offerNanoseconds { offers[slot] = nil }
    }

    /// Whether whoever offered a slot, which is owned here by now, may still be about to hand it over.
    mutating func isAwaited(_ slot: Slot, at now: UInt64) -> Bool {
        guard let offer = offers[slot] else { return false }
        let ownedAt = offer.ownedAt ?? now
        offers[slot]?.ownedAt = ownedAt
        return now < ownedAt + HandOffLimits.graceNanoseconds
    }
}
