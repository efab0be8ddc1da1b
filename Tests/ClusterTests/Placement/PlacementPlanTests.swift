// The plan says what then happens, and the reason says what holds: both are compared with the algorithm itself.

import Platform
import Protocol
import Testing

@testable import Cluster

struct PlacementPlanTests {
    private static let nobody = [String?](repeating: nil, count: Slot.count)

    private static func members(_ count: Int) -> [PlacementMember] {
        (0..<count).map { PlacementMember(name: "tumulte_node.\($0 + 1)") }
    }

    /// Where the moves of a plan lead.
    private static func applied(_ plan: PlacementPlan, to owners: [String?]) -> [String?] {
        var owners = owners
        for move in plan.moves {
            #expect(owners[Int(move.slot.index)] == move.from && move.from != move.to)
            owners[Int(move.slot.index)] = move.to
        }
        return owners
    }

    @Test func `a calm cluster plans no move`() throws {
        let members = Self.members(5)
        let owners = CappedPlacement.homes(members: members, owners: Self.nobody)
        let plan = try PlacementPlan(members: members, owners: owners)
        #expect(plan.moves.isEmpty && plan.homes == owners)
        #expect(plan.loads.values.reduce(0, +) == Slot.count)
    }

    @Test(arguments: UInt64(1)...20)
    func `whatever is planned is what the algorithm then does, and then nothing is left to do`(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        var members = Self.members(4)
        var owners: [String?] = CappedPlacement.homes(members: members, owners: Self.nobody)
        for round in 0..<8 {
            var changes: [PlacementPlan.Change] = []
            if random.next() % 2 == 0 || members.count < 3 {
                changes.append(.join(PlacementMember(name: "n\(round)", weight: Double(random.next() % 3 + 1))))
            }
            if members.count > 2 {
                let name = members[Int(random.next() % UInt64(members.count))].name
                changes.append(random.next() % 2 == 0 ? .leave(name) : .drain(name))
            }
            let plan = try PlacementPlan(members: members, owners: owners, changes: changes)
            for change in changes {
                switch change {
                case .join(let member): members.append(member)
                case .leave(let name), .drain(let name): members.removeAll { $0.name == name }
                }
            }
            // Whoever left is gone from the owners that the others see.
            let alive = Set(members.map(\.name))
            let seen = owners.map { $0.flatMap { alive.contains($0) ? $0 : nil } }
            let homes = CappedPlacement.homes(members: members, owners: seen)
            #expect(plan.homes == homes)
            owners = Self.applied(plan, to: owners)
            #expect(owners == homes)
            #expect(try PlacementPlan(members: members, owners: owners).moves.isEmpty)
        }
    }

    @Test func `who drains hands over, who leaves is taken over from`() throws {
        let members = Self.members(3)
        let owners = CappedPlacement.homes(members: members, owners: Self.nobody)
        let name = members[1].name
        let drained = try PlacementPlan(members: members, owners: owners, changes: [.drain(name)])
        let left = try PlacementPlan(members: members, owners: owners, changes: [.leave(name)])
        #expect(drained.homes == left.homes)
        #expect(drained.moves.count == owners.count { $0 == name })
        #expect(drained.moves.allSatisfy { $0.from == name && $0.isHandOff })
        #expect(left.moves.allSatisfy { $0.from == name && !$0.isHandOff })
        #expect(drained.loads[name] == nil)
    }

    @Test func `slots without an owner are taken over, and pins stay`() throws {
        let members = Self.members(2)
        let plan = try PlacementPlan(members: members, owners: Self.nobody)
        #expect(plan.moves.count == Slot.count && plan.moves.allSatisfy { $0.from == nil && !$0.isHandOff })
        let pinned = try PlacementPlan(
            members: members, owners: plan.homes, pins: [Slot(9): members[0].name],
            changes: [.join(PlacementMember(name: "new", weight: 5))])
        #expect(pinned.homes[9] == members[0].name)
    }

    @Test func `changes that cannot be are refused`() {
        func fault(_ changes: PlacementPlan.Change...) -> PlacementPlan.Fault? {
            do throws(PlacementPlan.Fault) {
                _ = try PlacementPlan(members: Self.members(2), owners: Self.nobody, changes: changes)
                return nil
            } catch {
                return error
            }
        }
        let (first, second) = ("tumulte_node.1", "tumulte_node.2")
        #expect(fault(.join(PlacementMember(name: first))) == .alreadyMember(first))
        #expect(fault(.leave("x")) == .notMember("x"))
        #expect(fault(.drain(first), .leave(first)) == .notMember(first))
        #expect(fault(.leave(first), .join(PlacementMember(name: first))) == .alreadyMember(first))
        #expect(fault(.leave(first), .drain(second)) == .nobodyLeft)
        #expect(fault(.leave(first), .drain(second), .join(PlacementMember(name: "x"))) == nil)
    }

    // MARK: - Reasons

    @Test func `the reason names rank, cap and load of the owner`() throws {
        let members = Self.members(3)
        let owners = CappedPlacement.homes(members: members, owners: Self.nobody)
        var ranks: [Int: Int] = [:]
        for index in stride(from: 0, to: Slot.count, by: 16) {
            let slot = Slot(UInt16(index))
            let reason = try #require(PlacementReason(of: slot, members: members, owners: owners))
            let rank = try #require(reason.rank)
            #expect(Rendezvous.ranking(of: members.map(\.name), for: slot)[rank - 1] == owners[index])
            #expect(reason.cap == 1366 && reason.load <= 1366 && reason.memberCount == 3 && !reason.isPinned)
            #expect((reason.cause == .ranksFirst) == (rank == 1))
            ranks[rank, default: 0] += 1
        }
        #expect((ranks[1] ?? 0) > 200)
    }

    @Test func `the reason tells full nodes from slots that merely stay`() throws {
        let members = Self.members(2)
        let (a, b) = (members[0].name, members[1].name)
        let slot = try #require(
            (0..<Slot.count).map { Slot(UInt16($0)) }.first {
                Rendezvous.ranking(of: [a, b], for: $0) == [a, b]
            })
        // b has it although a ranks first: a has its half, or has room.
        var owners: [String?] = (0..<Slot.count).map { $0 % 2 == Int(slot.index) % 2 ? b : a }
        #expect(PlacementReason(of: slot, members: members, owners: owners)?.cause == .othersFull)
        owners[Int(slot.index) ^ 1] = nil
        #expect(PlacementReason(of: slot, members: members, owners: owners)?.cause == .stays)
    }

    @Test func `the reason tells of pins, of nodes that drain, and of nobody`() throws {
        let members = Self.members(2)
        let homes = CappedPlacement.homes(members: members, owners: Self.nobody)
        let owner = homes[4]
        #expect(PlacementReason(of: Slot(4), members: members, owners: homes, pins: [Slot(4): owner])?.isPinned == true)
        let rest = members.filter { $0.name != owner }
        let draining = try #require(PlacementReason(of: Slot(4), members: rest, owners: homes))
        #expect(draining.rank == nil && draining.cap == nil && draining.cause == .leaves(rest[0].name))
        #expect(draining.description.contains(rest[0].name))
        #expect(PlacementReason(of: Slot(4), members: members, owners: Self.nobody) == nil)
    }
}
