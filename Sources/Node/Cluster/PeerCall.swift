// What nodes ask each other beside the road of commands: a question in one frame, an answer in one frame.

import Platform
import Protocol

/// A question of another node, on its way to whoever answers it.
struct PeerCall: Sendable {
    /// Who asks: the process.
    let caller: UInt128
    /// The whole body, its form included.
    let body: [UInt8]
    /// Until when the caller waits for the answer, monotonic nanoseconds of this node.
    let deadline: UInt64
    let ticket: ReplyTicket
    let edge: Inbox<EdgeMessage>

    /// Whether the answer may still arrive in time.
    func isAwaited(at now: UInt64) -> Bool { now < deadline }

    /// Refuses what is not awaited any more, so that it is let go of.
    ///
    /// - Returns: whether it did.
    func isRefusedAsLate(at now: UInt64) -> Bool {
        guard !isAwaited(at: now) else { return false }
        refuse("nobody waits for this answer any more")
        return true
    }

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
