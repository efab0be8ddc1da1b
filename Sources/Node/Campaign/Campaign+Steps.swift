// From events of the domain to steps of the campaign's stream.

import Domain
import Protocol

extension Campaign {
    /// What subscribers see of an event that was just applied; `nil` where there is nothing to see.
    func step(for event: CampaignEvent, position: Position) -> PendingStep? {
        switch event {
        case .created, .channelAdded, .countdownSkipped, .replyRemembered: nil
        case .voted: .votes
        case .updated: .updated(view)
        case .deleted: .deleted
        case .pollStarted(let definition, _): pollView(definition.id, position: position).map { .pollStart($0) }
        case .countdown(let poll, let secondsLeft, _): .countdown(poll, secondsLeft: secondsLeft)
        case .pollEnded(let poll, _, _): pollView(poll, position: position).map { .pollEnd($0) }
        }
    }
}
