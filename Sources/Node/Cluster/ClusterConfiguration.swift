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
    /// What tells this cluster from others on the same Redis; `nil` takes a fingerprint of the secret.
    public var name: String?

    /// Takes all as it is.
    public init(
        listen: TCPAddress, advertise: String? = nil, redis: RedisConfiguration, secret: [UInt8], weight: Double = 1,
        name: String? = nil
    ) {
        self.listen = listen
        self.redis = redis
        self.advertise = advertise
        self.secret = secret
        self.weight = weight
        self.name = name
    }

    /// Where the placement table is in Redis.
    var placementKey: String { "tumulte:placement:" + (name ?? fingerprint) }

    /// What the keys begin with under which launches of polls are counted in Redis.
    var launchKey: String { "tumulte:launches:" + (name ?? fingerprint) + ":" }

    /// The same for every node that knows the secret; it tells nothing about it.
    private var fingerprint: String {
        let digits = Array("0123456789abcdef".utf8)
        let tag = HMACSHA256.tag(Array("tumulte cluster name 1".utf8), key: secret).prefix(8)
        return String(decoding: tag.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
