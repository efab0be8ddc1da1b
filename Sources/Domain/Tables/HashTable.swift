// The set of voters (with the choice of each) or of keys of a running poll, built for millions of entries.
//
//   hash ──top bits──► segment (1, 16 or 256 of them) ──multiply-high──► home ──probe──► entry
//
// Each segment grows by itself, by an eighth, so that no insert moves more than one segment; the table is cut into
// more segments twice in its life, while it is small. Each segment has its own arrays, so a copy of the table (for a
// snapshot) costs only the segments that change while the copy lives. Entries are read in ascending order of their
// hashes whatever the history of the table: bytes and digests made from it are canonical.

/// A set of 128-bit hashes, each with two bytes of payload where the table has payloads.
///
/// Memory: 16 or 18 bytes an entry at a load of 0.78 to 0.875, thus at most 23.5 bytes a voter in a large table.
struct HashTable: Sendable {
    private(set) var count = 0
    private var segments: ContiguousArray<HashSegment>
    private var prefixBits = 0
    private let hasPayloads: Bool
    /// The most entries that one insert moved: the work of the worst insert.
    private(set) var worstInsertMoves = 0

    private var isLoading = false

    /// Entries that a table may hold.
    static let countLimit = 1 << 24

    init(hasPayloads: Bool) {
        self.hasPayloads = hasPayloads
        segments = [HashSegment(prefixBits: 0, hasPayloads: hasPayloads)]
    }

    /// Bytes that the table takes on the heap, array headers included.
    var allocatedBytes: Int {
        segments.reduce(32 + segments.count * MemoryLayout<HashSegment>.stride) { $0 + $1.allocatedBytes }
    }

    /// The segments; read one after the other they hold the entries in ascending order.
    var segmentsInOrder: ContiguousArray<HashSegment> { segments }

    /// Segments by entries: 1 up to 1,024, 16 up to 16,384, then 256.
    private static func prefixBits(forCount count: Int) -> Int {
        count <= 1024 ? 0 : count <= 16_384 ? 4 : 8
    }

    @inline(__always)
    private func segmentIndex(of hash: Hash128) -> Int {
        Int(truncatingIfNeeded: (hash.high &>> 32) &>> UInt64(32 - prefixBits))
    }

    /// The payload of a hash, `nil` where it is absent.
    func payload(of hash: Hash128) -> UInt16? { segments[segmentIndex(of: hash)].payload(of: hash) }

    /// Whether the hash is in the table.
    func contains(_ hash: Hash128) -> Bool { payload(of: hash) != nil }

    /// Inserts a hash; `false` when it was there.
    @inline(__always)
    mutating func insert(_ hash: Hash128) -> Bool {
        var moved = 0
        guard segments[segmentIndex(of: hash)].place(hash, payload: 0, moved: &moved) == .inserted else { return false }
        inserted(moved)
        return true
    }

    /// Inserts a voter's choice, or replaces the choice where its option differs.
    /// - Returns: the choice before, `nil` when the voter is new.
    @inline(__always)
    mutating func choose(_ choice: Choice, voter hash: Hash128) -> Choice? {
        let segment = segmentIndex(of: hash)
        var moved = 0
        switch segments[segment].place(hash, payload: choice.bits, moved: &moved) {
        case .inserted:
            inserted(moved)
            return nil
        case .present(let index, let payload):
            let before = Choice(bits: payload)
            if before.option != choice.option { segments[segment].setPayload(choice.bits, at: index) }
            return before
        }
    }

    /// Many entries are about to be inserted: until `endLoading` the table grows in greater steps.
    mutating func beginLoading() {
        guard !isLoading else { return }
        isLoading = true
        for index in segments.indices { segments[index].isLoading = true }
    }

    /// Gives back the room that loading took.
    mutating func endLoading() {
        guard isLoading else { return }
        isLoading = false
        for index in segments.indices { segments[index].endLoading() }
    }

    /// Visits every entry in ascending order of the hashes.
    func forEach(_ body: (Hash128, UInt16) -> Void) {
        for segment in segments {
            for index in segment.hashes.indices where segment.hashes[index] != .empty {
                body(segment.hashes[index], hasPayloads ? segment.payloads[index] : 0)
            }
        }
    }

    /// A digest of the content alone: neither layout nor order of insertion shows in it. O(count).
    var digest: UInt64 {
        var sum: UInt64 = 0
        forEach { hash, payload in
            let inner = foldedProduct(hash.high ^ 0x2D35_8DCC_AA6C_78A5, hash.low ^ 0x8BB8_4B93_962E_ACC9)
            sum &+= foldedProduct(inner ^ hash.low, UInt64(payload) ^ 0x4B33_A62E_D433_D4A3) ^ hash.high
        }
        return foldedProduct(sum ^ 0x4D5A_2DA5_1DE1_AA47, UInt64(count) ^ 0xA076_1D64_78BD_642F)
    }

    @inline(__always)
    private mutating func inserted(_ moved: Int) {
        count += 1
        if moved > worstInsertMoves { worstInsertMoves = moved }
        if count == 1025 || count == 16_385 { split() }
    }

    /// Cuts the table into more segments; one sequential pass, since entries come in order.
    private mutating func split() {
        var builder = Builder(count: count, hasPayloads: hasPayloads)
        forEach { hash, payload in builder.append(hash, payload: payload) }
        let worst = max(worstInsertMoves, count)
        let wasLoading = isLoading
        self = builder.finish()
        worstInsertMoves = worst
        if wasLoading { beginLoading() }
    }
}

extension HashTable {
    /// Builds a table from entries in strictly ascending order.
    struct Builder {
        private var table: HashTable
        private var segments: ContiguousArray<HashSegment> = []
        private var hashes: ContiguousArray<Hash128> = []
        private var payloads: ContiguousArray<UInt16> = []

        init(count: Int, hasPayloads: Bool) {
            table = HashTable(hasPayloads: hasPayloads)
            table.prefixBits = HashTable.prefixBits(forCount: count)
            segments.reserveCapacity(1 << table.prefixBits)
        }

        /// - Precondition: `hash` is greater than those before it.
        mutating func append(_ hash: Hash128, payload: UInt16) {
            precondition(hashes.last.map { $0 < hash } ?? (hash != .empty), "entries of a table must ascend")
            let index = table.segmentIndex(of: hash)
            while segments.count < index { close() }
            hashes.append(hash)
            if table.hasPayloads { payloads.append(payload) }
            table.count += 1
        }

        mutating func finish() -> HashTable {
            while segments.count < 1 << table.prefixBits { close() }
            table.segments = segments
            return table
        }

        private mutating func close() {
            segments.append(
                HashSegment(
                    sorted: hashes, payloads: payloads, prefixBits: table.prefixBits, hasPayloads: table.hasPayloads))
            hashes.removeAll(keepingCapacity: true)
            payloads.removeAll(keepingCapacity: true)
        }
    }
}
