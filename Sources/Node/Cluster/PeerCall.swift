// What nodes ask each other beside the road of commands: a question in one frame, an answer in one frame.

import Platform
import Protocol

/// A question of another node, on its way to whoever answers it.
struct PeerCall: Sendable {
    /// Who asks: the process.
    let caller: UInt128
    /// The whole body, its form included.
    let body: [UInt8]
    let ticket: ReplyTicket
    let edge: Inbox<EdgeMessage>

    /// Answers, once.
    func answer(_ bytes: [UInt8]) { edge.postUnbounded(.reply(ticket, .document(status: 200, json: bytes))) }

    /// Says that nothing was done.
    func refuse(_ reason: String) {
        edge.postUnbounded(.reply(ticket, .failure(ClientError(.unavailable, reason, retryAfterMilliseconds: 100))))
    }
}

/// Why a question has no answer.
struct UnansweredCall: Error, Sendable {
    let reason: String
}
