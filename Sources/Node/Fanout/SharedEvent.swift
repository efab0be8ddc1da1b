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

    private struct Forms {
        var frames = [SharedBytes?](repeating: nil, count: WireVariant.allCases.count)
        var encoded: [UInt8]?
    }
    private let forms = Locked(Forms())

    init(_ event: ServerEvent) {
        self.event = event
        cost = Self.estimatedCost(of: event.body)
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
        forms.withLock { forms in
            if let frame = forms.frames[variant.rawValue] { return frame }
            let frame = SharedBytes(EventFraming.frame(of: event, variant))
            forms.frames[variant.rawValue] = frame
            return frame
        }
    }

    /// The binary message without a frame, as it travels between nodes.
    var encoded: [UInt8] {
        forms.withLock { forms in
            if let encoded = forms.encoded { return encoded }
            var output: [UInt8] = []
            BinaryClientCodec.encode(.event(event), into: &output)
            forms.encoded = output
            return output
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
