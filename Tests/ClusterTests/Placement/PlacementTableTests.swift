// The table as it is stored: there and back, and nothing else is taken for one.

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
}
