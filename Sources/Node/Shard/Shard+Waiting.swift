// Commands that wait for their slot or campaign to be opened wait no longer than their senders do: what is older is refused,
// as it is where commands wait for an owner, and never applied. By then the sender may have been told that it timed out.

import Domain
import Platform
import Protocol

extension Shard {
    private static let tooLate = ClientError(
        .unavailable, "the campaign was not opened in time", retryAfterMilliseconds: 1000)

    /// Whether a message may wait behind so many others. It is looked after once its sender has waited long enough.
    func admits(_ message: ShardMessage, behind count: Int) -> Bool {
        let weight = message.weight
        guard count < ShardLimits.waitingMessagesLimit, waitingBytes + weight <= ShardLimits.waitingBytesLimit else {
            return false
        }
        waitingBytes += weight
        noteWaiting(message)
        return true
    }

    private func noteWaiting(_ message: ShardMessage) {
        guard case .road(let message) = message else { return }
        let now = context.clock.now()
        let left: Int64?
        switch message {
        case .create(let creation): left = patience(creation.receivedAt, ParkingLimits.patienceMilliseconds, now)
        case .commands(_, let commands): left = commands.compactMap { patience($0, now) }.min()
        }
        guard let left else { return }
        let at = context.clock.monotonic().nanoseconds + UInt64(max(0, left)) * 1_000_000
        overdueAt = min(overdueAt, at)
    }

    /// These messages wait no more.
    func endWait(of messages: [ShardMessage]) {
        for message in messages { waitingBytes -= message.weight }
    }

    /// What of a message may still be done; the rest is refused.
    func stillAwaited(_ message: ShardMessage) -> ShardMessage? {
        guard case .road(let road) = message else { return message }
        let now = context.clock.now()
        switch road {
        case .create(let creation):
            guard patience(creation.receivedAt, ParkingLimits.patienceMilliseconds, now) <= 0 else { return message }
            post(.reply(creation.ticket, .failure(Self.tooLate)), to: creation.ticket.edge)
            return nil
        case .commands(let campaign, let commands):
            var awaited: [Command] = []
            for command in commands {
                if let left = patience(command, now), left <= 0 {
                    refuse(command, Self.tooLate)
                } else {
                    awaited.append(command)
                }
            }
            return awaited.isEmpty ? nil : .road(.commands(campaign, awaited))
        }
    }

    /// Refuses what has waited for too long.
    func refuseOverdue(at monotonic: UInt64) {
        guard overdueAt <= monotonic else { return }
        overdueAt = .max
        for slot in slots.keys.sorted() {
            switch slots[slot] {
            case .opening(let waiting)? where !waiting.isEmpty:
                slots[slot] = .opening(waiting: awaited(of: waiting))
            case .open(let open)?:
                for campaign in open.activating.keys.sorted() {
                    guard var activation = open.activating.removeValue(forKey: campaign) else { continue }
                    activation.waiting = awaited(of: activation.waiting)
                    open.activating[campaign] = activation
                }
            case .opening?, .refused?, nil: break
            }
        }
        guard overdueAt < .max else { return }
        overdueAt = max(overdueAt, monotonic + ShardLimits.overduePauseNanoseconds)
    }

    private func awaited(of messages: [ShardMessage]) -> [ShardMessage] {
        endWait(of: messages)
        let awaited = messages.compactMap { stillAwaited($0) }
        for message in awaited {
            waitingBytes += message.weight
            noteWaiting(message)
        }
        return awaited
    }

    /// Milliseconds for which a command may still wait; `nil` for one that may wait for ever.
    private func patience(_ command: Command, _ now: Timestamp) -> Int64? {
        // Whoever leaves waits for no answer, and has to be let go of.
        if case .leave = command.body { return nil }
        let isOfEdge = command.ticket.isOfEdge
        let limit = isOfEdge ? ParkingLimits.followersMilliseconds : ParkingLimits.patienceMilliseconds
        return patience(command.receivedAt, limit, now)
    }

    private func patience(_ receivedAt: Timestamp, _ limit: Int64, _ now: Timestamp) -> Int64 {
        limit - now.milliseconds(since: receivedAt)
    }
}
