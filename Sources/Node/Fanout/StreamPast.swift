// The recent past of a campaign's stream as it goes from one owner to the next.

import Protocol

struct StreamPast: Sendable {
    /// Epochs whose ends are remembered.
    static let endsLimit = 16

    /// The position of the newest event that is gone: whoever stands below it has to start over.
    private(set) var floor: Position
    /// Where each of the epochs ended that the events are of, oldest first.
    private(set) var ends: [Position]
    /// Oldest first; no updates among them.
    private(set) var events: [SharedEvent]
    let latestUpdate: SharedEvent?

    init(floor: Position, ends: [Position], events: [SharedEvent], latestUpdate: SharedEvent?) {
        self.floor = floor
        self.ends = ends
        self.events = events
        self.latestUpdate = latestUpdate
        guard ends.count > Self.endsLimit else { return }
        let gone = ends.count - Self.endsLimit
        self.floor = max(floor, ends[gone - 1])
        self.ends.removeFirst(gone)
        self.events.removeAll { $0.position <= self.floor }
    }

    /// Without its oldest events.
    func droppingFirst(_ count: Int) -> StreamPast {
        guard count > 0, count <= events.count else { return self }
        return StreamPast(
            floor: max(floor, events[count - 1].position), ends: ends, events: Array(events.dropFirst(count)),
            latestUpdate: latestUpdate)
    }
}
