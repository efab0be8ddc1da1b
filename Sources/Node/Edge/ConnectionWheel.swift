// The deadlines of an edge's connections: a wheel of one-second buckets. A deadline that moves later costs nothing; the
// connection is looked at when its old bucket comes round, and put where it then belongs.

/// Which connections to look at in which second.
struct ConnectionWheel {
    /// A connection by its place and generation.
    struct Entry: Equatable {
        let connection: UInt32
        let generation: UInt32
        /// The second that it was filed under; a connection that was filed anew knows this one for stale.
        var second: UInt32 = 0
    }

    static let bucketCount = 64

    private var buckets = [[Entry]](repeating: [], count: bucketCount)
    /// The second that was handled last.
    private(set) var now: UInt32

    init(now: UInt32) { self.now = now }

    /// Puts a connection into the bucket of `second`, at least one second ahead and at most one turn of the wheel.
    /// - Returns: the second that it was filed under.
    @discardableResult
    mutating func schedule(_ entry: Entry, at second: UInt32) -> UInt32 {
        let earliest = now &+ 1
        let latest = now &+ UInt32(Self.bucketCount - 1)
        var entry = entry
        entry.second = min(max(second, earliest), latest)
        buckets[Int(entry.second % UInt32(Self.bucketCount))].append(entry)
        return entry.second
    }

    /// Moves to `second` and hands over every connection whose bucket was passed.
    mutating func advance(to second: UInt32, _ body: (Entry) -> Void) {
        while now < second {
            now += 1
            let index = Int(now % UInt32(Self.bucketCount))
            let due = buckets[index]
            buckets[index] = []
            for entry in due { body(entry) }
        }
    }
}
