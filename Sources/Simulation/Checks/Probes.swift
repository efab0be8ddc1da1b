// After the last fault: every slot has a living owner, and every campaign answers on every node, within four seconds.

import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class Probes: @unchecked Sendable {
    static let limit = Span.seconds(4)

    private unowned let scenario: Scenario
    /// Campaigns that a node has not yet answered for.
    private var missing: Set<String> = []
    private var startedAt: UInt64 = 0
    private var doneAt: UInt64?

    init(_ scenario: Scenario) { self.scenario = scenario }

    /// Nothing went wrong after this.
    private var quietAt: UInt64 {
        max(startedAt, scenario.quietAt, scenario.nodes.compactMap(\.crashedAt).max() ?? 0)
    }

    var servedAfter: UInt64? { doneAt.map { $0 > quietAt ? $0 - quietAt : 0 } }

    func start() {
        startedAt = scenario.world.time
        for node in scenario.nodes where node.isServing {
            for campaign in scenario.campaigns {
                missing.insert("\(campaign) on \(node.name)")
                ask(campaign, node)
            }
        }
        watchOwners()
    }

    private func ask(_ campaign: CampaignID, _ node: SimulatedNode) {
        let what = "\(campaign) on \(node.name)"
        guard missing.contains(what) else { return }
        guard node.isServing else {
            // It went down as well: nobody asks there.
            missing.remove(what)
            return concludeIfDone()
        }
        scenario.world.after(Span.milliseconds(250)) { [self] in ask(campaign, node) }
        HTTPCall("GET", "/v1/campaigns/\(campaign)", at: node.http, from: scenario.clients) { [self] answer in
            guard answer.status == 200 else { return }
            missing.remove(what)
            concludeIfDone()
        }
    }

    private func watchOwners() {
        concludeIfDone()
        guard doneAt == nil else { return }
        scenario.world.after(Span.milliseconds(20)) { [self] in watchOwners() }
    }

    /// Every slot belongs to a process that lives: the newest of its machine, which is there.
    private var isOwned: Bool {
        let tables = scenario.database.tables
        var living: Set<UInt128> = []
        for node in scenario.nodes where node.host != nil {
            guard let row = tables.nodes.last(where: { $0.name == node.name }), !row.isDead,
                row.started >= node.startedAt
            else { continue }
            living.insert(row.incarnation)
        }
        return tables.leases.allSatisfy { row in row.owner.map { living.contains($0) } ?? false }
    }

    private func concludeIfDone() {
        guard doneAt == nil, missing.isEmpty, isOwned else { return }
        doneAt = scenario.world.time
    }

    /// Says what was not served in time.
    func conclude() {
        guard let servedAfter else {
            let names = missing.sorted().prefix(3).joined(separator: ", ")
            return scenario.checker.violation(
                "not served after the last fault: \(names.isEmpty ? "some slots" : names)")
        }
        if servedAfter > Self.limit {
            scenario.checker.violation("served only \(servedAfter / 1_000_000) ms after the last fault")
        }
    }
}
