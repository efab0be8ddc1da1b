// Follows campaigns from wherever it is connected, resumes where it was, and notes what it is shown.

import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class Follower: @unchecked Sendable {
    /// What came without a break in a stream. After a hand-off in good order it goes on in the next epoch.
    struct Stretch {
        let start: Position
        var end: Position
        var signals: [Position: String] = [:]
        /// Polls of which the follower knows, and the one that it takes for running.
        var polls: Set<PollID> = []
        var running: PollID?
    }

    private let talker: Talker
    let campaigns: [CampaignID]
    private(set) var stretches: [CampaignID: [Stretch]] = [:]
    private var newest: [CampaignID: Position] = [:]
    private var asked: [CampaignID: Position] = [:]
    /// Planted: of these the next event is lost.
    private var losing: Set<CampaignID> = []

    init(_ scenario: Scenario, _ number: Int, _ campaigns: [CampaignID]) {
        talker = Talker(scenario, "follower-\(number)")
        self.campaigns = campaigns
        talker.onOpen = { [self] in subscribe() }
        talker.onMessage = { [self] in take($0) }
    }

    var name: String { talker.name }
    private var scenario: Scenario { talker.scenario }

    func start() {
        talker.start()
        rest()
    }

    func stop() { talker.stop() }

    private func rest() {
        let pause = talker.dice.within(Span.milliseconds(800)...Span.milliseconds(6_000))
        scenario.world.after(pause) { [self] in
            talker.hangUp()
            rest()
        }
    }

    private func subscribe() {
        for campaign in campaigns {
            asked[campaign] = newest[campaign]
            talker.send(
                .subscribe(id: .string("follow"), SubscriptionRequest(campaign: campaign, after: newest[campaign])))
        }
    }

    private func take(_ message: ServerMessage) {
        switch message {
        case .subscribed(_, let subscribed): joined(subscribed)
        case .event(let event): happened(event)
        case .error(_, let campaign?, _):
            // Asked again with the next connection, or a little later on this one.
            scenario.world.after(Span.milliseconds(300)) { [self] in
                guard talker.isOpen, campaigns.contains(campaign) else { return }
                asked[campaign] = newest[campaign]
                talker.send(
                    .subscribe(
                        id: .string("follow"), SubscriptionRequest(campaign: campaign, after: newest[campaign])))
            }
        case .hello, .unsubscribed, .ack, .pong, .error: break
        }
    }

    private func joined(_ subscribed: Subscribed) {
        let campaign = subscribed.campaign
        scenario.world.note(.seen, subscribed.position.seq ^ subscribed.position.epoch << 20)
        if let last = newest[campaign], subscribed.position < last {
            scenario.checker.violation(
                "\(name): \(campaign) went back from \(last) to \(subscribed.position) in an answer")
        }
        newest[campaign] = max(subscribed.position, newest[campaign] ?? subscribed.position)
        if subscribed.recovered {
            if subscribed.position != asked[campaign] {
                scenario.checker.violation(
                    "\(name): \(campaign) resumed at \(subscribed.position), not where it was asked for")
            }
            if scenario.plant == .skippedEvent { losing.insert(campaign) }
            return
        }
        var stretch = Stretch(start: subscribed.position, end: subscribed.position)
        if let poll = subscribed.poll {
            scenario.checker.shown(poll.tally, campaign, name)
            stretch.polls.insert(poll.tally.id)
            if poll.status == .running { stretch.running = poll.tally.id }
        }
        stretches[campaign, default: []].append(stretch)
    }

    private func happened(_ event: ServerEvent) {
        let campaign = event.campaign
        if case .pollUpdate = event.body {} else if losing.remove(campaign) != nil { return }
        scenario.world.note(.seen, event.position.seq ^ event.position.epoch << 20)
        if let last = newest[campaign], event.position <= last {
            scenario.checker.violation("\(name): \(campaign) went from \(last) to \(event.position)")
        }
        newest[campaign] = event.position
        guard let place = stretches[campaign].map({ $0.count - 1 }), place >= 0 else {
            return scenario.checker.violation("\(name): an event of \(campaign) before its subscription")
        }
        note(event, campaign, place)
    }

    private func note(_ event: ServerEvent, _ campaign: CampaignID, _ place: Int) {
        guard var stretch = stretches[campaign]?[place] else { return }
        stretch.end = event.position
        switch event.body {
        case .pollStart(let poll):
            scenario.checker.shown(poll.tally, campaign, name)
            if let running = stretch.running {
                scenario.checker.violation("\(name): \(poll.tally.id) began before the end of \(running) was told")
            }
            stretch.polls.insert(poll.tally.id)
            stretch.running = poll.tally.id
        case .pollUpdate(let tally):
            scenario.checker.shown(tally, campaign, name)
            if stretch.running != tally.id {
                scenario.checker.violation("\(name): a tally of \(tally.id), whose beginning was not told")
            }
        case .pollCountdown(let poll, _):
            if stretch.running != poll {
                scenario.checker.violation("\(name): a countdown of \(poll), whose beginning was not told")
            }
        case .pollEnd(let poll):
            scenario.checker.shown(poll.tally, campaign, name)
            if stretch.running != poll.tally.id {
                scenario.checker.violation("\(name): the end of \(poll.tally.id), whose beginning was not told")
            }
            stretch.running = nil
            scenario.checker.ended(poll, name)
        case .signal(let name, _): stretch.signals[event.position] = name
        case .campaignUpdated, .campaignDeleted: break
        }
        stretches[campaign]?[place] = stretch
    }
}
