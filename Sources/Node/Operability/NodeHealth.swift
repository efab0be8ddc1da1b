// Whether the node is fit to be sent clients. A lost journal makes it unready only after half a minute: reads and
// subscriptions go on meanwhile, and a short outage must not empty a whole cluster at once.

import Platform
import Protocol

final class NodeHealth: Sendable {
    /// Can transition to: `starting` → `ready` → `draining`.
    enum Phase: String, Sendable {
        case starting, ready, draining
    }

    struct Report: Sendable {
        let phase: Phase
        let isJournalLost: Bool
        let isIsolated: Bool
        var isReady: Bool { phase == .ready && !isJournalLost && !isIsolated }

        func json() -> [UInt8] {
            let status =
                isReady || phase != .ready ? phase.rawValue : isIsolated ? "isolated" : "journal_unavailable"
            return Array(#"{"data":{"status":"\#(status)"}}"#.utf8)
        }
    }

    static let journalPatienceNanoseconds: UInt64 = 30_000_000_000

    private struct State {
        var phase = Phase.starting
        var journalFailedAt: UInt64?
        var refusedSlots = 0
        var isDrainAsked = false
        var isIsolated = false

        /// Who is asked to have no slots says of itself that it drains.
        var shownPhase: Phase { phase == .ready && isDrainAsked ? .draining : phase }
    }

    private let state = Locked(State())
    private let nodeName: String
    private let startedAt: UInt64
    private let describe: @Sendable () -> [(String, String)]

    /// - Parameter describe: further facts for `/health/details`, as JSON values by name.
    init(nodeName: String, startedAt: UInt64, describe: @escaping @Sendable () -> [(String, String)]) {
        self.nodeName = nodeName
        self.startedAt = startedAt
        self.describe = describe
    }

    func enter(_ phase: Phase) { state.withLock { $0.phase = phase } }

    /// The operator wishes that this node has no slots, or wishes so no longer: it is ready only then.
    func drainAsked(_ isAsked: Bool) { state.withLock { $0.isDrainAsked = isAsked } }

    func journalFailed(at now: UInt64) {
        state.withLock { if $0.journalFailedAt == nil { $0.journalFailedAt = now } }
    }

    func journalRecovered() { state.withLock { $0.journalFailedAt = nil } }

    /// The node reaches too few of the others, or does so no more.
    func isIsolated(_ isIsolated: Bool) { state.withLock { $0.isIsolated = isIsolated } }

    func slotRefused() { state.withLock { $0.refusedSlots += 1 } }

    func readiness(at now: UInt64) -> Report {
        state.withLock { state in
            let isLost = state.journalFailedAt.map { now &- $0 >= Self.journalPatienceNanoseconds } ?? false
            return Report(phase: state.shownPhase, isJournalLost: isLost, isIsolated: state.isIsolated)
        }
    }

    func details(at now: UInt64) -> [UInt8] {
        let (phase, failedAt, refused) = state.withLock { ($0.shownPhase, $0.journalFailedAt, $0.refusedSlots) }
        var output: [UInt8] = []
        JSONWriter.raw("{\"data\":{\"status\":", to: &output)
        JSONWriter.string(phase.rawValue, to: &output)
        JSONWriter.raw(",\"node\":", to: &output)
        JSONWriter.string(nodeName, to: &output)
        JSONWriter.raw(",\"version\":", to: &output)
        JSONWriter.string(Version.current, to: &output)
        output.append(contentsOf: ",\"uptimeSeconds\":\((now &- startedAt) / 1_000_000_000)".utf8)
        output.append(contentsOf: ",\"journal\":\"\(failedAt == nil ? "ok" : "failing")\"".utf8)
        output.append(contentsOf: ",\"refusedSlots\":\(refused)".utf8)
        for (name, value) in describe() { output.append(contentsOf: ",\"\(name)\":\(value)".utf8) }
        JSONWriter.raw("}}", to: &output)
        return output
    }
}
