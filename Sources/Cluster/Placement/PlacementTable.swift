// Who serves what, as the nodes tell each other: one value with a version that only grows. It says what was true when it
// was written; the database says what is. Whoever acts on an old one is told by the owner that it is none.
//
//   table    format (1 byte = 1), members, for each slot the member's number + 1 in 2 bytes (0: nobody), checksum (8)
//   members  count (2), then for each: incarnation (16), weight (8), draining (1), name, address
//   text     length (1), UTF-8
//
// Integers are little-endian; the checksum is SipHash-2-4 over everything before it.

import Platform
import Protocol

/// A node in the table.
public struct TableMember: Hashable, Sendable {
    /// The process.
    public let incarnation: UInt128
    /// The node's stable name, up to 128 bytes.
    public let name: String
    /// Where others dial it, up to 255 bytes.
    public let address: String
    /// Its share of slots.
    public let weight: Double
    /// It gives its slots away.
    public let isDraining: Bool

    /// Takes all as it is.
    public init(incarnation: UInt128, name: String, address: String, weight: Double, isDraining: Bool) {
        self.incarnation = incarnation
        self.name = name
        self.address = address
        self.weight = weight
        self.isDraining = isDraining
    }
}

/// A placement table.
public struct PlacementTable: Hashable, Sendable {
    /// Nodes that a table may have.
    public static let membersLimit = 1024

    /// The nodes, in the order in which they started.
    public let members: [TableMember]
    /// By slot, who serves it; `nil` for nobody.
    public let owners: [UInt128?]

    /// - Precondition: an entry for each slot, at most `membersLimit` members.
    public init(members: [TableMember], owners: [UInt128?]) {
        precondition(owners.count == Slot.count && members.count <= Self.membersLimit, "not a placement table")
        self.members = members
        self.owners = owners
    }

    private static let format: UInt8 = 1
    private static let key: [UInt8] = Array("tumulte table v1".utf8)

    // MARK: - Bytes

    /// The table as it is stored. Owners that are no members are left out.
    public var bytes: [UInt8] {
        var output: [UInt8] = [Self.format]
        Self.append(UInt64(members.count), 2, to: &output)
        var numbers: [UInt128: Int] = [:]
        for (index, member) in members.enumerated() {
            numbers[member.incarnation] = index + 1
            Self.append(UInt64(truncatingIfNeeded: member.incarnation), 8, to: &output)
            Self.append(UInt64(truncatingIfNeeded: member.incarnation >> 64), 8, to: &output)
            Self.append(member.weight.bitPattern, 8, to: &output)
            output.append(member.isDraining ? 1 : 0)
            for text in [member.name, member.address] {
                let bytes = Array(text.utf8.prefix(255))
                output.append(UInt8(bytes.count))
                output.append(contentsOf: bytes)
            }
        }
        for owner in owners { Self.append(UInt64(owner.flatMap { numbers[$0] } ?? 0), 2, to: &output) }
        Self.append(SipHash.hash64(output, key: Self.key), 8, to: &output)
        return output
    }

    private static func append(_ value: UInt64, _ count: Int, to output: inout [UInt8]) {
        for index in 0..<count { output.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
    }

    /// Reads what `bytes` made; `nil` for anything else.
    public init?(bytes: [UInt8]) {
        guard bytes.count > 8 else { return nil }
        var reader = Reader(bytes: bytes[..<(bytes.count - 8)])
        var tail = Reader(bytes: bytes[(bytes.count - 8)...])
        guard tail.integer(8) == SipHash.hash64(Array(reader.bytes), key: Self.key), reader.integer(1) == 1,
            let count = reader.integer(2), count <= UInt64(Self.membersLimit)
        else { return nil }
        var members: [TableMember] = []
        for _ in 0..<count {
            guard let member = reader.member() else { return nil }
            members.append(member)
        }
        var owners: [UInt128?] = []
        for _ in 0..<Slot.count {
            guard let number = reader.integer(2), number <= count else { return nil }
            owners.append(number == 0 ? nil : members[Int(number) - 1].incarnation)
        }
        guard reader.bytes.isEmpty else { return nil }
        self.init(members: members, owners: owners)
    }

    private struct Reader {
        var bytes: ArraySlice<UInt8>

        mutating func integer(_ count: Int) -> UInt64? {
            guard bytes.count >= count else { return nil }
            var value: UInt64 = 0
            for (index, byte) in bytes.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
            bytes = bytes.dropFirst(count)
            return value
        }

        mutating func text() -> String? {
            guard let count = integer(1), bytes.count >= Int(count) else { return nil }
            defer { bytes = bytes.dropFirst(Int(count)) }
            return String(validating: bytes.prefix(Int(count)), as: UTF8.self)
        }

        mutating func member() -> TableMember? {
            guard let low = integer(8), let high = integer(8), let weight = integer(8), let draining = integer(1),
                draining <= 1, let name = text(), let address = text()
            else { return nil }
            let share = Double(bitPattern: weight)
            guard share.isFinite, share > 0 else { return nil }
            return TableMember(
                incarnation: UInt128(high) << 64 | UInt128(low), name: name, address: address, weight: share,
                isDraining: draining == 1)
        }
    }
}
