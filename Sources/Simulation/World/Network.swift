// Connections between hosts: bytes in order, late, and now and then much later, as TCP makes of a network that loses
// packets. A cut holds up what is sent in its direction until it heals. A host that dies resets its connections.

import Platform
import Protocol

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// `@unchecked Sendable`: a world lives on one thread.
final class Network: @unchecked Sendable {
    /// From one machine to another.
    struct Way: Hashable {
        let from: Int
        let to: Int
    }

    private struct Listener {
        let host: Host
        let loop: EventLoop?
        let accept: @Sendable (Side) -> Void
    }

    let world: World
    private let dice: Dice
    /// Bounds of an ordinary delay, in nanoseconds; other for each seed.
    private let delays: ClosedRange<UInt64>
    private var cuts: Set<Way> = []
    private var listeners: [TCPAddress: Listener] = [:]
    /// One side of each connection that is not over.
    private var connections: [Side] = []

    init(_ world: World, seed: UInt64) {
        self.world = world
        dice = Dice(seed: seed, use: 2)
        delays = 20_000...dice.pick([100_000, 400_000, 2_000_000])
    }

    // MARK: - Weather

    func cut(_ ways: [Way]) { cuts.formUnion(ways) }

    func heal(_ ways: [Way]) {
        cuts.subtract(ways)
        for side in connections {
            side.unstall()
            side.peer.unstall()
        }
    }

    func isCut(_ from: Host, _ to: Host) -> Bool { cuts.contains(Way(from: from.machine, to: to.machine)) }

    /// Breaks the connections between two machines.
    func reset(_ machines: Set<Int>) {
        for side in connections where Set([side.host.machine, side.peer.host.machine]) == machines {
            side.receive(.broken)
            side.peer.receive(.broken)
        }
    }

    func crashed(_ host: Host) {
        listeners = listeners.filter { $0.value.host !== host }
        for side in connections {
            if side.host === host { side.hostCrashed() }
            if side.peer.host === host { side.peer.hostCrashed() }
        }
    }

    func delay() -> UInt64 {
        // A packet was lost and sent again.
        if dice.below(400) == 0 { return dice.within(Span.milliseconds(5)...Span.milliseconds(220)) }
        return dice.within(delays)
    }

    /// How long what a cut held up takes after it has healed.
    func delayAfterCut() -> UInt64 { dice.within(Span.milliseconds(1)...Span.milliseconds(400)) }

    // MARK: - Connections

    func listen(
        _ address: TCPAddress, _ host: Host, _ loop: EventLoop?, _ accept: @escaping @Sendable (Side) -> Void
    ) throws(SystemError) {
        guard listeners[address] == nil else { throw SystemError(code: EADDRINUSE, operation: "listen on \(address)") }
        listeners[address] = Listener(host: host, loop: loop, accept: accept)
    }

    func stopListening(_ address: TCPAddress) { listeners[address] = nil }

    func connect(
        from host: Host, to address: TCPAddress, on loop: EventLoop?, tries: Int = 4,
        _ completion: @escaping @Sendable (Result<Side, SystemError>) -> Void
    ) {
        let machine = Int(address.bytes[3]) - 1
        let isOpen =
            !cuts.contains(Way(from: host.machine, to: machine))
            && !cuts.contains(Way(from: machine, to: host.machine))
        guard isOpen else {
            guard tries > 1 else { return }
            return world.after(Span.seconds(1), host: host) { [self] in
                connect(from: host, to: address, on: loop, tries: tries - 1, completion)
            }
        }
        world.after(delay()) { [self] in
            guard let listener = listeners[address], listener.host.isAlive else {
                return world.after(delay(), host: host, on: loop) {
                    completion(.failure(SystemError(code: ECONNREFUSED, operation: "connect to \(address)")))
                }
            }
            let side = Side(self, host, loop)
            let other = Side(self, listener.host, listener.loop)
            side.peer = other
            other.peer = side
            connections.append(side)
            world.after(0, host: listener.host, on: listener.loop) { listener.accept(other) }
            world.after(delay(), host: host, on: loop) { completion(.success(side)) }
        }
    }

    func ended(_ side: Side) {
        guard side.isOver, side.peer.isOver else { return }
        connections.removeAll { $0 === side || $0 === side.peer }
    }
}
