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
    struct Event {
        let at: UInt64
        /// Orders what happens at the same moment.
        let tie: UInt64
        let host: Host?
        let loop: EventLoop?
        let body: @Sendable () -> Void
    }

    /// The wall clock at the start: a moment in 2026.
    static let epoch: Int64 = 1_770_000_000_000

    /// Monotonic nanoseconds.
    private(set) var time: UInt64 = Span.seconds(1)
    private(set) var trace = Trace()
    private(set) var turns: UInt64 = 0
    private(set) var current: EventLoop?
    private let dice: Dice
    private var events = EventHeap()
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

/// A binary heap of events, the earliest first.
struct EventHeap {
    private var events: [World.Event] = []

    var first: World.Event? { events.first }

    private static func isEarlier(_ a: World.Event, _ b: World.Event) -> Bool { (a.at, a.tie) < (b.at, b.tie) }

    mutating func push(_ event: World.Event) {
        events.append(event)
        var child = events.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Self.isEarlier(events[child], events[parent]) else { return }
            events.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> World.Event? {
        guard let first = events.first, let last = events.popLast() else { return nil }
        guard !events.isEmpty else { return first }
        events[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < events.count {
                if Self.isEarlier(events[child], events[least]) { least = child }
            }
            guard least != parent else { return first }
            events.swapAt(parent, least)
            parent = least
        }
    }
}
