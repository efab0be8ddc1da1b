// The recent past of a campaign, so that a client which was away for a moment resumes without a read of the database.
//
// Kept are at least the last 256 events and the last 60 seconds, up to a bound in bytes (never fewer than 256). Of
// updates only the newest is kept, apart from the others: an older one shows nothing that it does not show.
//
// A hand-off takes the ring along, so that it spans epochs; a crash does not.

import Platform
import Protocol

struct EventRing {
    static let minimumCount = 256
    static let minimumNanoseconds: UInt64 = 60_000_000_000
    static let costLimit = 8 * 1024 * 1024

    private struct Entry {
        let event: SharedEvent
        let at: UInt64
    }

    private var entries: [Entry] = []
    private var head = 0
    private var cost = 0
    private var latestUpdate: SharedEvent?
    /// The position of the newest event that was let go; what came after it is all here.
    private var floor: Position
    /// Where each epoch ended that a hand-off closed, oldest first: positions above were never given.
    private var ends: [Position] = []

    /// An empty ring of a campaign whose stream stands at `position`: what came before cannot be recovered.
    init(startingAt position: Position) { floor = position }

    /// The ring that the owner before had when it gave the campaign away.
    init(_ past: StreamPast, now: UInt64) {
        floor = past.floor
        ends = past.ends
        for event in past.events { append(event, now: now) }
        latestUpdate = past.latestUpdate
    }

    /// What the next owner gets; nothing is appended here any more.
    func past(endingAt position: Position) -> StreamPast {
        StreamPast(
            floor: floor, ends: ends + [position], events: entries[head...].map(\.event), latestUpdate: latestUpdate)
    }

    var count: Int { entries.count - head }

    /// - Parameter now: monotonic nanoseconds.
    mutating func append(_ event: SharedEvent, now: UInt64) {
        if event.isConflatable {
            latestUpdate = event
            return
        }
        entries.append(Entry(event: event, at: now))
        cost += event.cost
        while count > Self.minimumCount {
            let oldest = entries[head]
            guard now &- oldest.at > Self.minimumNanoseconds || cost > Self.costLimit else { break }
            floor = oldest.event.position
            cost -= oldest.event.cost
            head += 1
        }
        if head > 64, head > entries.count / 2 {
            entries.removeFirst(head)
            head = 0
        }
    }

    /// The events after `position`, oldest first, or `nil` where some of them are gone.
    func events(after position: Position, current: Position) -> [SharedEvent]? {
        guard position >= floor, position <= current, wasGiven(position, current) else { return nil }
        var low = head
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].event.position <= position { low = middle + 1 } else { high = middle }
        }
        var missed = entries[low...].map(\.event)
        if let update = latestUpdate, update.position > position {
            let place = missed.firstIndex { $0.position > update.position } ?? missed.count
            missed.insert(update, at: place)
        }
        return missed
    }

    private func wasGiven(_ position: Position, _ current: Position) -> Bool {
        position.epoch == current.epoch || ends.contains { $0.epoch == position.epoch && position <= $0 }
    }
}
