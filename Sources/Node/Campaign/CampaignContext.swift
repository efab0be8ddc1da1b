// What a campaign's actor gets from outside: time, chance, and the ways to the edges.

import Platform
import Protocol

struct CampaignContext: Sendable {
    /// The loop on which the campaign lives.
    let executor: any SerialExecutor
    let clock: any Clock
    let random: any RandomSource
    let transport: any Transport
    let metrics: NodeMetrics
}

enum CampaignLimits {
    /// How long after its end a poll waits for votes that other loops read before it.
    static let receiptGraceMilliseconds: Int64 = 20
    /// How long an answer may wait for its commit before it becomes `timeout`.
    static let replyNanosecondsLimit: UInt64 = 5_000_000_000
}
