// What a node among others is told beside the rest of its configuration.

public import Platform
public import Redis

/// A node's place in a cluster.
public struct ClusterConfiguration: Sendable {
    /// Where links are accepted.
    public var listen: TCPAddress
    /// Where others dial this node: `host:port`; `nil` for the address where links are accepted.
    public var advertise: String?
    /// Where the placement table is.
    public var redis: RedisConfiguration
    /// What every node of the cluster knows, at least 32 bytes.
    public var secret: [UInt8]
    /// The node's share of slots, relative to the others.
    public var weight: Double

    /// Takes all as it is.
    public init(
        listen: TCPAddress, advertise: String? = nil, redis: RedisConfiguration, secret: [UInt8], weight: Double = 1
    ) {
        self.listen = listen
        self.redis = redis
        self.advertise = advertise
        self.secret = secret
        self.weight = weight
    }
}
