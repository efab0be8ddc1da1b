// What becomes of commands whose link was lost after they had been sent: what has a key, or changes nothing, is sent
// again; of everything else nobody can say whether it was done.

import Protocol

extension CommandBody {
    /// Whether it goes by the loop that holds the campaign's subscription.
    var isOfSubscriptions: Bool {
        switch self {
        case .subscribe, .leave: true
        case .vote, .manage, .verify: false
        }
    }

    /// What doing it once more would do.
    fileprivate enum Repetition {
        /// Nothing: it only reads.
        case free
        /// Its key keeps it from having an effect again.
        case keyed
        /// A second time might undo what was done since.
        case harmful
    }

    fileprivate var repetition: Repetition {
        switch self {
        case .vote(let vote): vote.key == nil ? .harmful : .keyed
        case .subscribe, .leave, .verify, .manage(.readCampaign, _), .manage(.readPolls, _), .manage(.readPoll, _):
            .free
        case .manage(_, let mark): mark == nil ? .harmful : .keyed
        }
    }
}

extension Command {
    /// The same command, which may have been done.
    fileprivate var repeated: Command {
        var ticket = ticket
        ticket.isRepeated = true
        return Command(campaign: campaign, ticket: ticket, receivedAt: receivedAt, body: body)
    }
}

extension RemoteOwner.Request {
    /// Whether a command of it may have been done.
    var isRepeated: Bool {
        switch self {
        case .commands(_, let commands): commands.first?.ticket.isRepeated ?? false
        case .creation(let creation): creation.ticket.isRepeated
        case .subscription, .call: false
        }
    }

    /// What is to be sent again, and what is not, now that it may have been done.
    var afterLoss: (again: Self?, unknown: Self?) {
        switch self {
        case .subscription: return (self, nil)
        case .call: return (nil, self)
        case .creation(let creation):
            guard creation.mark != nil else { return (nil, self) }
            var ticket = creation.ticket
            ticket.isRepeated = true
            let repeated = CreationCommand(
                slot: creation.slot, principal: creation.principal, draft: creation.draft, mark: creation.mark,
                ticket: ticket, receivedAt: creation.receivedAt)
            return (.creation(repeated), nil)
        case .commands(let campaign, let commands):
            var (again, unknown): ([Command], [Command]) = ([], [])
            for command in commands {
                switch command.body.repetition {
                case .free: again.append(command)
                case .keyed: again.append(command.repeated)
                case .harmful: unknown.append(command)
                }
            }
            return (
                again.isEmpty ? nil : .commands(campaign, again), unknown.isEmpty ? nil : .commands(campaign, unknown)
            )
        }
    }
}

extension ClientError {
    /// What the sender of a command is told that may have been done before it was refused.
    var afterRepetition: ClientError {
        switch code {
        // A second time was not done for what has changed meanwhile; the first may have been.
        case .pollClosed, .notFound, .rateLimited, .overloaded, .unavailable:
            ClientError(.timeout, "the link to the owner was lost: the outcome is unknown")
        // These are the same the first time, or say so already.
        case .badRequest, .invalidOption, .unauthorized, .forbidden, .pollRunning, .conflict, .tooLarge, .timeout,
            .internalError:
            self
        }
    }
}
