// While the node's lease has lapsed another node may own what is served here, and may have gone on with it: whoever asked
// here now would be shown the past. So nothing is looked at: commands go back to their edges, which ask again until the
// lease is renewed, the slot has another owner, or the time is over.

import Protocol

extension Shard {
    /// Sends what came by the road back; only those who leave are let go.
    func suspend(_ message: OwnerMessage) {
        switch message {
        case .create(let creation): post(.again(message), to: creation.ticket.edge)
        case .commands(let campaign, let commands):
            let leaving = commands.filter { $0.isLeave }
            if !leaving.isEmpty { route(leaving, to: campaign) }
            handBack(commands.filter { !$0.isLeave })
        }
    }
}

extension Command {
    fileprivate var isLeave: Bool { if case .leave = body { true } else { false } }
}
