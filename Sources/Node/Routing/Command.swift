// What an edge asks of the owner of a campaign. Commands are plain values: today they cross from loop to loop, and
// nothing in them would keep them from crossing to another node.

import Domain
import Protocol

/// Where an answer goes back to. The generation keeps an answer from reaching a newer connection in the same place.
struct ReplyTicket: Sendable {
    /// The edge's index.
    let edge: UInt16
    /// The item in a batch of votes; 0 elsewhere.
    var item: UInt16 = 0
    /// The connection's index in the edge.
    let connection: UInt32
    /// The generation of that index.
    let generation: UInt32
    /// The client's mark on the message; the id of the request, where it came by HTTP.
    var request: RequestID?
    /// The command may have been done before, and is harmless once more; a refusal does not tell what became of it.
    var isRepeated = false
    /// The command came by HTTP: `request` is logged, and goes with it to other nodes.
    var isOfHTTP = false

    /// For what an edge asks on its own behalf.
    static func ofEdge(_ edge: UInt16) -> ReplyTicket {
        ReplyTicket(edge: edge, connection: .max, generation: 0, request: nil)
    }

    var isOfEdge: Bool { connection == .max }
}

/// An Idempotency-Key as the owner compares it: hashed with its principal and route, and the hash of the body.
struct IdempotencyMark: Sendable {
    let key: Hash128
    let body: Hash128
}

/// A vote whose sender was found entitled to cast it.
struct VoteCommand: Sendable {
    let poll: PollID
    let option: Int
    let voter: String?
    let channel: String?
    let key: String?
}

/// The rare commands, apart from the road of a vote.
enum ManagementCommand: Sendable {
    case create(Principal, CampaignDraft)
    case update(Principal, CampaignPatch)
    case delete(Principal)
    case launch(Principal, PollDraft)
    case cancel(Principal, PollID)
    case signal(Principal, name: String, data: [UInt8])
    case readCampaign
    case readPolls(limit: Int)
    case readPoll(PollID)
}

enum CommandBody: Sendable {
    case vote(VoteCommand)
    /// A client of the edge wishes to follow, from a position where it has one.
    case subscribe(after: Position?)
    /// The edge has no subscriber of the campaign left.
    case leave
    indirect case manage(ManagementCommand, IdempotencyMark?)
    /// Compare the live state with a replay of the journal.
    case verify
}

/// One command with its way back.
struct Command: Sendable {
    let campaign: CampaignID
    let ticket: ReplyTicket
    /// When the edge read it from its socket: decides whether a vote came before the end.
    let receivedAt: Timestamp
    let body: CommandBody
}

/// The creation of a campaign: it has no id yet, so it is addressed to a slot.
struct CreationCommand: Sendable {
    let slot: Slot
    let principal: Principal
    let draft: CampaignDraft
    let mark: IdempotencyMark?
    let ticket: ReplyTicket
    let receivedAt: Timestamp
}
