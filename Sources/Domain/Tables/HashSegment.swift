// One segment of a `HashTable`: linear probing over parallel arrays, its entries in ascending order.
//
// The home of a hash is a multiply-high of its bits below the segment's prefix, so homes ascend with hashes, and an
// entry that finds its place taken by a greater one moves that and its followers up by one (ordered linear probing:
// Amble and Knuth, "Ordered hash tables", 1974). That buys three things: a search for an absent hash stops at the
// first greater entry, growing is one sequential pass, and reading the array from its start yields sorted hashes.
// There is no wrap-around; a few places behind the last home take the overflow, and more are added where they are full.

/// An ordered open-addressed segment. With `hasPayloads` each entry carries two bytes.
struct HashSegment: Sendable {
    private(set) var hashes: ContiguousArray<Hash128>
    private(set) var payloads: ContiguousArray<UInt16>
    private(set) var count: Int
    private var homes: Int
    private let prefixBits: Int
    private let hasPayloads: Bool
    /// While many entries are loaded it doubles when it is full, so that each entry is moved twice, not nine times;
    /// `endLoading` gives back what was too much.
    var isLoading = false

    /// What `place` found.
    enum Placement: Equatable {
        case inserted
        /// The entry was there, with this payload (0 without payloads); nothing changed.
        case present(at: Int, payload: UInt16)
    }

    init(prefixBits: Int, hasPayloads: Bool) {
        hashes = []
        payloads = []
        count = 0
        homes = 0
        self.prefixBits = prefixBits
        self.hasPayloads = hasPayloads
    }

    /// Builds from hashes that ascend strictly and share the segment's prefix.
    init(
        sorted: ContiguousArray<Hash128>, payloads sortedPayloads: ContiguousArray<UInt16>, prefixBits: Int,
        hasPayloads: Bool
    ) {
        self.init(prefixBits: prefixBits, hasPayloads: hasPayloads)
        rebuild(sorted, sortedPayloads, minimumHomes: Self.fittingHomes(for: sorted.count))
    }

    /// Bytes that the arrays take, their headers included.
    var allocatedBytes: Int {
        guard !hashes.isEmpty else { return 0 }
        let header = 32
        return header + hashes.count * 16 + (hasPayloads ? header + payloads.count * 2 : 0)
    }

    /// The payload of a stored hash, `nil` where it is absent (0 where there are no payloads).
    func payload(of hash: Hash128) -> UInt16? {
        guard homes > 0 else { return nil }
        var index = home(of: hash)
        while index < hashes.count {
            let entry = hashes[index]
            if entry == hash { return hasPayloads ? payloads[index] : 0 }
            if entry == .empty || hash < entry { return nil }
            index += 1
        }
        return nil
    }

    /// Inserts the hash, or finds it. `moved` grows by the entries that were moved to make room.
    @inline(__always)
    mutating func place(_ hash: Hash128, payload: UInt16, moved: inout Int) -> Placement {
        while true {
            var index = homes > 0 ? home(of: hash) : 0
            let slots = hashes.count
            while index < slots {
                let entry = hashes[index]
                if entry == hash { return .present(at: index, payload: hasPayloads ? payloads[index] : 0) }
                if entry == .empty || hash < entry { break }
                index += 1
            }
            if (count + 1) * 8 <= homes * 7 {
                open(index, moved: &moved)
                hashes[index] = hash
                if hasPayloads { payloads[index] = payload }
                count += 1
                return .inserted
            }
            moved += count
            grow()
        }
    }

    /// Replaces the payload at a place that `place` reported.
    @inline(__always)
    mutating func setPayload(_ payload: UInt16, at index: Int) { payloads[index] = payload }

    /// Makes `index` free by moving its cluster up by one.
    @inline(__always)
    private mutating func open(_ index: Int, moved: inout Int) {
        var free = index
        while free < hashes.count, hashes[free] != .empty { free += 1 }
        if free == hashes.count { extend() }
        moved += free - index
        // Entry by entry, through the array: a mutable span, which would look only once whether a copy shares the
        // memory, was seen to write into the copy's (Swift 6.3.1, optimised); `SharedTableTests` shows it.
        var place = free
        while place > index {
            hashes[place] = hashes[place - 1]
            place -= 1
        }
        guard hasPayloads else { return }
        place = free
        while place > index {
            payloads[place] = payloads[place - 1]
            place -= 1
        }
    }

    @inline(__always)
    private func home(of hash: Hash128) -> Int {
        Int(truncatingIfNeeded: (hash.high << UInt64(prefixBits)).multipliedFullWidth(by: UInt64(homes)).high)
    }

    /// Grows by an eighth, or to twice the size while it is loading.
    private mutating func grow() { layOut(minimumHomes: homes + max(isLoading ? homes : homes / 8, 4)) }

    /// Shrinks to what a segment built from these entries has.
    mutating func endLoading() {
        isLoading = false
        let fitting = Self.fittingHomes(for: count)
        if homes > fitting + fitting / 16 { layOut(minimumHomes: fitting) }
    }

    private static func fittingHomes(for count: Int) -> Int { count + count / 5 + 4 }

    /// Entries are compacted in order first, then laid out anew.
    private mutating func layOut(minimumHomes: Int) {
        var sorted = ContiguousArray<Hash128>()
        var sortedPayloads = ContiguousArray<UInt16>()
        sorted.reserveCapacity(count)
        if hasPayloads { sortedPayloads.reserveCapacity(count) }
        for index in hashes.indices where hashes[index] != .empty {
            sorted.append(hashes[index])
            if hasPayloads { sortedPayloads.append(payloads[index]) }
        }
        rebuild(sorted, sortedPayloads, minimumHomes: minimumHomes)
    }

    private mutating func rebuild(
        _ sorted: ContiguousArray<Hash128>, _ sortedPayloads: ContiguousArray<UInt16>, minimumHomes: Int
    ) {
        count = sorted.count
        homes = minimumHomes
        let slots = homes + min(40, homes / 16 + 4)
        hashes = ContiguousArray(repeating: .empty, count: slots)
        payloads = hasPayloads ? ContiguousArray(repeating: 0, count: slots) : []
        var next = 0
        for index in sorted.indices {
            let place = max(next, home(of: sorted[index]))
            while place >= hashes.count { extend() }
            hashes[place] = sorted[index]
            if hasPayloads { payloads[place] = sortedPayloads[index] }
            next = place + 1
        }
    }

    /// Adds free places behind the last one.
    private mutating func extend() {
        let more = max(4, hashes.count / 32)
        hashes.append(contentsOf: repeatElement(.empty, count: more))
        if hasPayloads { payloads.append(contentsOf: repeatElement(0, count: more)) }
    }
}
