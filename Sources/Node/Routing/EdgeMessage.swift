// What the owner of a campaign sends to the edges.

import Protocol

/// The answer to one command.
enum Reply: Sendable {
    case signal(Position)
    /// JSON of the `data` of a success, or of the `error` (without its request id) where `status` is 400 or more.
    indirect case document(status: Int, json: [UInt8])
    indirect case failure(ClientError)
}

/// What became of a wish to follow a campaign; `missed` follows `subscribed` at once.
struct Joined: Sendable {
    let subscribed: Subscribed
    let missed: [SharedEvent]
    /// Of the owner that answered; 0 where it is not known. Positions may be of an earlier one, where nothing has happened
    /// since.
    let epoch: UInt64

    /// - Parameter epoch: 0 where nobody told it.
    init(subscribed: Subscribed, missed: [SharedEvent], epoch: UInt64 = 0) {
        self.subscribed = subscribed
        self.missed = missed
        let told = missed.last?.position ?? (subscribed.recovered ? nil : subscribed.position)
        self.epoch = epoch > 0 ? epoch : told?.epoch ?? 0
    }
}

/// An accepted vote's way back.
struct VoteReply: Sendable {
    let ticket: ReplyTicket
    let status: VoteStatus
}

enum EdgeMessage: Sendable {
    /// Votes that one commit settled, all answered with one position.
    case votes([VoteReply], Position)
    case reply(ReplyTicket, Reply)
    indirect case joined(ReplyTicket, Joined)
    indirect case joinFailed(ReplyTicket, CampaignID, ClientError)
    case event(SharedEvent)
    /// The campaigns of this slot are served under a new epoch, and their owner knows of no follower.
    case resync(Slot)
    /// Commands that certainly were not done, since their owner is not where it was: it is to be looked for anew.
    indirect case again(OwnerMessage)
    /// A command that was held back and may go on to its owner; it counts as received now.
    indirect case admitted(CampaignID, ReplyTicket, CommandBody)
}
