// Who runs a campaign: creates it, launches its polls, and speaks to its followers in numbered signals.

import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class Director: @unchecked Sendable {
    private let talker: Talker
    private let number: Int
    private(set) var campaign: CampaignID?
    private var signals = 0
    private var launches = 0

    init(_ scenario: Scenario, _ number: Int) {
        self.number = number
        talker = Talker(scenario, "director-\(number)")
    }

    private var scenario: Scenario { talker.scenario }
    private var dice: Dice { talker.dice }

    func start() {
        talker.start()
        create()
    }

    func stop() { talker.stop() }

    /// Asks until there is a definite answer, under one key.
    private func insist(
        _ path: String, _ body: String, key: String, until giveUp: UInt64,
        _ done: @escaping @Sendable (HTTPAnswer) -> Void
    ) {
        let serving = scenario.nodes.filter(\.isServing)
        guard scenario.world.time < giveUp else { return }
        guard !serving.isEmpty else {
            return scenario.world.after(Span.milliseconds(200)) { [self] in
                insist(path, body, key: key, until: giveUp, done)
            }
        }
        HTTPCall(
            "POST", path, body: body, headers: ["Idempotency-Key: \(key)"], at: dice.pick(serving).http,
            from: scenario.clients
        ) { [self] answer in
            switch answer.status {
            case 0, 429, 500...599:
                scenario.world.after(dice.within(Span.milliseconds(100)...Span.milliseconds(600))) { [self] in
                    insist(path, body, key: key, until: giveUp, done)
                }
            default: done(answer)
            }
        }
    }

    private func create() {
        insist(
            "/v1/campaigns", #"{"name":"campaign \#(number)"}"#, key: "create-\(number)", until: scenario.lastLaunchAt
        ) { [self] answer in
            guard answer.status == 201, let id = answer.text("id").flatMap({ UUIDv7($0) }) else {
                return scenario.checker.violation("campaign \(number): creation answered \(answer.status)")
            }
            campaign = CampaignID(id)
            scenario.created(CampaignID(id))
            signal()
            scenario.world.after(dice.within(0...Span.seconds(3))) { [self] in launch() }
        }
    }

    // MARK: - Polls

    private func launch() {
        guard let campaign, scenario.world.time < scenario.lastLaunchAt else { return }
        launches += 1
        let type: PollType = dice.chance(50) ? .unique : .standard
        let body =
            #"{"question":"Which?","options":["a","b","c"],"durationSeconds":15,"type":"#
            + (type == .unique ? #""UNIQUE"}"# : #""STANDARD"}"#)
        insist(
            "/v1/campaigns/\(campaign)/polls", body, key: "launch-\(number)-\(launches)", until: scenario.lastLaunchAt
        ) { [self] answer in
            guard answer.status == 201, let id = answer.text("id").flatMap({ UUIDv7($0) }),
                let endsAt = answer.text("endsAt").flatMap({ Timestamp($0) })
            else {
                return scenario.checker.violation("campaign \(number): launch answered \(answer.status) \(answer.body)")
            }
            let poll = PollRecord(
                id: PollID(id), campaign: campaign, type: type, endsAt: endsAt, launchedAt: scenario.world.wall)
            scenario.checker.launched(poll)
            let rest = UInt64(max(0, endsAt.milliseconds(since: scenario.world.wall)))
            scenario.world.after(Span.milliseconds(rest + 300)) { [self] in launch() }
        }
    }

    // MARK: - Signals

    private func signal() {
        guard let campaign else { return }
        scenario.world.after(dice.within(Span.milliseconds(60)...Span.milliseconds(500))) { [self] in signal() }
        guard talker.isOpen else { return }
        signals += 1
        let name = "n\(signals)"
        talker.request { [self] outcome in
            if case .ack(_, let position) = outcome { scenario.checker.signalled(campaign, name, position) }
        } _: { id in
            .signal(id: id, campaign: campaign, name: name, data: Array("{}".utf8))
        }
    }
}
