// The one thread of a simulation: virtual time, what happens when, and which loop turns next. Among everything that could
// happen now, chance picks.
//
//   ready loops ─┐
//                ├─ chance ─► a turn ─► more jobs, more events
//   events due ──┘
//   nothing due: time jumps to the next event

import Platform
import Protocol

/// `@unchecked Sendable`: everything of a world is touched on the one thread that runs it.
final class World: @unchecked Sendable {
    /// What happens at a moment, in a turn of a loop or outside all of them.
    struct Event: Comparable {
        let at: UInt64
        /// Orders what happens at the same moment.
        let tie: UInt64
        let host: Host?
        let loop: EventLoop?
        let body: @Sendable () -> Void

        static func < (a: Self, b: Self) -> Bool { (a.at, a.tie) < (b.at, b.tie) }
        static func == (a: Self, b: Self) -> Bool { (a.at, a.tie) == (b.at, b.tie) }
    }

    /// The wall clock at the start: a moment in 2026.
    static let epoch: Int64 = 1_770_000_000_000

    /// Monotonic nanoseconds.
    private(set) var time: UInt64 = Span.seconds(1)
    private(set) var trace = Trace()
    private(set) var turns: UInt64 = 0
    private(set) var current: EventLoop?
    private let dice: Dice
    private var events = MinHeap<Event>()
    private var ready: [(host: Host, loop: EventLoop)] = []
    /// Takes each line of the nodes' logs.
    var onLine: ((String) -> Void)?

    init(seed: UInt64) { dice = Dice(seed: seed, use: 1) }

    var wall: Timestamp { Timestamp(milliseconds: Self.epoch + Int64(time / 1_000_000)) }
    /// Seconds since the start, for people.
    var clockText: String {
        let milliseconds = (time - Span.seconds(1)) / 1_000_000
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    // MARK: - What will happen

    /// Has something happen after so many nanoseconds.
    func after(
        _ nanoseconds: UInt64, host: Host? = nil, on loop: EventLoop? = nil, _ body: @escaping @Sendable () -> Void
    ) {
        events.push(Event(at: time + nanoseconds, tie: dice.next(), host: host, loop: loop, body: body))
    }

    /// Has something that was held up happen now.
    func resume(_ event: Event) { after(0, host: event.host, on: event.loop, event.body) }

    func wake(_ loop: EventLoop, of host: Host) {
        guard current !== loop, !ready.contains(where: { $0.loop === loop }) else { return }
        ready.append((host, loop))
    }

    func forget(_ host: Host) { ready.removeAll { $0.host === host } }

    func note(_ kind: Trace.Kind, _ value: UInt64) { trace.note(kind, value) }

    func note(_ line: String) {
        trace.note(.line, Checksum.of(Array(line.utf8)))
        onLine?("\(clockText) \(line)")
    }

    // MARK: - What happens

    /// Runs until `isOver`, or until nothing is left to happen.
    func run(until isOver: () -> Bool) { while !isOver(), step() {} }

    private func step() -> Bool {
        let isDue = events.first.map { $0.at <= time } ?? false
        let runnable = ready.indices.filter { !ready[$0].host.isPaused }
        let count = runnable.count + (isDue ? 1 : 0)
        guard count > 0 else {
            guard let first = events.pop() else { return false }
            time = max(time, first.at)
            happen(first)
            return true
        }
        let choice = dice.below(count)
        if choice < runnable.count {
            let (host, loop) = ready.remove(at: runnable[choice])
            turn(host, loop, nil)
        } else if let first = events.pop() {
            happen(first)
        }
        return true
    }

    private func happen(_ event: Event) {
        guard let host = event.host else { return event.body() }
        guard host.isAlive else { return }
        guard !host.isPaused else { return host.hold(event) }
        guard let loop = event.loop else { return event.body() }
        ready.removeAll { $0.loop === loop }
        turn(host, loop, event.body)
    }

    private func turn(_ host: Host, _ loop: EventLoop, _ event: (() -> Void)?) {
        guard host.isAlive else { return }
        time += dice.within(500...20_000)
        turns += 1
        trace.note(.turn, time ^ UInt64(host.machine) << 56 ^ UInt64(loop.index) << 48)
        current = loop
        // A turn may be cut short, so that a crash can come between any two rounds of jobs.
        let isBusy = loop.turn(rounds: 1 + dice.below(8), event)
        current = nil
        if isBusy { wake(loop, of: host) }
    }
}

/// A hash of everything that happened, in order.
struct Trace: Hashable, Sendable {
    enum Kind: UInt64, Sendable { case turn = 1, line, bytes, statement, seen, fault }

    private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func note(_ kind: Kind, _ value: UInt64) {
        hash = (hash ^ kind.rawValue) &* 0x100_0000_01B3
        hash = (hash ^ value) &* 0x100_0000_01B3
        hash ^= hash >> 29
    }
}
