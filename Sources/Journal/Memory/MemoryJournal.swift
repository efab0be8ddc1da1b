// The twin of `SQLiteJournal` without a disk, for tests and simulation: same engine, same semantics.

import Platform
public import Protocol

/// `Journal` in memory. By default everything completes before the call returns.
public final class MemoryJournal: EngineJournal {
    let engine: JournalEngine

    /// - Parameters:
    ///   - now: wall clock, for epochs and ages.
    ///   - schedule: runs the given closure soon, never two at a time; a simulation delays it. By default at once.
    public init(
        now: @escaping @Sendable () -> Timestamp,
        schedule: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void = { $0() }
    ) {
        let runner = MemoryRunner()
        engine = JournalEngine(
            store: MemoryStore(), now: now, nanoseconds: { 0 }, wake: { schedule { runner.run() } })
        runner.engine.withLock { $0 = engine }
    }
}

/// Runs turns until nothing is left; a wake-up from inside a completion is left to the turn that runs.
private final class MemoryRunner: Sendable {
    let engine = Locked<JournalEngine?>(nil)
    private let state = Locked((running: false, again: false))

    func run() {
        let mine = state.withLock { state in
            defer {
                state.again = state.running
                state.running = true
            }
            return !state.running
        }
        guard mine, let engine = engine.withLock({ $0 }) else { return }
        while true {
            if case .more = engine.turn() { continue }
            let stop = state.withLock { state in
                let stop = !state.again
                state.again = false
                if stop { state.running = false }
                return stop
            }
            if stop { return }
        }
    }
}
