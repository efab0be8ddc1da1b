// Which of a few pumps gives a batch away. Everything for one node goes by one pump, in order; a node that is slow to answer
// holds up nobody else while there are no more such nodes than pumps.

struct GivingLanes {
    /// Pumps.
    static let count = 8

    /// By which pump batches go to a node, and how many of them are under way.
    private var targets: [UInt128: (lane: Int, batches: Int)] = [:]

    /// The pump for one more batch: the one that the node's batches go by now, otherwise the one with the fewest.
    mutating func begin(to target: UInt128) -> Int {
        if let known = targets[target] {
            targets[target] = (known.lane, known.batches + 1)
            return known.lane
        }
        var loads = Array(repeating: 0, count: Self.count)
        for known in targets.values { loads[known.lane] += known.batches }
        let lane = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) } ?? 0
        targets[target] = (lane, 1)
        return lane
    }

    /// A batch is over.
    mutating func end(to target: UInt128) {
        guard let known = targets[target] else { return }
        targets[target] = known.batches > 1 ? (known.lane, known.batches - 1) : nil
    }
}
