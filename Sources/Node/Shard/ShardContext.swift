// What a shard gets from outside.

import Journal
import Platform
import Protocol

struct ShardContext: Sendable {
    let clock: any Clock
    let random: any RandomSource
    let journal: any Journal
    let transport: any Transport
    let metrics: NodeMetrics
    let health: NodeHealth
    let log: Log
    /// How long a campaign stays in memory without being used.
    var idleNanoseconds: UInt64 = 600_000_000_000
    /// Told of slots that this shard had to give up; whoever may claim them again opens them anew.
    var onFenced: @Sendable (Slot) -> Void = { _ in }
    /// Until when this node may show what it owns, in monotonic nanoseconds; a node alone always may.
    var leaseDeadline: @Sendable () -> UInt64 = { .max }
    /// Where what would hold the loop up runs.
    var beside: (any TaskExecutor)?
}
