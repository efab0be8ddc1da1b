// An event on its way to its subscribers. It is made once by the owner of its campaign and shared, immutable, by every
// edge; the wire forms are built on demand, once per variant, and then shared by every connection of the node.

import Platform
import Protocol
import Web

/// One event of a campaign together with its encoded frames.
final class SharedEvent: Sendable {
    /// What happened, and where it stands in the campaign's stream.
    let event: ServerEvent
    /// Estimated bytes that this event holds on to, for the ring's bound.
    let cost: Int

    private let frames: Locked<[SharedBytes?]>

    init(_ event: ServerEvent) {
        self.event = event
        cost = Self.estimatedCost(of: event.body)
        frames = Locked([SharedBytes?](repeating: nil, count: WireVariant.allCases.count))
    }

    var position: Position { event.position }
    var campaign: CampaignID { event.campaign }

    /// Whether a newer event of the same kind makes this one worthless.
    var isConflatable: Bool {
        switch event.body {
        case .pollUpdate: true
        case .pollStart, .pollCountdown, .pollEnd, .campaignUpdated, .campaignDeleted, .signal: false
        }
    }

    /// The whole frame for `variant`, ready for the socket.
    func frame(_ variant: WireVariant) -> SharedBytes {
        frames.withLock { frames in
            if let frame = frames[variant.rawValue] { return frame }
            let frame = SharedBytes(EventFraming.frame(of: event, variant))
            frames[variant.rawValue] = frame
            return frame
        }
    }

    private static func estimatedCost(of body: EventBody) -> Int {
        switch body {
        case .signal(let name, let data): 1024 + 2 * (data.count + name.utf8.count)
        case .pollStart(let poll), .pollEnd(let poll): 4096 + 160 * poll.tally.channels.count
        case .pollUpdate(let tally): 2048 + 160 * tally.channels.count
        case .pollCountdown, .campaignUpdated, .campaignDeleted: 2048
        }
    }
}
