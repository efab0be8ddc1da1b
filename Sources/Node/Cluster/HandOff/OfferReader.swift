// Reading slots that another node offers, while it still serves them. Whoever offers waits for the answer with other slots
// behind, so reading ends after a while: what was not managed is not taken this time, and is offered again.

import Journal
import Platform
import Protocol

struct OfferReader: Sendable {
    let journal: any Journal
    let opener: SlotOpener
    let clock: any Clock

    /// What could be read of these slots: those that hold nothing, at least one of the others, and more until `deadline`
    /// in monotonic nanoseconds.
    func read(_ slots: [Slot], until deadline: UInt64) async -> [Slot: Incoming] {
        var read: [Slot: Incoming] = [:]
        guard !slots.isEmpty, let index = try? await journal.index(slots) else { return read }
        var full: [Slot] = []
        for entry in index {
            if entry.campaigns.isEmpty, entry.tail == 0 {
                read[entry.slot] = Incoming(readAt: now, through: 0, campaigns: [])
            } else {
                full.append(entry.slot)
            }
        }
        for (place, slot) in full.enumerated() {
            guard place == 0 || now < deadline else { break }
            if case .success(let found) = await opener.read(slot) {
                read[slot] = Incoming(readAt: now, through: found.through, campaigns: found.campaigns)
            }
        }
        return read
    }

    private var now: UInt64 { clock.monotonic().nanoseconds }
}
