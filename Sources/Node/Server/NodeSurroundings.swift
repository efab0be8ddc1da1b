// What a node uses of the world around it. A node in service has the machine's; a simulation puts twins in their place,
// and everything between them is the node as it is shipped.

public import Cluster
public import Platform

/// Time, chance, threads and stores of a node. The database is named by the configuration.
public struct NodeSurroundings: Sendable {
    /// The time.
    public var clock: any Clock = SystemClock()
    /// Chance.
    public var random: any RandomSource = SystemRandom()
    /// Turns the node's loops; `nil` gives each a thread of its own.
    public var loopDriver: (any LoopDriver)?
    /// Where what would hold a loop up runs; `nil` is the pool of the process.
    public var beside: (any TaskExecutor)?
    /// Where the placement table is; `nil` for the Redis that the configuration names.
    public var placement: (any PlacementStore)?
    /// What the node speaks to others; a test may let it stand for another release.
    public var linkVersions: LinkVersions = .current

    /// The machine's.
    public init() {}
}
