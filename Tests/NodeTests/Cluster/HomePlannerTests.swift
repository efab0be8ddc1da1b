import Cluster
@testable import Journal
import Protocol
import Testing

@testable import Node

struct HomePlannerTests {
    private static let settled = HomePlanner.settleTime

    private func node(_ incarnation: UInt128, _ name: String, isDraining: Bool = false) -> LeasedNode {
        LeasedNode(
            incarnation: incarnation, name: name, address: "\(name):1", weight: 1, isDraining: isDraining,
            hasLapsed: false, started: Timestamp(milliseconds: Int64(incarnation)))
    }

    /// All slots have the same owner.
    private func owned(by owner: UInt128?, version: UInt64 = 1) -> HomePlanner.Owners {
        HomePlanner.Owners(
            version: version,
            holdings: (0..<Slot.count).map { SlotHolding(slot: Slot(UInt16($0)), epoch: 1, owner: owner, pin: nil) })
    }

    /// How many slots are at home where.
    private func shares(_ homes: [String]) -> [String: Int] { homes.reduce(into: [:]) { $0[$1, default: 0] += 1 } }

    @Test func `a node alone takes everything at once`() {
        var planner = HomePlanner(me: 1)
        let nodes = [node(1, "a")]
        planner.look(nodes, at: 5)
        let homes = planner.plan(owned(by: nil), among: nodes, isLeaving: false, at: 5)
        for view in [homes.given, homes.offered, homes.free] { #expect(shares(view) == ["a": 4096]) }
        #expect(!planner.awaitsNewcomer(among: nodes))
    }

    @Test func `a stranger is looked at for two seconds before it gets slots`() {
        var planner = HomePlanner(me: 1)
        let nodes = [node(1, "a"), node(2, "b")]
        planner.look([nodes[0]], at: 0)
        planner.look(nodes, at: 10)
        for now in [10, 9 + Self.settled] {
            let homes = planner.plan(owned(by: 1), among: nodes, isLeaving: false, at: now)
            #expect(shares(homes.given) == ["a": 4096] && shares(homes.offered) == ["a": 4096])
            #expect(planner.awaitsNewcomer(among: nodes))
        }
        let homes = planner.plan(owned(by: 1), among: nodes, isLeaving: false, at: 10 + Self.settled)
        for view in [homes.given, homes.offered, homes.free] { #expect(shares(view) == ["a": 2048, "b": 2048]) }
        #expect(!planner.awaitsNewcomer(among: nodes))
    }

    @Test func `a newcomer takes what is offered by those who know its name`() {
        var planner = HomePlanner(me: 2)
        let nodes = [node(1, "a"), node(2, "b")]
        planner.look(nodes, at: 10)
        let homes = planner.plan(owned(by: 1), among: nodes, isLeaving: false, at: 10)
        #expect(shares(homes.offered) == ["a": 2048, "b": 2048])
        // It does not know whether it is known: by itself it takes nothing, and would have nobody else do so.
        #expect(shares(homes.given) == ["a": 4096] && homes.free == [])
    }

    @Test func `a name that returns gets its slots back at once, and no free ones`() {
        var planner = HomePlanner(me: 1)
        let nodes = [node(1, "a"), node(2, "b")]
        planner.look(nodes, at: 0)
        _ = planner.plan(owned(by: 2), among: nodes, isLeaving: false, at: Self.settled)
        let now = 10 * Self.settled
        let again = [nodes[0], node(3, "b")]
        planner.look([nodes[0]], at: now - 1)
        planner.look(again, at: now)
        let homes = planner.plan(owned(by: 2, version: 2), among: again, isLeaving: false, at: now)
        #expect(shares(homes.given) == ["a": 2048, "b": 2048] && homes.offered == homes.given)
        #expect(shares(homes.free) == ["a": 4096])
    }

    @Test func `who owns slots is known to a process that has just begun`() {
        var planner = HomePlanner(me: 3)
        let nodes = [node(1, "a"), node(2, "b"), node(3, "c")]
        planner.look(nodes, at: 0)
        var holdings = owned(by: 1).holdings
        holdings[7] = SlotHolding(slot: Slot(7), epoch: 1, owner: 2, pin: nil)
        let homes = planner.plan(
            HomePlanner.Owners(version: 1, holdings: holdings), among: nodes, isLeaving: false, at: 0)
        #expect(shares(homes.given) == ["a": 2048, "b": 2048])
        #expect(shares(homes.offered).keys.sorted() == ["a", "b", "c"])
    }

    @Test func `a node that leaves has no slots, and where it is alone nobody has`() {
        var planner = HomePlanner(me: 1)
        let nodes = [node(1, "a"), node(2, "b")]
        planner.look(nodes, at: 0)
        let homes = planner.plan(owned(by: 1), among: nodes, isLeaving: true, at: Self.settled)
        for view in [homes.given, homes.offered, homes.free] { #expect(shares(view) == ["b": 4096]) }
        let alone = planner.plan(owned(by: 1), among: [nodes[0]], isLeaving: true, at: Self.settled)
        #expect(alone == Homes())
    }

    @Test func `a plan follows the owners and their pins when these have changed`() {
        var planner = HomePlanner(me: 1)
        let nodes = [node(1, "a"), node(2, "b")]
        planner.look(nodes, at: 0)
        func plan(_ owners: HomePlanner.Owners) -> Homes {
            planner.plan(owners, among: nodes, isLeaving: false, at: Self.settled)
        }
        let first = plan(owned(by: 1))
        #expect(plan(owned(by: 1)) == first)
        var holdings = owned(by: 1).holdings
        holdings[0] = SlotHolding(slot: Slot(0), epoch: 1, owner: 1, pin: first.given[0] == "a" ? "b" : "a")
        let pinned = plan(HomePlanner.Owners(version: 2, holdings: holdings))
        #expect(pinned.given[0] != first.given[0])
    }

    @Test func `nobody waits for a stranger that is about to end`() {
        var planner = HomePlanner(me: 1)
        let nodes = [node(1, "a"), node(2, "b", isDraining: true)]
        planner.look(nodes, at: 0)
        _ = planner.plan(owned(by: 1), among: nodes, isLeaving: false, at: 0)
        #expect(!planner.awaitsNewcomer(among: nodes))
    }
}
