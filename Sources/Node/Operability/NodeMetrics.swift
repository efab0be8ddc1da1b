// The metrics of a node, registered once. Everything here is counted where it happens, by relaxed atomic additions.

import Platform
import Protocol

final class NodeMetrics: Sendable {
    let connections: Gauge
    let connectionsRefused: Counter
    let webSockets: Gauge
    let subscriptions: Gauge
    let deliveries: Counter
    let slowConsumers: Counter
    let rateLimited: Counter
    let overloads: Counter
    let campaigns: Gauge
    let campaignsCreated: Counter
    let campaignsPassivated: Counter
    let campaignsActivated: Counter
    let pollsLaunched: Counter
    let pollsEnded: Counter
    let pollsCancelled: Counter
    let votesRefused: Counter
    let lateVotes: Counter
    let snapshots: Counter
    let snapshotFailures: Counter

    private let votesByStatus: [Counter]
    private let closes: [UInt16: Counter]
    private let otherCloses: Counter
    private let registry: MetricsRegistry
    private let httpCounters = Locked<[String: Counter]>([:])

    init(registry: MetricsRegistry) {
        self.registry = registry
        connections = registry.gauge("tumulte_connections", "Open client connections.")
        connectionsRefused = registry.counter(
            "tumulte_connections_refused_total", "Connections refused for lack of room or while draining.")
        webSockets = registry.gauge("tumulte_websockets", "Open WebSocket connections.")
        subscriptions = registry.gauge("tumulte_subscriptions", "Subscriptions of clients to campaigns.")
        deliveries = registry.counter("tumulte_deliveries_total", "Events handed to subscribers.")
        slowConsumers = registry.counter("tumulte_slow_consumers_total", "Connections cut because they did not read.")
        rateLimited = registry.counter("tumulte_rate_limited_total", "Messages refused by a connection's rate limit.")
        overloads = registry.counter("tumulte_overloaded_total", "Commands refused because a queue was full.")
        campaigns = registry.gauge("tumulte_campaigns", "Campaigns in memory.")
        campaignsCreated = registry.counter("tumulte_campaigns_created_total", "Campaigns created.")
        campaignsPassivated = registry.counter(
            "tumulte_campaigns_passivated_total", "Campaigns that left memory because nobody used them.")
        campaignsActivated = registry.counter(
            "tumulte_campaigns_activated_total", "Campaigns that were read back because somebody asked for them.")
        pollsLaunched = registry.counter("tumulte_polls_launched_total", "Polls launched.")
        pollsEnded = registry.counter("tumulte_polls_ended_total", "Polls that came to their end.")
        pollsCancelled = registry.counter("tumulte_polls_cancelled_total", "Polls that were cancelled.")
        votesByStatus = VoteStatus.allCases.map { status in
            registry.counter("tumulte_votes_total", "Votes accepted.", labels: [("status", "\(status.name)")])
        }
        votesRefused = registry.counter("tumulte_votes_refused_total", "Votes refused, for any reason.")
        lateVotes = registry.counter("tumulte_votes_late_total", "Votes that came after the end of their poll.")
        snapshots = registry.counter("tumulte_snapshots_total", "Snapshots begun.")
        snapshotFailures = registry.counter("tumulte_snapshot_failures_total", "Snapshots that could not be stored.")
        let help = "WebSocket connections closed by the node."
        closes = Dictionary(
            uniqueKeysWithValues: [1001, 1002, 1007, 1009, 4400, 4401, 4408, 4410, 4429, 4503].map { code in
                (code, registry.counter("tumulte_websocket_closes_total", help, labels: [("code", "\(code)")]))
            })
        otherCloses = registry.counter("tumulte_websocket_closes_total", help, labels: [("code", "other")])
    }

    func votes(_ status: VoteStatus) -> Counter { votesByStatus[Int(status.rawValue) - 1] }

    func countClose(_ code: UInt16) { (closes[code] ?? otherCloses).increment() }

    /// Requests by route and status; both come from the program's own tables, so their number is bounded.
    func countHTTP(_ route: StaticString, status: Int) {
        let name = "\(route) \(status)"
        let counter = httpCounters.withLock { counters in
            if let known = counters[name] { return known }
            let counter = registry.counter(
                "tumulte_http_requests_total", "HTTP requests answered.",
                labels: [("route", "\(route)"), ("status", "\(status)")])
            counters[name] = counter
            return counter
        }
        counter.increment()
    }
}
