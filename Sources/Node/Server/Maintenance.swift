// Housekeeping of the journal, every ten minutes: idle campaigns that hold trimming back get another snapshot, and so
// do those whose old rows or snapshots still hold hashes of voters after the retention.

import Journal
import Platform
import Protocol

final class Maintenance: Sendable {
    static let intervalNanoseconds: UInt64 = 600_000_000_000
    /// A campaign that holds trimming back may rest this long.
    static let idleMilliseconds: Int64 = 600_000

    private let journal: any Journal
    private let shards: [Inbox<ShardMessage>]
    private let clock: any Clock
    private let log: Log
    private let retentionDays: Int
    private let running = Locked<Task<Void, Never>?>(nil)

    init(
        journal: any Journal, shards: [Inbox<ShardMessage>], clock: any Clock, log: Log, retentionDays: Int
    ) {
        self.journal = journal
        self.shards = shards
        self.clock = clock
        self.log = log
        self.retentionDays = retentionDays
    }

    /// Starts a round, unless one is still going on.
    func begin() {
        running.withLock { task in
            guard task == nil else { return }
            task = Task {
                await self.round()
                self.running.withLock { $0 = nil }
            }
        }
    }

    private func round() async {
        let now = clock.now()
        do {
            let limit = now.advanced(byMilliseconds: -Int64(retentionDays) * 86_400_000)
            var wanted = try await journal.expireVoterData(before: limit)
            wanted += try await journal.trimHolders().filter {
                now.milliseconds(since: $0.idleSince) >= Self.idleMilliseconds
            }
            var byShard = Array(repeating: [CampaignID](), count: shards.count)
            for holder in wanted { byShard[holder.slot.shard(of: shards.count)].append(holder.campaign) }
            for (shard, campaigns) in byShard.enumerated() where !campaigns.isEmpty {
                shards[shard].postUnbounded(.snapshotWanted(campaigns))
            }
        } catch {
            log.warn("maintenance.failed", [("reason", .string("\(error)"))])
        }
    }
}
