// `tumulte node`: a node from its configuration to its exit status.

import Platform
import Postgres
import Journal
import Protocol

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Runs a node as a program does.
public enum NodeMain {
    private static let leaseLostStatus: Int32 = 75

    /// Serves until SIGTERM or SIGINT, then drains; a second signal stops at once.
    ///
    /// - Returns: the exit status: 0 after a stop in good order, 1 where it could not serve, 75 after it was declared
    ///   dead, for its supervisor to start it again.
    public static func run(_ configuration: NodeConfiguration) async -> Int32 {
        ProcessFacts.raiseDescriptorLimit()
        let clock = SystemClock()
        let log = Log(level: configuration.logLevel, format: configuration.logFormat, clock: clock)
        let node: NodeServer
        let signals = TerminationSignals()
        do {
            node = try NodeServer(configuration, log: log) { signals.raise(TerminationSignals.leaseLost) }
            try await node.start()
        } catch {
            log.error("node.failed", [("reason", .string("\(error)"))])
            return 1
        }
        let address = await node.address
        log.info(
            "node.ready",
            [
                ("address", .string("\(address)")), ("node", .string(configuration.nodeName)),
                ("version", .string(Version.current)),
                ("mode", .string(configuration.tokenSecret == nil ? "open" : "tokens")),
                ("store", .string(configuration.database?.description ?? configuration.dataFolder)),
            ])
        guard await signals.first() != TerminationSignals.leaseLost else {
            // Others may serve what was served here: nothing is told to clients any more.
            log.error("node.declared_dead", [("reason", .string("its lease in the database was not renewed in time"))])
            await node.stop(isHurried: true)
            return leaseLostStatus
        }
        await node.stop()
        return 0
    }
}

/// SIGTERM and SIGINT, watched on a loop of their own so that they are heard however busy the node is.
final class TerminationSignals: Sendable {
    private let group = LoopGroup(count: 1, name: "signals")
    private let arrivals = Inbox<Int32>(limit: 1)

    init() {
        let loop = group.loops[0]
        let arrivals = arrivals
        loop.execute {
            for signal in [SIGTERM, SIGINT] {
                // Kept by their handles until the process ends.
                _ = SignalSource(signal, on: loop) {
                    // One signal waits for the node to take it and is taken once: at the next, patience is over.
                    if !arrivals.post(signal) { exit(1) }
                }
            }
        }
    }

    /// What `first` returns after the node was declared dead; no signal has this number.
    static let leaseLost: Int32 = 0

    /// Ends the wait as a signal would.
    func raise(_ number: Int32) { arrivals.post(number) }

    /// Waits for the first signal and returns its number; a further one ends the process at once.
    func first() async -> Int32 {
        let first = await arrivals.next(recycling: [])?.first
        arrivals.finish()
        return first ?? SIGTERM
    }
}
