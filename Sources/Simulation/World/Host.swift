// A machine's process: it drives the loops of one node, dies with everything that it had, or stands still for a while.

import Platform
import Protocol

/// One process; a new one of the same machine is another host.
///
/// `@unchecked Sendable`: a world lives on one thread.
final class Host: LoopDriver, Clock, @unchecked Sendable {
    /// Machines beside those of the nodes.
    static let clients = 100
    static let database = 101
    static let redis = 102

    let world: World
    let network: Network
    let machine: Int
    private(set) var isAlive = true
    private(set) var isPaused = false
    /// What would have happened meanwhile.
    private var held: [World.Event] = []
    /// Planted: the next timer of a campaign is lost, on each loop with a lower index than this.
    private var losesTimersOf: Set<Int> = []

    init(_ world: World, _ network: Network, machine: Int) {
        self.world = world
        self.network = network
        self.machine = machine
    }

    var address: [UInt8] { [10, 0, 0, UInt8(machine + 1)] }

    // MARK: - Life

    func crash() {
        isAlive = false
        held = []
        world.forget(self)
        network.crashed(self)
    }

    func pause() { isPaused = true }

    func resume() {
        isPaused = false
        let events = held
        held = []
        for event in events { world.resume(event) }
    }

    func hold(_ event: World.Event) { held.append(event) }

    // MARK: - Planted

    /// Loses the next timer that looks like a campaign's on each of the node's loops: those wait for part of a second,
    /// longer than a round of membership.
    func loseNextCampaignTimer(of loops: Int) { losesTimersOf.formUnion(0..<loops) }

    private func isLost(_ loop: EventLoop, _ nanoseconds: UInt64) -> Bool {
        guard !losesTimersOf.isEmpty, loop.name.hasPrefix("loop-"), nanoseconds > Span.milliseconds(300),
            nanoseconds <= Span.milliseconds(999)
        else { return false }
        return losesTimersOf.remove(loop.index) != nil
    }

    // MARK: - Clock

    func now() -> Timestamp { world.wall }
    func monotonic() -> MonotonicTime { virtualTime }

    // MARK: - Loops

    var virtualTime: MonotonicTime { MonotonicTime(nanoseconds: world.time) }

    func isTurning(_ loop: EventLoop) -> Bool { world.current === loop }

    func wake(_ loop: EventLoop) {
        guard isAlive else { return }
        world.wake(loop, of: self)
    }

    func after(_ nanoseconds: UInt64, on loop: EventLoop, _ body: @escaping @Sendable () -> Void) {
        guard isAlive, !isLost(loop, nanoseconds) else { return }
        world.after(nanoseconds, host: self, on: loop, body)
    }

    func listen(
        _ address: TCPAddress, on loop: EventLoop,
        _ accept: @escaping @Sendable (any StreamDriver, _ peer: TCPAddress) -> Void
    ) throws(SystemError) {
        try network.listen(address, self, loop) { side in
            accept(side, TCPAddress(bytes: side.peer.host.address, port: 40_000))
        }
    }

    func stopListening(_ address: TCPAddress) { network.stopListening(address) }

    func connect(
        to address: TCPAddress, on loop: EventLoop,
        _ completion: @escaping @Sendable (Result<any StreamDriver, SystemError>) -> Void
    ) {
        network.connect(from: self, to: address, on: loop) { outcome in
            completion(outcome.map { $0 as any StreamDriver })
        }
    }
}
