// What an edge gets from outside.

import Cluster
import Platform
import Protocol
import Web

struct EdgeContext: Sendable {
    let clock: any Clock
    let random: any RandomSource
    var log = Log.silent
    let nodeName: String
    /// `nil` in open mode.
    let tokens: TokenVerifier?
    let access: RequestAccess
    let router: Router
    let transport: any Transport
    let metrics: NodeMetrics
    let registry: MetricsRegistry
    let health: NodeHealth
    let launchLimiter: any LaunchLimiter
    let subscribers: SubscriberBoard
    /// To whoever answers queries about placement.
    let admin: Inbox<AdminRequest>
    let connectionLimit: Int
    let httpLimits: HTTPLimits
}
