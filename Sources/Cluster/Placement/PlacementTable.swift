// Who serves what, as the nodes tell each other: one value with a version that only grows. It says what was true when it
// was written; the database says what is. Whoever acts on an old one is told by the owner that it is none.
//
//   table    format (1 byte), members, for each slot the member's number + 1 in 2 bytes (0: nobody), pins in format 2,
//            checksum (8)
//   members  count (2), then for each: incarnation (16), weight (8), draining (1), name, address
//   pins     count (2), then for each, by slot: slot (2), name of the node
//   text     length (1), UTF-8
//
// Integers are little-endian; the checksum is SipHash-2-4 over everything before it. A table without pins has format 1,
// which is all that older releases read; one with pins has format 2.

import Platform
public import Protocol

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
    /// Slots that are fixed to a node, with its name, whether it lives or not.
    public let pins: [Slot: String]

    /// - Precondition: an entry for each slot, at most `membersLimit` members.
    public init(members: [TableMember], owners: [UInt128?], pins: [Slot: String] = [:]) {
        precondition(owners.count == Slot.count && members.count <= Self.membersLimit, "not a placement table")
        self.members = members
        self.owners = owners
        self.pins = pins
    }

    private static let plainFormat: UInt8 = 1
    private static let pinnedFormat: UInt8 = 2
    private static let key: [UInt8] = Array("tumulte table v1".utf8)

    // MARK: - Bytes

    /// The table as it is stored. Owners that are no members are left out.
    public var bytes: [UInt8] {
        var output: [UInt8] = [pins.isEmpty ? Self.plainFormat : Self.pinnedFormat]
        Self.append(UInt64(members.count), 2, to: &output)
        var numbers: [UInt128: Int] = [:]
        for (index, member) in members.enumerated() {
            numbers[member.incarnation] = index + 1
            Self.append(UInt64(truncatingIfNeeded: member.incarnation), 8, to: &output)
            Self.append(UInt64(truncatingIfNeeded: member.incarnation >> 64), 8, to: &output)
            Self.append(member.weight.bitPattern, 8, to: &output)
            output.append(member.isDraining ? 1 : 0)
            for text in [member.name, member.address] { Self.append(text, to: &output) }
        }
        for owner in owners { Self.append(UInt64(owner.flatMap { numbers[$0] } ?? 0), 2, to: &output) }
        if !pins.isEmpty { Self.append(UInt64(pins.count), 2, to: &output) }
        for (slot, name) in pins.sorted(by: { $0.key.index < $1.key.index }) {
            Self.append(UInt64(slot.index), 2, to: &output)
            Self.append(name, to: &output)
        }
        Self.append(SipHash.hash64(output, key: Self.key), 8, to: &output)
        return output
    }

    private static func append(_ value: UInt64, _ count: Int, to output: inout [UInt8]) {
        for index in 0..<count { output.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
    }

    private static func append(_ text: String, to output: inout [UInt8]) {
        let bytes = Array(text.utf8.prefix(255))
        output.append(UInt8(bytes.count))
        output.append(contentsOf: bytes)
    }

    /// Reads what `bytes` made; `nil` for anything else.
    public init?(bytes: [UInt8]) {
        guard bytes.count > 8 else { return nil }
        var reader = Reader(bytes: bytes[..<(bytes.count - 8)])
        var tail = Reader(bytes: bytes[(bytes.count - 8)...])
        guard tail.integer(8) == SipHash.hash64(Array(reader.bytes), key: Self.key), let format = reader.integer(1),
            format == UInt64(Self.plainFormat) || format == UInt64(Self.pinnedFormat),
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
        var pins: [Slot: String] = [:]
        if format == UInt64(Self.pinnedFormat) {
            guard let found = reader.pins() else { return nil }
            pins = found
        }
        guard reader.bytes.isEmpty else { return nil }
        self.init(members: members, owners: owners, pins: pins)
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

        /// At least one, in the order of their slots.
        mutating func pins() -> [Slot: String]? {
            guard let count = integer(2), count > 0 else { return nil }
            var pins: [Slot: String] = [:]
            var last: UInt64?
            for _ in 0..<count {
                guard let slot = integer(2), slot < UInt64(Slot.count), last.map({ $0 < slot }) ?? true,
                    let name = text()
                else { return nil }
                pins[Slot(UInt16(slot))] = name
                last = slot
            }
            return pins
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
