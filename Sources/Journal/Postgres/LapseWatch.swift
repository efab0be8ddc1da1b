// Which nodes have stopped renewing their leases, as this node has seen it by its own clock. The server's clock alone
// could be wrong: where it is set forward, every lease has lapsed at once, and nobody is dead.

import Protocol

struct LapseWatch {
    private struct Sight {
        let expires: Timestamp
        /// Monotonic nanoseconds: since when the lease is known to end then.
        let since: UInt64
    }

    private var sights: [UInt128: Sight] = [:]

    /// Takes in the leases of all living nodes, as they were read at `now`.
    mutating func look(_ leases: [UInt128: Timestamp], at now: UInt64) {
        var next: [UInt128: Sight] = [:]
        for (incarnation, expires) in leases {
            if let sight = sights[incarnation], sight.expires == expires {
                next[incarnation] = sight
            } else {
                next[incarnation] = Sight(expires: expires, since: now)
            }
        }
        sights = next
    }

    /// Nodes other than `me` whose leases were not renewed for as long as one lasts, ascending.
    func silent(for ttl: UInt64, at now: UInt64, otherThan me: UInt128) -> [UInt128] {
        sights.filter { $0.key != me && now >= $0.value.since + ttl }.keys.sorted()
    }
}
