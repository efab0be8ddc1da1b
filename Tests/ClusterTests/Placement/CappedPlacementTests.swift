// Balance and movement: what makes a cluster calm when nodes come and go.

import Platform
import Protocol
import Testing

@testable import Cluster

struct CappedPlacementTests {
    private static let nobody = [String?](repeating: nil, count: Slot.count)

    private static func members(_ count: Int) -> [PlacementMember] {
        (0..<count).map { PlacementMember(name: "tumulte_node.\($0 + 1)") }
    }

    private static func loads(_ homes: [String]) -> [String: Int] {
        homes.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }

    private static func moves(_ before: [String], _ after: [String]) -> Int {
        zip(before, after).count { $0 != $1 }
    }

    @Test func `scores are fixed for ever`() {
        let names = ["a", "b", "tumulte_node.1"]
        let found = [0, 1, 4095].flatMap { slot in names.map { Rendezvous.score(of: $0, for: Slot(slot)) } }
        #expect(found == Self.golden)
        #expect(Rendezvous.ranking(of: names, for: Slot(7)) == ["b", "a", "tumulte_node.1"])
    }

    @Test(arguments: [(2, 1.0), (3, 1.001), (10, 1.001), (50, 1.03), (100, 1.03)])
    func `nodes get equal shares`(nodes: Int, bound: Double) {
        let homes = CappedPlacement.homes(members: Self.members(nodes), owners: Self.nobody)
        let loads = Self.loads(homes)
        let most = Double(loads.values.max() ?? 0) / (Double(Slot.count) / Double(nodes))
        #expect(loads.count == nodes)
        #expect(most <= bound, "\(nodes) nodes: \(most)")
    }

    @Test(arguments: 2...20)
    func `a join and a leave move exactly the share of the one node, and nothing else`(nodes: Int) {
        let old = Self.members(nodes)
        let before = CappedPlacement.homes(members: old, owners: Self.nobody)
        let new = PlacementMember(name: "newcomer")
        let joined = CappedPlacement.homes(members: old + [new], owners: before)
        let caps = CappedPlacement.caps(old + [new])
        // What the others have above their new caps goes to the newcomer.
        let excess = Self.loads(before).reduce(0) { $0 + max(0, $1.value - (caps[$1.key] ?? 0)) }
        #expect(Self.moves(before, joined) == excess)
        #expect(zip(before, joined).allSatisfy { $0 == $1 || $1 == "newcomer" })
        let left = CappedPlacement.homes(members: old, owners: joined)
        #expect(Self.moves(joined, left) == Self.loads(joined)["newcomer"])
        #expect(zip(joined, left).allSatisfy { $0 == $1 || $0 == "newcomer" })
    }

    @Test func `nothing moves where nothing changed, whatever the order of the members`() {
        let members = Self.members(7)
        let homes = CappedPlacement.homes(members: members, owners: Self.nobody)
        #expect(CappedPlacement.homes(members: members.reversed(), owners: Self.nobody) == homes)
        #expect(CappedPlacement.homes(members: members, owners: homes) == homes)
    }

    @Test func `weights set the shares`() {
        let members = [
            PlacementMember(name: "small", weight: 1), PlacementMember(name: "large", weight: 3),
        ]
        let loads = Self.loads(CappedPlacement.homes(members: members, owners: Self.nobody))
        #expect(loads == ["small": 1024, "large": 3072])
    }

    @Test func `a pin holds while its node is a member, and counts against its share`() {
        let members = Self.members(3)
        let slot = Slot(11)
        let free = CappedPlacement.homes(members: members, owners: Self.nobody)
        let other = members.map(\.name).first { $0 != free[11] } ?? ""
        let pinned = CappedPlacement.homes(members: members, owners: free, pins: [slot: other])
        #expect(pinned[11] == other)
        #expect((Self.loads(pinned)[other] ?? 0) <= (CappedPlacement.caps(members)[other] ?? 0))
        let without = members.filter { $0.name != other }
        #expect(CappedPlacement.homes(members: without, owners: pinned, pins: [slot: other])[11] != other)
    }

    @Test func `homes with pins are fixed for ever`() {
        let members = [
            PlacementMember(name: "a"), PlacementMember(name: "b", weight: 2), PlacementMember(name: "tumulte_node.1"),
        ]
        let pins: [Slot: String] = [Slot(0): "a", Slot(1): "gone", Slot(17): "b", Slot(4095): "tumulte_node.1"]
        let homes = CappedPlacement.homes(members: members, owners: Self.nobody, pins: pins)
        #expect(Self.loads(homes) == ["a": 1024, "b": 2048, "tumulte_node.1": 1024])
        #expect(homes[0] == "a" && homes[17] == "b" && homes[4095] == "tumulte_node.1" && homes[1] != "gone")
        let key = Array("golden homes 16b".utf8)
        #expect(SipHash.hash64(Array(homes.joined(separator: ",").utf8), key: key) == 6_047_432_291_590_131_376)
    }

