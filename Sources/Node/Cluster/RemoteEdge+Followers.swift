// Who follows campaigns of this node through links: each link gets an event once, however many clients are behind it.

import Cluster
import Platform
import Protocol

extension RemoteEdge {
    func subscribe(_ ticket: LinkTicket, _ wish: SubscriptionRequest, _ incarnation: UInt128) {
        let slot = Slot(of: wish.campaign)
        guard let lane = lane(to: slot, ticket) else { return }
        let origin = open(
            Request(ticket: ticket, slot: slot, answers: [], missing: 1, incarnation: incarnation), 1)
        let command = Command(
            campaign: wish.campaign, ticket: self.ticket(origin, item: 0), receivedAt: clock.now(),
            body: .subscribe(after: wish.after))
        followers.asks(wish.campaign)
        outboxes[lane].append(.commands(wish.campaign, [command]))
    }

    func joined(_ ticket: ReplyTicket, _ joined: Joined) {
        let campaign = joined.subscribed.campaign
        followers.answered(campaign)
        guard let request = request(ticket) else { return leaveIfUnused(campaign) }
        close(ticket.connection)
        var body: [UInt8] = []
        guard RoadCodec.append(joined, to: &body) else {
            refuse(request.ticket, request.slot, .overloaded)
            return leaveIfUnused(campaign)
        }
        followers.follows(request.ticket.link, campaign)
        subscribers.follows(campaign, follower(request.ticket.link), of: request.incarnation)
        reply(request, body, epoch: joined.epoch)
    }

    func joinFailed(_ ticket: ReplyTicket, _ campaign: CampaignID, _ error: ClientError) {
        followers.answered(campaign)
        leaveIfUnused(campaign)
        guard let request = request(ticket) else { return }
        close(ticket.connection)
        var body: [UInt8] = []
        RoadCodec.append(joinFailure: error, to: &body)
        reply(request, body)
    }

    func publish(_ event: SharedEvent) {
        let links = followers[event.campaign]
        guard !links.isEmpty, let host else { return }
        let header = FrameHeader(.event, slot: Slot(of: event.campaign), epoch: event.position.epoch)
        let encoded = event.encoded
        var isAnyGone = false
        for link in links {
            let isSent = host.onLoop { $0.publish(on: link, header, body: encoded) }
            if !isSent { isAnyGone = true }
        }
        if isAnyGone { leaveIfUnused(event.campaign) }
    }

    /// The slot's campaigns are served elsewhere, or anew: whoever follows them asks again.
    func moved(_ slot: Slot) {
        guard let host else { return }
        let gone = followers.leave(slot)
        let links = Set(gone.values.flatMap { $0 })
        for (campaign, links) in gone {
            for link in links { subscribers.leaves(campaign, follower(link)) }
        }
        let hint = hints.hint(of: slot)
        var body: [UInt8] = []
        if let hint { MovedNotice(target: hint.owner).append(to: &body) }
        let (header, notice) = (FrameHeader(.moved, slot: slot, epoch: hint?.epoch ?? 0), body)
        for link in links { _ = host.assumeIsolated { $0.publish(on: link, header, body: notice) } }
    }

    nonisolated func unsubscribed(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {
        guard let wish = try? RoadCodec.subscription(body) else { return }
        assumeIsolated { $0.unsubscribed(link, wish.campaign) }
    }

    func unsubscribed(_ link: HostedLinkID, _ campaign: CampaignID) {
        followers.leaves(link, campaign)
        subscribers.leaves(campaign, follower(link))
        leaveIfUnused(campaign)
    }

    private nonisolated func follower(_ link: HostedLinkID) -> SubscriberBoard.Follower {
        SubscriberBoard.Follower(edge: index, link: link)
    }

    nonisolated func present(
        _ host: LinkHost, _ link: HostedLinkID, _ peer: LinkPeer, _ header: FrameHeader, _ body: Span<UInt8>
    ) {
        guard let (campaign, clients) = try? RoadCodec.presence(body) else { return }
        subscribers.tells(campaign, follower(link), clients: clients)
    }

    /// Nobody behind this edge follows the campaign any more, or is about to: its owner need not send here.
    private func leaveIfUnused(_ campaign: CampaignID) {
        guard followers.isUnused(campaign) else { return }
        let slot = Slot(of: campaign)
        guard router.directory.owner(of: slot) == .local else { return }
        outboxes[router.loop(of: slot)].append(
            .commands(
                campaign,
                [Command(campaign: campaign, ticket: .ofEdge(index), receivedAt: clock.now(), body: .leave)]))
    }
}
