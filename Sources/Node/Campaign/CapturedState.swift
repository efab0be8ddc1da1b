import Domain

/// A campaign's state at rest: everything up to one journal row, and nothing after it.
struct CapturedState: Sendable {
    let state: Campaign
    let isForSnapshot: Bool
    /// Who asked for a comparison with the journal.
    let verifications: [ReplyTicket]
}
