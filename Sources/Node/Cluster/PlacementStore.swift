// Where the placement table is for all nodes to see: one value that is replaced only by whoever knows its version.

internal import Platform
public import Redis

/// One versioned value that all nodes share. It may be lost, or be put back to an older one.
public protocol PlacementStore: Sendable {
    /// Begins to connect.
    func start() async
    /// Lets go of everything; later calls fail.
    func close() async
    /// The stored value if its version is greater than `version`.
    func read(newerThan version: UInt64) async throws(RedisError) -> RedisVersionedValue?
    /// Stores `new` if the stored version is `expected`, where 0 means that nothing is stored.
    func swap(
        from expected: UInt64, to new: RedisVersionedValue
    ) async throws(RedisError) -> CompareAndSet.Outcome
}

/// The table in Redis.
struct RedisPlacementStore: PlacementStore {
    /// What a read or a write may take.
    private static let patience: UInt64 = 1_000_000_000

    private let connection: RedisConnection
    private let value: CompareAndSet

    /// - Parameter key: where every node of the cluster finds the table, and no other cluster's.
    init(_ configuration: RedisConfiguration, key: String, on loop: EventLoop, random: any RandomSource) {
        connection = RedisConnection(configuration, on: loop, random: random)
        value = CompareAndSet(key: key)
    }

    func start() async { await connection.start() }
    func close() async { await connection.close() }

    func read(newerThan version: UInt64) async throws(RedisError) -> RedisVersionedValue? {
        try await value.read(newerThan: version, on: connection, deadline: deadline)
    }

    func swap(
        from expected: UInt64, to new: RedisVersionedValue
    ) async throws(RedisError) -> CompareAndSet.Outcome {
        try await value.swap(from: expected, to: new, on: connection, deadline: deadline)
    }

    private var deadline: MonotonicTime {
        MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + Self.patience)
    }
}
