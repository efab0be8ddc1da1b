// The end of a run: every node shows every campaign alike, each poll has ended and holds what its voters were told, and a
// replay of the journal gives the state that is served.

import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class Audit: @unchecked Sendable {
    private static let patience = Span.seconds(12)

    private unowned let scenario: Scenario
    private let done: () -> Void
    private var talkers: [Talker] = []
    private var open: Set<String> = []
    private var seen: [CampaignID: [String: PollView]] = [:]
    private var isOver = false

    init(_ scenario: Scenario, _ done: @escaping () -> Void) {
        self.scenario = scenario
        self.done = done
    }

    func start() {
        for node in scenario.nodes {
            let talker = Talker(scenario, "auditor-\(node.name)")
            talker.wanted = node
            talker.onOpen = { [self] in
                for campaign in scenario.campaigns {
                    talker.send(
                        .subscribe(id: .string("audit"), SubscriptionRequest(campaign: campaign, after: nil)))
                }
            }
            talker.onMessage = { [self] message in
                guard case .subscribed(_, let subscribed) = message else { return }
                seen[subscribed.campaign, default: [:]][node.name] = subscribed.poll
                settle("\(subscribed.campaign) on \(node.name)")
            }
            talkers.append(talker)
            for campaign in scenario.campaigns { open.insert("\(campaign) on \(node.name)") }
        }
        for poll in scenario.checker.polls { askFor(poll) }
        for campaign in scenario.campaigns { verify(campaign) }
        for talker in talkers { talker.start() }
        scenario.world.after(Self.patience) { [self] in
            guard !isOver else { return }
            scenario.checker.violation("the audit got no answer: \(open.sorted().prefix(3).joined(separator: ", "))")
            finish()
        }
        if open.isEmpty { finish() }
    }

    private func settle(_ what: String) {
        open.remove(what)
        if open.isEmpty { finish() }
    }

    /// Every poll, not only the newest that a subscription shows.
    private func askFor(_ poll: PollRecord) {
        let what = "poll \(poll.id)"
        open.insert(what)
        HTTPCall(
            "GET", "/v1/campaigns/\(poll.campaign)/polls/\(poll.id)", at: node.http, from: scenario.clients
        ) { [self] answer in
            guard answer.status == 200, let tally = Self.votes(answer.body) else {
                return scenario.checker.violation("poll \(poll.id) answered \(answer.status) at the end")
            }
            if answer.text("status") != "ENDED" {
                scenario.checker.violation(
                    "poll \(poll.id) is \(answer.text("status") ?? "?") at the end; it was to end at \(poll.endsAt)")
            } else if answer.text("endedAt").flatMap({ Timestamp($0) }) != poll.endsAt {
                scenario.checker.violation("poll \(poll.id) ended at \(answer.text("endedAt") ?? "?")")
            }
            if let fault = poll.fault(in: tally) { scenario.checker.violation("poll \(poll.id): \(fault)") }
            settle(what)
        }
    }

    private var node: SimulatedNode { scenario.nodes.first(where: \.isServing) ?? scenario.nodes[0] }

    /// The numbers of the first array of votes.
    private static func votes(_ body: String) -> [UInt64]? {
        guard let start = body.firstRange(of: "\"votes\":")?.upperBound else { return nil }
        var numbers: [UInt64] = []
        var digits = ""
        for character in body[start...].drop(while: { $0 == "[" }) {
            if character.isNumber {
                digits.append(character)
            } else {
                if let number = UInt64(digits) { numbers.append(number) }
                digits = ""
                if character == "]" { return numbers }
            }
        }
        return nil
    }

    private func verify(_ campaign: CampaignID) {
        let what = "a replay of \(campaign)"
        open.insert(what)
        HTTPCall(
            "POST", "/admin/campaigns/\(campaign)/verify",
            headers: ["Authorization: Bearer \(SimulatedNode.adminToken)", "Content-Length: 0"], at: node.http,
            from: scenario.clients
        ) { [self] answer in
            guard answer.status == 200 else {
                return scenario.world.after(Span.milliseconds(300)) { [self] in verify(campaign) }
            }
            if !answer.body.contains("\"ok\":true") {
                scenario.checker.violation("a replay of \(campaign) gives another state: \(answer.body)")
            }
            settle(what)
        }
    }

    private func finish() {
        guard !isOver else { return }
        isOver = true
        for (campaign, views) in seen.sorted(by: { $0.key < $1.key }) {
            let tallies = Set(views.values.map { $0.tally.votes })
            if tallies.count > 1 { scenario.checker.violation("nodes show \(campaign) differently: \(tallies)") }
        }
        for talker in talkers { talker.stop() }
        done()
    }
}
