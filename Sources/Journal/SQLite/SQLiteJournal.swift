// The journal of a standalone node: one SQLite file and one thread of its own that sleeps while there is nothing to do.

public import Protocol

/// `Journal` in `journal.db` of a data folder. The caller holds the folder's `DataLock`.
public final class SQLiteJournal: EngineJournal {
    let engine: JournalEngine

    /// Opens or creates `<folder>/journal.db` and starts the thread. `close` must be called to end it.
    ///
    /// - Parameters:
    ///   - now: wall clock, for epochs and ages.
    ///   - nanoseconds: monotonic clock, for latencies.
    public convenience init(
        folder: String, now: @escaping @Sendable () -> Timestamp, nanoseconds: @escaping @Sendable () -> UInt64
    ) throws(JournalError) {
        try self.init(
            path: folder + "/journal.db", options: SQLiteStore.Options(), now: now, nanoseconds: nanoseconds)
    }

    init(
        path: String, options: SQLiteStore.Options, now: @escaping @Sendable () -> Timestamp,
        nanoseconds: @escaping @Sendable () -> UInt64
    ) throws(JournalError) {
        let store = try SQLiteStore(path: path, options: options)
        let signal = WakeSignal()
        let engine = JournalEngine(store: store, now: now, nanoseconds: nanoseconds, wake: { signal.raise() })
        self.engine = engine
        try startThread {
            while true {
                switch engine.turn() {
                case .more: continue
                case .idle: signal.wait()
                case .closed: return
                }
            }
        }
    }
}
