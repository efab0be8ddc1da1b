// Whether a node would get on with its Redis: found out by asking for the placement table as a node does, so that the
// login, the database and the right to run a script on that key are all in order. Nothing is changed.

import Platform
import Redis

enum RedisCheck {
    private static let connectMilliseconds: UInt64 = 2_500
    private static let patience: UInt64 = 3_000_000_000

    /// What is wrong, in one line; `nil` where nothing is.
    static func fault(_ configuration: ClusterConfiguration) async -> String? {
        let group = LoopGroup(count: 1, name: "redis")
        var options = RedisOptions()
        options.connectTimeoutMilliseconds = connectMilliseconds
        let connection = RedisConnection(configuration.redis, options: options, on: group.loops[0])
        await connection.start()
        let deadline = MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + patience)
        var fault: String?
        do throws(RedisError) {
            _ = try await CompareAndSet(key: configuration.placementKey)
                .read(newerThan: .max, on: connection, deadline: deadline)
        } catch {
            fault = "REDIS_URL: \(configuration.redis) cannot be used: \(error.message)"
        }
        await connection.close()
        group.shutdown()
        return fault
    }
}
