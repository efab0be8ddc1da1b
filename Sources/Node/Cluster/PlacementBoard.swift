// The placement table in Redis. It is intent, not authority: it may be missing, old or wrong, and the price of that is a
// redirect. Every frame between nodes tells the version that its sender knows, so whoever is behind reads the table at
// once, long before it would look at the database again.

import Cluster
import Platform
import Redis

actor PlacementBoard {
    private let store: any PlacementStore
    private let log: Log
    /// The newest version that this node knows; asked on every loop, for every frame.
    nonisolated let known = KnownVersion()
    /// The newest version that this node tried to write.
    private var attempted: UInt64 = 0
    private var isFailing = false

    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    /// A version that only grows.
    final class KnownVersion: Sendable {
        private let version = Locked<UInt64>(0)
        var now: UInt64 { version.withLock { $0 } }
        func note(_ newer: UInt64) { version.withLock { $0 = max($0, newer) } }
    }

    init(_ store: any PlacementStore, on loop: EventLoop, log: Log) {
        self.store = store
        self.loop = loop
        self.log = log
    }

    func start() async { await store.start() }

    func close() async { await store.close() }

    /// The table, if it is newer than what this node knows.
    func read() async -> PlacementTable? {
        do throws(RedisError) {
            let found = try await store.read(newerThan: known.now)
            recovered()
            guard let found, let table = PlacementTable(bytes: found.bytes) else { return nil }
            known.note(found.version)
            return table
        } catch {
            failed(error)
            return nil
        }
    }

    /// What is stored, whatever this node knows already; it changes nothing here. A version without a table is one
    /// that cannot be read; `nil` where nothing is stored.
    func stored() async throws(RedisError) -> (version: UInt64, table: PlacementTable?)? {
        guard let found = try await store.read(newerThan: 0) else { return nil }
        return (found.version, PlacementTable(bytes: found.bytes))
    }

    /// Whether the store has an older table than this node knows or tried to write, or none: it was emptied, put back,
    /// or away. `false` where it cannot be asked.
    func isBehind() async -> Bool {
        let newest = max(known.now, attempted)
        guard newest > 0 else { return false }
        do throws(RedisError) {
            let isCurrent = try await store.read(newerThan: newest - 1) != nil
            recovered()
            return !isCurrent
        } catch {
            failed(error)
            return false
        }
    }

    /// Stores a table under a version that the database has given out, unless a newer one is there.
    func write(_ table: PlacementTable, version: UInt64) async {
        attempted = max(attempted, version)
        let new = RedisVersionedValue(version: version, bytes: table.bytes)
        var expected: UInt64 = 0
        do throws(RedisError) {
            while true {
                switch try await store.swap(from: expected, to: new) {
                case .swapped:
                    known.note(version)
                    return recovered()
                case .conflict(let stored):
                    let found = stored?.version ?? 0
                    // Older than what this node saw: the store was put back, or emptied. The database's count goes on.
                    guard found < version else { return recovered() }
                    expected = found
                }
            }
        } catch {
            failed(error)
        }
    }

    private func failed(_ error: RedisError) {
        guard !isFailing else { return }
        isFailing = true
        log.warn("placement.redis_failed", [("reason", .string("\(error)"))])
    }

    private func recovered() {
        guard isFailing else { return }
        isFailing = false
        log.info("placement.redis_recovered")
    }
}
