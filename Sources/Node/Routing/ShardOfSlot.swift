// On which of a node's shards a slot lives. One rule for everybody who speaks to shards.

import Protocol

extension Slot {
    /// The shard of this slot, of so many.
    func shard(of count: Int) -> Int { Int(index) % count }
}

extension Array {
    /// The shard of a slot, where this list has one element for each.
    subscript(shardOf slot: Slot) -> Element { self[slot.shard(of: count)] }
}

extension Sequence<Slot> {
    /// The slots of each of so many shards, in the order in which they are here.
    func byShard(of count: Int) -> [[Slot]] {
        reduce(into: Array(repeating: [], count: count)) { $0[$1.shard(of: count)].append($1) }
    }
}
