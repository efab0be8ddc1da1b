// `tumulte simulate`: many seeds on a few threads, and what came of them.

public import Node
import Platform

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The command behind `tumulte simulate`.
public enum SimulationCommand {
    private static let hashing = "SWIFT_DETERMINISTIC_HASHING"

    /// Runs the seeds and prints what came of them.
    ///
    /// - Parameter arguments: those of the process, its name among them: where hash tables are seeded at random it begins
    ///   anew with them, so that a seed gives the same run each time.
    /// - Returns: the exit status: 0, 1 where something was found wrong, 2 for a plant that does not exist.
    public static func run(_ request: SimulationRequest, arguments: [String]) -> Int32 {
        if unsafe getenv(hashing) == nil { beginAnew(arguments) }
        var plant: Plant?
        if let name = request.plant {
            guard let known = Plant(rawValue: name) else {
                print("there is no plant \(name): " + Plant.allCases.map(\.rawValue).joined(separator: ", "))
                return 2
            }
            plant = known
        }
        let run = SimulationRun(request, plant)
        let threads = (0..<max(1, request.threads)).map { _ in SystemThread { run.work() } }
        for thread in threads { thread.join() }
        return run.summary()
    }

    private static func beginAnew(_ arguments: [String]) {
        unsafe setenv(hashing, "1", 1)
        var pointers = unsafe arguments.map { unsafe strdup($0) }
        unsafe pointers.append(nil)
        #if canImport(Glibc)
            _ = unsafe execv("/proc/self/exe", pointers)
        #else
            _ = unsafe execvp(arguments[0], pointers)
        #endif
    }
}

/// The seeds of one command, shared by its threads.
final class SimulationRun: Sendable {
    private struct State {
        var next: UInt64
        var reports: [SimulationReport] = []
        var unlike: [UInt64] = []
        var isOver = false
    }

    private let request: SimulationRequest
    private let plant: Plant?
    private let state: Locked<State>
    private let startedAt = MonotonicTime.now

    init(_ request: SimulationRequest, _ plant: Plant?) {
        self.request = request
        self.plant = plant
        state = Locked(State(next: request.first))
    }

    /// Runs seeds until none is left; with a plant, until it was found.
    func work() {
        while let seed = take() {
            let report = Simulation.run(seed: seed, plant: plant, isVerbose: request.isVerbose)
            let isUnlike = request.isTwice && Simulation.run(seed: seed, plant: plant).trace != report.trace
            state.withLock { state in
                state.reports.append(report)
                if isUnlike { state.unlike.append(seed) }
                if plant != nil, !report.violations.isEmpty { state.isOver = true }
            }
        }
    }

    private func take() -> UInt64? {
        state.withLock { state in
            guard !state.isOver, state.next < request.first + request.count else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    func summary() -> Int32 {
        let (reports, unlike) = state.withLock { ($0.reports.sorted { $0.seed < $1.seed }, $0.unlike.sorted()) }
        let failed = reports.filter { !$0.violations.isEmpty }
        for report in failed {
            for violation in report.violations { print("seed \(report.seed): \(violation)") }
        }
        for seed in unlike { print("seed \(seed): two runs differ") }
        let seconds = Double(MonotonicTime.now.nanoseconds - startedAt.nanoseconds) / 1e9
        let served = reports.compactMap(\.servedAfter).max() ?? 0
        print(
            "\(reports.count) seeds from \(request.first), \(Int(seconds * 10) / 10) s: "
                + "\(reports.reduce(0) { $0 + $1.ackedVotes }) votes acked, \(reports.reduce(0) { $0 + $1.rows }) rows, "
                + "\(reports.reduce(0) { $0 + $1.changesOfHands }) changes of hands, "
                + "\(reports.reduce(0) { $0 + $1.turns }) turns; served again after at most \(served / 1_000_000) ms"
                + (reports.count == 1 ? String(reports[0].trace, radix: 16).prefixed(", trace ") : ""))
        let count = Set(failed.map(\.seed) + unlike).count
        print("\(reports.count - count) passed, \(count) failed")
        return count == 0 ? 0 : 1
    }
}

extension String {
    fileprivate func prefixed(_ prefix: String) -> String { prefix + self }
}
