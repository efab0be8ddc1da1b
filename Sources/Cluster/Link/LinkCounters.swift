// What went through the links of a node, by kind of frame, since its start: for metrics, and for tests that count.

import Platform

/// Counts of the links of one loop; read from any thread.
public final class LinkCounters: Sendable {
    /// Frames and their bytes, header and checksum included.
    public struct Count: Hashable, Sendable {
        /// Frames.
        public var frames: UInt64 = 0
        /// Bytes of these frames.
        public var bytes: UInt64 = 0
    }

    /// Frames and bytes, at the kind's number.
    private typealias Pair = (frames: Counter, bytes: Counter)
    private let outgoing: [Pair]
    private let incoming: [Pair]

    /// All at zero.
    public init() {
        let places = FrameKind.allCases.reduce(0) { max($0, Int($1.rawValue)) } + 1
        outgoing = (0..<places).map { _ in (Counter(), Counter()) }
        incoming = (0..<places).map { _ in (Counter(), Counter()) }
    }

    /// What left under this kind; frames of a lost link that had not reached the socket are among them.
    public func sent(_ kind: FrameKind) -> Count { Self.count(outgoing[Int(kind.rawValue)]) }

    /// What arrived under this kind; optional fields that this release does not know are not among the bytes.
    public func received(_ kind: FrameKind) -> Count { Self.count(incoming[Int(kind.rawValue)]) }

    private static func count(_ pair: Pair) -> Count { Count(frames: pair.frames.value, bytes: pair.bytes.value) }

    func noteSent(_ kind: FrameKind, _ count: Count) { Self.note(outgoing[Int(kind.rawValue)], count) }
    func noteReceived(_ kind: FrameKind, _ count: Count) { Self.note(incoming[Int(kind.rawValue)], count) }

    private static func note(_ pair: Pair, _ count: Count) {
        pair.frames.add(count.frames)
        pair.bytes.add(count.bytes)
    }
}

/// Frames of one kind in a row, counted together.
struct LinkRun {
    private var kind = FrameKind.ping
    private var count = LinkCounters.Count()

    /// Takes in a frame; a run of another kind that ends with it is passed on.
    @inline(__always)
    mutating func note(_ kind: FrameKind, _ bytes: Int, _ pass: (FrameKind, LinkCounters.Count) -> Void) {
        if kind != self.kind { end(pass) }
        self.kind = kind
        count.frames += 1
        count.bytes += UInt64(bytes)
    }

    /// Passes on what has gathered.
    mutating func end(_ pass: (FrameKind, LinkCounters.Count) -> Void) {
        guard count.frames > 0 else { return }
        pass(kind, count)
        count = LinkCounters.Count()
    }
}