    @Test(arguments: [2, 3, 10, 50, 100])
    func `pins leave shares equal, as long as none has more pins than its share`(nodes: Int) {
        let members = Self.members(nodes)
        // Every sixteenth slot is pinned, to one half of the nodes.
        var pins: [Slot: String] = [:]
        for index in stride(from: 0, to: Slot.count, by: 16) {
            pins[Slot(UInt16(index))] = members[index / 16 % (nodes + 1) / 2].name
        }
        let free = CappedPlacement.homes(members: members, owners: Self.nobody)
        let homes = CappedPlacement.homes(members: members, owners: free, pins: pins)
        let caps = CappedPlacement.caps(members)
        #expect(pins.allSatisfy { homes[Int($0.key.index)] == $0.value })
        for (name, load) in Self.loads(homes) { #expect(load <= caps[name] ?? 0) }
        #expect(CappedPlacement.homes(members: members, owners: homes, pins: pins) == homes)
        // Without the pins nothing moves back: everybody is within its share.
        #expect(CappedPlacement.homes(members: members, owners: homes) == homes)
    }

    @Test func `more pins than a share crowd their node, and nobody else is over`() {
        let members = Self.members(4)
        var pins: [Slot: String] = [:]
        for index in 0..<2000 { pins[Slot(UInt16(index))] = members[0].name }
        let loads = Self.loads(CappedPlacement.homes(members: members, owners: Self.nobody, pins: pins))
        #expect(loads[members[0].name] == 2000)
        #expect(members.dropFirst().allSatisfy { loads[$0.name] ?? 0 <= 1024 })
    }

    @Test(arguments: UInt64(1)...20)
    func `whatever is pinned and whoever comes and goes, the moves are needed ones`(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var members = Self.members(3)
        var homes = CappedPlacement.homes(members: members, owners: Self.nobody)
        var pins: [Slot: String] = [:]
        for round in 0..<12 {
            let before = homes
            switch random.next() % 3 {
            case 0: members.append(PlacementMember(name: "n\(round)", weight: Double(random.next() % 3 + 1)))
            case 1 where members.count > 1: members.remove(at: Int(random.next() % UInt64(members.count)))
            default:
                for _ in 0..<50 {
                    let slot = Slot(UInt16(random.next() % UInt64(Slot.count)))
                    let name =
                        random.next() % 5 == 0 ? "gone" : members[Int(random.next() % UInt64(members.count))].name
                    pins[slot] = random.next() % 4 == 0 ? nil : name
                }
            }
            homes = CappedPlacement.homes(members: members, owners: before, pins: pins)
            let caps = CappedPlacement.caps(members)
            let holding = pins.filter { caps[$0.value] != nil }
            #expect(holding.allSatisfy { homes[Int($0.key.index)] == $0.value })
            let load = Self.loads(homes)
            for (name, count) in load { #expect(count <= max(caps[name] ?? 0, holding.count { $0.value == name })) }
            // A pinned slot moves where it lay elsewhere; of the others orphans do, and what is above the room left.
            var needed = holding.count { before[Int($0.key.index)] != $0.value }
            var held: [String: Int] = [:]
            for (index, owner) in before.enumerated() where holding[Slot(UInt16(index))] == nil {
                if caps[owner] == nil { needed += 1 } else { held[owner, default: 0] += 1 }
            }
            for (name, count) in held {
                let room = max(0, (caps[name] ?? 0) - holding.count { $0.value == name })
                needed += max(0, count - room)
            }
            #expect(Self.moves(before, homes) == needed)
        }
    }

    @Test(arguments: UInt64(1)...20)
    func `whatever nodes do, every slot has a home within its cap, and moves are needed ones`(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var members = Self.members(3)
        var homes = CappedPlacement.homes(members: members, owners: Self.nobody)
        var next = 100
        for _ in 0..<12 {
            let before = homes
            if random.next() % 2 == 0 || members.count == 1 {
                next += 1
                members.append(PlacementMember(name: "n\(next)", weight: Double(random.next() % 3 + 1)))
            } else {
                members.remove(at: Int(random.next() % UInt64(members.count)))
            }
            homes = CappedPlacement.homes(members: members, owners: before)
            let caps = CappedPlacement.caps(members)
            for (name, load) in Self.loads(homes) { #expect(load <= caps[name] ?? 0) }
            let alive = Set(members.map(\.name))
            let orphans = before.count { !alive.contains($0) }
            let excess = Self.loads(before).reduce(0) { sum, entry in
                alive.contains(entry.key) ? sum + max(0, entry.value - (caps[entry.key] ?? 0)) : sum
            }
            #expect(Self.moves(before, homes) == orphans + excess)
        }
    }

    static let golden: [UInt64] = [
        4_455_096_198_558_893_766, 9_072_294_484_384_417_327, 15_105_230_708_061_870_001,
        16_017_074_029_355_296_920, 9_897_882_981_181_883_138, 7_484_353_557_450_931_578,
        8_673_326_668_534_190_413, 246_450_629_880_535_222, 17_590_171_246_093_261_126,
    ]
}
