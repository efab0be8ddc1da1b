// One subscription to a campaign for the whole node: the loop `slot % loops` holds it, on its link, and passes answers
// and events to the loops that wish for them. The other loops hand their wishes over to it.

import Cluster
import Platform
import Protocol

extension RemoteOwner {
    // MARK: - Wishes

    /// Takes a wish or a farewell to the loop that holds the subscription; those of one edge stay in order.
    func sendToHolder(_ command: Command) {
        let holder = Slot(of: command.campaign).shard(of: edges.count)
        guard holder != index else { return take(command) }
        guard holder < siblings.count else { return handBack(command) }
        let owner = siblings[holder]
        owner.loop.execute { owner.assumeIsolated { $0.take(command) } }
    }

    private func handBack(_ command: Command) {
        edges[Int(command.ticket.edge)].postUnbounded(.again(.commands(command.campaign, [command])))
    }

    private func take(_ command: Command) {
        switch command.body {
        case .subscribe(let after):
            let now = following.wished(command, after: after)
            if !now.isEmpty { ask(Following.Wish(campaign: command.campaign, after: after), for: now) }
        case .leave:
            following.left(command.campaign, command.ticket.edge)
            retire(command.campaign)
        case .vote, .manage, .verify: preconditionFailure("a command that is no wish")
        }
    }

    // MARK: - Answers

    func joined(_ wish: Following.Wish, _ commands: [Command], _ result: Result<Joined, ClientError>) {
        switch result {
        case .success(let joined):
            following.joined(wish, by: commands.map(\.ticket.edge))
            for command in commands { edges[Int(command.ticket.edge)].postUnbounded(.joined(command.ticket, joined)) }
            OneShot.after(Following.restNanoseconds, on: loop) { [weak self] in
                self?.assumeIsolated { $0.goOn(wish, $0.following.rested(wish)) }
            }
        case .failure(let error):
            for command in commands {
                edges[Int(command.ticket.edge)].postUnbounded(.joinFailed(command.ticket, wish.campaign, error))
            }
            ended(wish)
        }
    }

    /// There was no answer to a wish, or a refusal: whoever has had the same since is asked for next.
    func ended(_ wish: Following.Wish) {
        goOn(wish, following.failed(wish))
    }

    private func goOn(_ wish: Following.Wish, _ next: [Command]) {
        if next.isEmpty { retire(wish.campaign) } else { ask(wish, for: next) }
    }

    private func retire(_ campaign: CampaignID) {
        guard following.retire(campaign), let link else { return }
        var body: [UInt8] = []
        RoadCodec.append(subscriptionTo: campaign, after: nil, to: &body)
        // Where it cannot be said the link is about to go, and every subscription with it.
        _ = link.assumeIsolated { $0.tell(FrameHeader(.unsubscribe, slot: Slot(of: campaign)), body: body) }
    }

    // MARK: - Events

    nonisolated func linkReceived(_ link: Link, _ header: FrameHeader, _ body: Span<UInt8>) {
        switch header.kind {
        case .event:
            guard let event = try? RoadCodec.event(body) else { return }
            onLoop { $0.arrived(event) }
        case .moved:
            guard let slot = header.slot else { return }
            if let notice = MovedNotice(body) { hints.take(slot, notice.target, epoch: header.epoch) }
            assumeIsolated { $0.moved(slot) }
        case .hello, .challenge, .proof, .welcome, .refusal, .ping, .pong, .goodbye, .relay, .relayed, .request,
            .reply, .error, .subscribe, .unsubscribe, .presence:
            break  // the link passes on events alone
        }
    }

    /// One object for every loop: each wire form is made once for the node.
    private func arrived(_ event: SharedEvent) {
        for edge in following.loops(of: event.campaign) { edges[Int(edge)].postUnbounded(.event(event)) }
    }

    private func moved(_ slot: Slot) {
        for edge in following.moved(slot) { edges[Int(edge)].postUnbounded(.resync(slot)) }
    }

    nonisolated func linkClosed(_ link: Link, _ reason: LinkCloseReason) { assumeIsolated { $0.closed() } }

    private func closed() {
        for (slot, loops) in following.closed() {
            for edge in loops { edges[Int(edge)].postUnbounded(.resync(slot)) }
        }
    }

    // MARK: - Clients

    /// Tells the owner how many clients of this node follow each campaign of which it knows another number.
    func tellPresence(_ changed: [CampaignID], _ board: SubscriberBoard) {
        for campaign in following.takeUntold(changed) {
            let clients = board.clients(of: campaign)
            guard following.isNews(clients, of: campaign), let link else { continue }
            var body: [UInt8] = []
            RoadCodec.append(presence: clients, of: campaign, to: &body)
            let header = FrameHeader(.presence, slot: Slot(of: campaign))
            let refusal = link.assumeIsolated { $0.tell(header, body: body) }
            if refusal == nil { following.told(clients, of: campaign) } else { following.owes(campaign) }
        }
    }
}
