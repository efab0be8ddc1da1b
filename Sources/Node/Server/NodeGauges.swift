// Values that are read where they live when somebody asks for metrics: queues, the journal, the process.

import Journal
import Platform
import Postgres
import Protocol

enum NodeGauges {
    static func register(
        in registry: MetricsRegistry, store: NodeStore, shards: [Inbox<ShardMessage>],
        edges: [Inbox<EdgeMessage>], clock: any Clock
    ) {
        let journal = store.journal
        if case .database(let database) = store {
            registerConnections(in: registry, store: store)
            registerLease(in: registry, of: database, clock: clock)
        }
        registry.computed("tumulte_queue_commands", "Messages that wait for the shards.") {
            Double(shards.reduce(0) { $0 + $1.count })
        }
        registry.computed("tumulte_queue_deliveries", "Messages that wait for the edges.") {
            Double(edges.reduce(0) { $0 + $1.count })
        }
        let counters: [(String, String, @Sendable (JournalStatistics) -> Double)] = [
            ("tumulte_journal_flushes_total", "Transactions that committed rows.", { Double($0.flushes) }),
            ("tumulte_journal_rows_total", "Rows committed.", { Double($0.rows) }),
            ("tumulte_journal_votes_total", "Votes in committed rows.", { Double($0.votes) }),
            ("tumulte_journal_bytes_total", "Payload bytes of committed rows.", { Double($0.bytes) }),
            ("tumulte_journal_failed_rows_total", "Rows whose flush failed.", { Double($0.failedRows) }),
            ("tumulte_journal_trim_failures_total", "Attempts to trim that failed.", { Double($0.trimFailures) }),
            ("tumulte_journal_snapshots_total", "Snapshots stored.", { Double($0.snapshots) }),
        ]
        for (name, help, value) in counters {
            registry.computed(name, help, type: "counter") { value(journal.statistics) }
        }
        registry.computed("tumulte_journal_queue", "Rows that wait for their flush.") {
            Double(journal.statistics.queuedRows)
        }
        registry.rendered(
            "tumulte_journal_flush_seconds", "How long flushes took.", type: "histogram"
        ) { Self.flushHistogram(journal.statistics) }
        registry.computed("process_resident_memory_bytes", "Resident memory.") { Double(ProcessFacts.residentBytes) }
        registry.computed("process_open_fds", "Open file descriptors.") { Double(ProcessFacts.openDescriptors) }
        registry.computed("process_cpu_seconds_total", "Processor time used.", type: "counter") {
            ProcessFacts.processorSeconds
        }
    }

    /// The journal counts flushes in buckets that double from 64 µs.
    private static func flushHistogram(_ statistics: JournalStatistics) -> String {
        let name = "tumulte_journal_flush_seconds"
        var text = ""
        var total: UInt64 = 0
        for (index, count) in statistics.latencyBuckets.enumerated() {
            total += count
            let isLast = index == statistics.latencyBuckets.count - 1
            let bound = isLast ? "+Inf" : String(Double(UInt64(64) << UInt64(index)) / 1_000_000)
            text += "\(name)_bucket{le=\"\(bound)\"} \(total)\n"
        }
        let sum = Double(statistics.latencyNanoseconds) / 1_000_000_000
        return text + "\(name)_sum \(sum)\n\(name)_count \(total)\n"
    }

    /// Facts for `/health/details`: JSON values by name.
    static func details(store: NodeStore, metrics: NodeMetrics) -> [(String, String)] {
        let statistics = store.journal.statistics
        var error: [UInt8] = []
        JSONWriter.string(statistics.lastError?.description, to: &error)
        let mean = statistics.flushes == 0 ? 0 : statistics.latencyNanoseconds / statistics.flushes / 1000
        return connectionDetails(store) + [
            ("connections", String(metrics.connections.value)),
            ("subscriptions", String(metrics.subscriptions.value)),
            ("campaigns", String(metrics.campaigns.value)),
            ("residentBytes", String(ProcessFacts.residentBytes)),
            ("journalFlushes", String(statistics.flushes)),
            ("journalFlushMeanMicroseconds", String(mean)),
            ("journalQueuedRows", String(statistics.queuedRows)),
            ("journalLastError", String(decoding: error, as: UTF8.self)),
        ]
    }

    // MARK: - The database

    private static func registerLease(in registry: MetricsRegistry, of journal: PostgresJournal, clock: any Clock) {
        registry.computed(
            "tumulte_lease_seconds",
            "For how long this node may serve without a renewal of its lease; 0 once it may not."
        ) {
            let (deadline, now) = (journal.leaseDeadline, clock.monotonic().nanoseconds)
            return Double(deadline - min(deadline, now)) / 1_000_000_000
        }
    }

    private static func registerConnections(in registry: MetricsRegistry, store: NodeStore) {
        let gauges: [(String, String, @Sendable (PostgresStatistics) -> Double)] = [
            ("tumulte_database_connections", "Connections to the database that are ready.", { Double($0.connected) }),
            ("tumulte_database_in_flight", "Statements that are being run.", { Double($0.inFlight) }),
            ("tumulte_database_waiting", "Statements and callers that wait.", { Double($0.queued + $0.waiters) }),
        ]
        let counters: [(String, String, @Sendable (PostgresStatistics) -> Double)] = [
            ("tumulte_database_connects_total", "Connections made.", { Double($0.connects) }),
            ("tumulte_database_connect_failures_total", "Attempts that made none.", { Double($0.failedConnects) }),
            ("tumulte_database_losses_total", "Connections that broke.", { Double($0.losses) }),
            ("tumulte_database_queries_total", "Statements that were answered.", { Double($0.queries) }),
            ("tumulte_database_unknown_total", "Statements whose outcome was unknown.", { Double($0.unknownOutcomes) }),
        ]
        for (kind, entries) in [("gauge", gauges), ("counter", counters)] {
            for (name, help, value) in entries {
                registry.computed(name, help, type: kind) { store.connections.map(value) ?? 0 }
            }
        }
    }

    private static func connectionDetails(_ store: NodeStore) -> [(String, String)] {
        guard let statistics = store.connections else { return [] }
        var error: [UInt8] = []
        JSONWriter.string(statistics.lastError?.description, to: &error)
        return [
            ("databaseConnections", String(statistics.connected)),
            ("databaseInFlight", String(statistics.inFlight)),
            ("databaseWaiting", String(statistics.queued + statistics.waiters)),
            ("databaseLastError", String(decoding: error, as: UTF8.self)),
        ]
    }
}
