// Some of the slots, a bit each: what a node says that it serves.

import Protocol

struct SlotSet: Sendable, Equatable {
    /// Eight slots a byte, the lowest in the lowest bit.
    static let byteCount = Slot.count / 8

    private(set) var bytes = [UInt8](repeating: 0, count: SlotSet.byteCount)

    init() {}

    init(_ slots: some Sequence<Slot>) { for slot in slots { insert(slot) } }

    /// - Parameter first: the first bytes, at most `byteCount`; the slots behind them are not in the set.
    init(first: [UInt8]) {
        precondition(first.count <= Self.byteCount, "\(first.count) bytes are more than there are slots for")
        bytes.replaceSubrange(..<first.count, with: first)
    }

    /// The bytes up to the last slot that is in the set.
    var shortest: ArraySlice<UInt8> { bytes[...].dropLast(bytes.reversed().prefix { $0 == 0 }.count) }

    mutating func insert(_ slot: Slot) { bytes[Int(slot.index) / 8] |= 1 << (slot.index % 8) }

    func contains(_ slot: Slot) -> Bool { bytes[Int(slot.index) / 8] & 1 << (slot.index % 8) != 0 }
}
