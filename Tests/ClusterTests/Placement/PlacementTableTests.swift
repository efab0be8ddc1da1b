// The table as it is stored: there and back, and nothing else is taken for one.

import Platform
import Protocol
import Testing

@testable import Cluster

struct PlacementTableTests {
    private static let table = PlacementTable(
        members: [
            TableMember(
                incarnation: UInt128(7) << 64 | 1, name: "tumulte.1", address: "10.0.0.5:7400", weight: 1,
                isDraining: false),
            TableMember(incarnation: .max, name: "zwei", address: "[::1]:7400", weight: 2.5, isDraining: true),
        ],
        owners: (0..<Slot.count).map { $0 % 3 == 0 ? nil : $0 % 3 == 1 ? UInt128(7) << 64 | 1 : .max })

    @Test func `a table comes back as it was stored`() {
        #expect(PlacementTable(bytes: Self.table.bytes) == Self.table)
        let empty = PlacementTable(members: [], owners: Array(repeating: nil, count: Slot.count))
        #expect(PlacementTable(bytes: empty.bytes) == empty)
        #expect(empty.bytes.count == 1 + 2 + 2 * Slot.count + 8)
        #expect(Self.table.bytes.prefix(12) == [1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7])
    }

    private static let pinned = PlacementTable(
        members: table.members, owners: table.owners, pins: [Slot(4095): "zwei", Slot(3): "gone"])

    @Test func `a table with pins has a format of its own, and comes back as well`() {
        #expect(PlacementTable(bytes: Self.pinned.bytes) == Self.pinned)
        #expect(Self.pinned.bytes.first == 2 && Self.table.bytes.first == 1)
        // Two pins by slot, in front of the checksum.
        let pins: [UInt8] = [2, 0, 3, 0, 4] + Array("gone".utf8) + [0xFF, 0x0F, 4] + Array("zwei".utf8)
        #expect(Self.pinned.bytes.dropLast(8).suffix(pins.count) == pins[...])
        #expect(Self.pinned.bytes.count == Self.table.bytes.count + pins.count)
        #expect(Self.pinned.bytes.suffix(8) == Self.goldenPinned[...] && Self.table.bytes.suffix(8) == Self.golden[...])
        let bytes = Self.pinned.bytes
        for end in bytes.count - 40..<bytes.count { #expect(PlacementTable(bytes: Array(bytes[..<end])) == nil) }
        for index in bytes.count - 40..<bytes.count {
            var damaged = bytes
            damaged[index] ^= 1
            #expect(PlacementTable(bytes: damaged) == nil)
        }
    }

    /// A table of these bytes, under a checksum that is right.
    private static func sealed(_ bytes: [UInt8]) -> PlacementTable? {
        let checksum = SipHash.hash64(bytes, key: Array("tumulte table v1".utf8))
        return PlacementTable(bytes: bytes + (0..<8).map { UInt8(truncatingIfNeeded: checksum >> UInt64(8 * $0)) })
    }

    @Test(
        arguments: [
            [0, 0], [1, 0], [2, 0, 3, 0, 1, 0x61, 3, 0, 1, 0x61], [2, 0, 3, 0, 1, 0x61, 2, 0, 1, 0x61],
            [1, 0, 0, 0x10, 1, 0x61], [1, 0, 3, 0, 2, 0x61], [1, 0, 3, 0, 1, 0xFF], [1, 0, 3, 0, 1, 0x61, 0],
        ] as [[UInt8]])
    func `pins that are none, twice, out of order or cut short are refused`(pins: [UInt8]) {
        let empty: [UInt8] = [2, 0, 0] + [UInt8](repeating: 0, count: 2 * Slot.count)
        #expect(Self.sealed(empty + [1, 0, 3, 0, 1, 0x61])?.pins == [Slot(3): "a"])
        #expect(Self.sealed(empty + pins) == nil)
        #expect(Self.sealed([3] + empty.dropFirst()) == nil)
    }

    @Test func `an owner that is no member is nobody`() {
        let table = PlacementTable(members: [], owners: Array(repeating: 5, count: Slot.count))
        #expect(PlacementTable(bytes: table.bytes)?.owners.allSatisfy { $0 == nil } == true)
    }

    @Test func `no prefix and no damaged byte is taken for a table`() {
        let bytes = Self.table.bytes
        for end in stride(from: 0, to: bytes.count, by: 7) {
            #expect(PlacementTable(bytes: Array(bytes[..<end])) == nil)
        }
        for index in stride(from: 0, to: bytes.count, by: 5) {
            var damaged = bytes
            damaged[index] ^= UInt8(1 << (index % 8))
            #expect(PlacementTable(bytes: damaged) == nil)
        }
        #expect(PlacementTable(bytes: bytes + [0]) == nil)
    }

    private static let golden: [UInt8] = [251, 32, 157, 227, 182, 33, 148, 8]
    private static let goldenPinned: [UInt8] = [126, 177, 20, 88, 65, 177, 6, 122]
}
