// Commands whose owner is not known for a moment, since their slot is on its way from one node to another. They wait
// here, bounded in number and time, and go to the owner as soon as there is one.

import Platform
import Protocol

enum ParkingLimits {
    /// Commands of one edge that may wait.
    static let commandsLimit = 10_000
    /// Bytes that they may take.
    static let bytesLimit = 32 * 1024 * 1024
    /// How long a command may wait, counted from when it was read.
    static let patienceMilliseconds: Int64 = 5000
    /// How long followers may wait for their campaign to come back.
    static let followersMilliseconds: Int64 = 30_000
    /// Between two looks for owners.
    static let pauseNanoseconds: UInt64 = 20_000_000
}

extension Edge {
    /// Puts a message into the outbox of its owner, or lets it wait for one.
    func route(_ message: OwnerMessage) {
        do throws(ClientError) {
            guard let lane = try context.router.lane(to: addressee(of: message)) else { return park(message) }
            outboxes[lane].append(message)
        } catch {
            refuse(message, error)
        }
    }

    func refuse(_ message: OwnerMessage, _ error: ClientError) {
        switch message {
        case .commands(_, let commands): for command in commands { refuse(command, error) }
        case .create(let creation): replyArrived(creation.ticket, .failure(error))
        }
    }

    private func addressee(of message: OwnerMessage) -> Slot {
        switch message {
        case .commands(let campaign, _): slot(of: campaign)
        case .create(let creation): creation.slot
        }
    }

    /// Lets a message wait. What waits for an owner is in order, and goes before what comes later only by chance: a
    /// client that wants an order waits for answers.
    func park(_ message: OwnerMessage) {
        let now = context.clock.now()
        switch message {
        case .create(let creation): park(message, since: creation.receivedAt, now: now)
        case .commands(let campaign, let commands):
            // Each has a patience of its own.
            for command in commands {
                if case .leave = command.body { continue }  // nobody is there to be left
                park(.commands(campaign, [command]), since: command.receivedAt, now: now)
            }
        }
    }

    private func park(_ message: OwnerMessage, since: Timestamp, now: Timestamp) {
        let limit = isOfEdge(message) ? ParkingLimits.followersMilliseconds : ParkingLimits.patienceMilliseconds
        guard now.milliseconds(since: since) < limit else {
            return refuse(
                message, ClientError(.unavailable, "no owner was found in time", retryAfterMilliseconds: 1000))
        }
        let weight = message.weight
        // Of an edge there is one for each campaign that is followed; whoever it is for would only ask again at once.
        let hasRoom = parked.count < ParkingLimits.commandsLimit && parkedBytes + weight <= ParkingLimits.bytesLimit
        guard hasRoom || isOfEdge(message) else {
            return refuse(
                message, ClientError(.overloaded, "too many commands wait for an owner", retryAfterMilliseconds: 1000))
        }
        parked.append(message)
        parkedBytes += weight
        guard parked.count == 1 else { return }
        parkTimer?.schedule(afterNanoseconds: ParkingLimits.pauseNanoseconds)
    }

    private func isOfEdge(_ message: OwnerMessage) -> Bool {
        if case .commands(_, let commands) = message { return commands.first?.ticket.isOfEdge ?? false }
        return false
    }

    /// A slot has a new owner: what waits may be waiting for it.
    func unparkSoon() {
        guard !parked.isEmpty else { return }
        parkTimer?.schedule(afterNanoseconds: 0)
    }

    /// Looks for the owners of what waits.
    func unpark() {
        let waiting = parked
        parked = []
        parkedBytes = 0
        for message in waiting { route(message) }
        turnEnded()
    }
}
