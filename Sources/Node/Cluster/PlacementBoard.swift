// The placement table in Redis. It is intent, not authority: it may be missing, old or wrong, and the price of that is a
// redirect. Every frame between nodes tells the version that its sender knows, so whoever is behind reads the table at
// once, long before it would look at the database again.
//
// Tables are written by a pump of the board's own: whoever decides about slots never waits for Redis.

import Cluster
import Platform
import Redis

actor PlacementBoard {
    /// No count of changes gets so far: a higher version is none that a node has written.
    static let versionLimit: UInt64 = 1 << 53

    private let store: any PlacementStore
    private let log: Log
    /// The newest version that this node knows; asked on every loop, for every frame.
    nonisolated let known = KnownVersion()
    /// The newest version that this node tried to write, or found where it did.
    private nonisolated let met = KnownVersion()
    /// The newest table that waits to be written; older ones need not be.
    private nonisolated let draft = Locked<Draft?>(nil)
    private nonisolated let drafted = Inbox<Void>(limit: 1)
    private var writing: Task<Void, Never>?
    private var isFailing = false

    private struct Draft: Sendable {
        let table: PlacementTable
        let version: UInt64
    }

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

    func start() async {
        await store.start()
        writing = Task(executorPreference: loop) { await self.writeDrafts() }
    }

    func close() async {
        drafted.finish()
        await writing?.value
        await store.close()
    }

    /// The newest version that this node has come across: a later table needs a higher one to be taken.
    nonisolated var newest: UInt64 { max(known.now, met.now) }

    /// Has a table written, unless a newer one follows before its turn has come. Returns at once.
    ///
    /// - Parameter version: given out by the database, above `newest`.
    nonisolated func publish(_ table: PlacementTable, version: UInt64) {
        draft.withLock { $0 = Draft(table: table, version: version) }
        drafted.post(())
    }

    private func writeDrafts() async {
        while await drafted.next(recycling: []) != nil {
            guard let next = draft.withLock({ $0.take() }) else { continue }
            await write(next.table, version: next.version)
        }
    }

    /// The table, if it is newer than what this node knows.
    func read() async -> PlacementTable? {
        do throws(RedisError) {
            let found = try await store.read(newerThan: known.now)
            recovered()
            guard let found, let table = Self.table(found) else { return nil }
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

    /// A table that a node has written; anything else under the key counts as nothing.
    private static func table(_ value: RedisVersionedValue) -> PlacementTable? {
        value.version < versionLimit ? PlacementTable(bytes: value.bytes) : nil
    }

    /// Whether the store has an older table than this node knows or tried to write, or none: it was emptied, put back,
    /// or away. `false` where it cannot be asked.
    func isBehind() async -> Bool {
        let newest = newest
        guard newest > 0 else { return false }
        do throws(RedisError) {
            let found = try await store.read(newerThan: newest - 1)
            recovered()
            return found.flatMap { Self.table($0) } == nil
        } catch {
            failed(error)
            return false
        }
    }

    /// Stores a table under a version that the database has given out, unless a newer one is there.
    private func write(_ table: PlacementTable, version: UInt64) async {
        met.note(version)
        let new = RedisVersionedValue(version: version, bytes: table.bytes)
        var expected: UInt64 = 0
        do throws(RedisError) {
            while true {
                switch try await store.swap(from: expected, to: new) {
                case .swapped:
                    known.note(version)
                    return recovered()
                case .conflict(let stored):
                    let isTable = stored.map { Self.table($0) != nil } ?? false
                    if let stored, isTable { met.note(stored.version) }
                    // Older than what this node saw: the store was put back, or emptied. The database's count goes on.
                    guard let stored, isTable, stored.version >= version else {
                        expected = stored?.version ?? 0
                        continue
                    }
                    return recovered()
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
