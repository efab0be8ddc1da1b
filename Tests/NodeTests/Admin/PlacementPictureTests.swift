// What is said of placement, from made-up nodes and slots.

import Cluster
import Protocol
import TestSupport
import Testing
import Web

@testable import Journal
@testable import Node

struct PlacementPictureTests {
    private static func node(
        _ incarnation: UInt128, _ name: String, draining: Bool = false, asked: Bool = false, lapsed: Bool = false,
        weight: Double = 1
    ) -> LeasedNode {
        LeasedNode(
            incarnation: incarnation, name: name, address: "10.0.0.\(incarnation):7400", weight: weight,
            isDraining: draining, hasLapsed: lapsed, started: Timestamp(milliseconds: Int64(incarnation)),
            isAskedToDrain: asked)
    }

    private static func holdings(_ owner: (Int) -> UInt128?) -> [SlotHolding] {
        (0..<Slot.count).map { SlotHolding(slot: Slot(UInt16($0)), epoch: UInt64($0) + 7, owner: owner($0)) }
    }

    private static func picture(
        _ nodes: [LeasedNode], steps: [Slot: MoveStep] = [:], pins: [Int: String] = [:], _ owner: (Int) -> UInt128?
    ) -> PlacementPicture {
        var holdings = holdings(owner)
        for (slot, name) in pins { holdings[slot].pin = name }
        return PlacementPicture(version: 5, nodes: nodes, holdings: holdings, steps: steps, here: 1)
    }

    @Test func `who is asked to drain gives, then has given, and serves where nobody else could`() {
        let asked = [Self.node(1, "a", asked: true), Self.node(2, "b")]
        let giving = Self.picture(asked) { $0 % 2 == 0 ? 1 : 2 }
        #expect(giving.nodes.map(\.state) == [.draining, .live] && giving.members.map(\.name) == ["b"])
        #expect(giving.nodes[0].isAskedToDrain && !giving.nodes[0].isLeaving)
        #expect(giving.moves.count == Slot.count / 2 && giving.moves.allSatisfy { $0.to == 1 })
        let given = Self.picture(asked) { _ in 2 }
        #expect(given.nodes.map(\.state) == [.drained, .live] && given.moves.isEmpty)
        // b is about to end: a has every home again.
        let left = Self.picture([Self.node(1, "a", asked: true), Self.node(2, "b", draining: true)]) { _ in 2 }
        #expect(left.nodes.map(\.state) == [.live, .draining] && left.moves.allSatisfy { $0.to == 0 })
        #expect(left.nodes[1].isLeaving && left.moves.count == Slot.count)
        // A newer process of the name is not asked.
        let restarted = Self.picture([Self.node(1, "a", asked: true), Self.node(2, "a")]) { _ in 1 }
        #expect(restarted.nodes.map(\.state) == [.replaced, .live])
    }

    @Test func `a node that did not answer is said to be silent, not empty`() throws {
        let picture = Self.picture([Self.node(1, "a"), Self.node(2, "b")], pins: [7: "b"]) { $0 % 2 == 0 ? 1 : 2 }
        let bytes = AdminDocuments.placement(
            picture, withOwners: false, statuses: [(1, PeerStatus(campaigns: 3, connections: 5, steps: [:]))],
            leases: [NodeLease(incarnation: 2, remainingMilliseconds: -40)])
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains(#""cap":2048,"leaseMs":null,"answered":true,"campaigns":3,"connections":5}"#), "\(text)")
        #expect(text.contains(#""leaseMs":-40,"answered":false,"campaigns":null,"connections":null}"#), "\(text)")
        #expect(text.contains(#""pins":[{"slot":7,"node":"b"}],"here":"a"}"#), "\(text)")

        let report = SlotReport(Slot(7), in: picture, epoch: 14, newest: nil)
        let id = CampaignID(UUIDv7(at: Timestamp(milliseconds: 5), random: 1))
        func campaign(_ look: CampaignLook?) -> String {
            String(
                decoding: AdminDocuments.campaign(
                    id, report, journal: (9, nil), look: look, voices: [(1, PeerCampaign(clients: 4, look: look))]),
                as: UTF8.self)
        }
        let silent = campaign(nil)
        #expect(
            silent.contains(#""subscribers":{"nodes":1,"clients":4,"unanswered":["b"]},"answered":false"#), "\(silent)")
        #expect(silent.hasSuffix(#""active":null,"seq":null,"runningPoll":null}"#), "\(silent)")
        // What was served under another epoch says nothing about this one.
        for (epoch, isKnown) in [(UInt64(14), true), (13, false)] {
            let look = CampaignLook(
                slot: SlotLook(epoch: epoch, tail: 9), isActive: true, isDeleted: false, seq: 6, runningPoll: nil)
            #expect(campaign(look).contains(#""answered":\#(isKnown)"#))
            #expect(campaign(look).contains(#""seq":6"#) == isKnown)
        }
    }

    @Test func `a pin moves its slot, and says so; one to a node that is gone is nothing`() {
        let nodes = [Self.node(1, "a"), Self.node(2, "b")]
        let free = Self.picture(nodes) { $0 % 2 == 0 ? 1 : 2 }
        #expect(free.moves.isEmpty)
        let pinned = Self.picture(nodes, pins: [6: "b", 8: "gone", 10: "a"]) { $0 % 2 == 0 ? 1 : 2 }
        #expect(pinned.moves.first == .init(slot: Slot(6), from: 0, to: 1, step: .waiting))
        // b gives up another one, within its share.
        #expect(pinned.moves.count == 2 && pinned.moves[1].from == 1 && pinned.moves[1].to == 0)
        #expect(pinned.reason(of: Slot(10))?.isPinned == true && pinned.reason(of: Slot(8))?.isPinned == false)
        #expect(SlotReport(Slot(8), in: pinned, epoch: 1, newest: nil).pin == "gone")
    }

    @Test func `of nodes of one name the newest takes slots, and the states say so`() {
        let picture = Self.picture(
            [
                Self.node(1, "a"), Self.node(2, "b"), Self.node(3, "b"), Self.node(4, "c", draining: true),
                Self.node(5, "d", lapsed: true),
            ]
        ) { $0 % 2 == 0 ? 2 : 9 }
        #expect(picture.nodes.map(\.state) == [.live, .replaced, .live, .draining, .lapsed])
        #expect(picture.members.map(\.name) == ["a", "b", "d"])
        #expect(picture.here == 0 && picture.epochs[3] == 10)
        // Node 9 does not live: nobody has its slots.
        #expect(picture.loads == [0, 2048, 0, 0, 0] && picture.owners[1] == nil)
        #expect(picture.nodes[0].incarnation == "00000000-0000-0000-0000-000000000001")
        #expect(PlacementPicture.text(.max) == "ffffffff-ffff-ffff-ffff-ffffffffffff")
    }

    @Test func `moves are what lies elsewhere than its home, with the step that it waits for`() {
        // a drains, b is there, slots from 4000 on have nobody.
        let nodes = [Self.node(1, "a", draining: true), Self.node(2, "b")]
        let picture = Self.picture(nodes, steps: [Slot(8): .releasing, Slot(9): .opening]) {
            $0 >= 4000 ? nil : $0 % 2 == 0 ? 1 : 2
        }
        let moves = picture.moves
        #expect(moves.count == 2000 + 96 + 1 && moves.allSatisfy { $0.to == 1 })
        #expect(moves.first { $0.slot == Slot(9) }?.step == .opening)
        #expect(moves.first { $0.slot == Slot(8) }?.step == .releasing)
        #expect(moves.first { $0.slot == Slot(10) } == .init(slot: Slot(10), from: 0, to: 1, step: .waiting))
        #expect(moves.count { $0.step == .unowned && $0.from == nil } == 96)
    }

    @Test func `a process that returns under its name is moved to as any other`() {
        let picture = Self.picture([Self.node(1, "a"), Self.node(2, "a")]) { _ in 1 }
        #expect(picture.moves.count == Slot.count && picture.moves.allSatisfy { $0.from == 0 && $0.to == 1 })
    }

    @Test func `without a node that takes slots nothing has a home`() {
        let picture = Self.picture([Self.node(1, "a", draining: true)]) { _ in 1 }
        #expect(picture.homes.isEmpty && picture.moves.isEmpty && picture.loads == [Slot.count])
        let report = SlotReport(Slot(3), in: picture, epoch: 10, newest: nil)
        #expect(report.owner?.name == "a" && report.home == nil && report.reason?.rank == nil && report.pin == nil)
    }

    @Test func `since is told only where the newest change led to the owner of now`() {
        let picture = Self.picture([Self.node(1, "a"), Self.node(2, "b")]) { $0 % 2 == 0 ? 1 : 2 }
        func since(_ slot: UInt16) -> Timestamp? {
            let change = OwnershipChange(
                at: Timestamp(milliseconds: 77), epoch: 9, from: .init(incarnation: 1, name: "a"),
                to: .init(incarnation: 2, name: "b"), cause: "hand-off", pauseMilliseconds: nil, tail: nil)
            return SlotReport(Slot(slot), in: picture, epoch: 10, newest: change).since
        }
        #expect(since(1) == Timestamp(milliseconds: 77) && since(2) == nil)
    }

    @Test func `a node alone has everything`() {
        let node = PlacementNode(name: "one", incarnation: nil, address: nil, weight: 1, state: .live, isMember: true)
        let picture = PlacementPicture(alone: node)
        #expect(picture.loads == [Slot.count] && picture.moves.isEmpty)
        #expect(picture.reason(of: Slot(0))?.rank == 1)
    }
}

struct PlacementDiffTests {
    private static func holdings(_ owner: UInt128?, changed: [Int: UInt128] = [:]) -> [SlotHolding] {
        (0..<Slot.count).map { SlotHolding(slot: Slot(UInt16($0)), epoch: 1, owner: changed[$0] ?? owner) }
    }

    private static let all = [UInt128?](repeating: 1, count: Slot.count)

    private static func status(_ slots: some Sequence<Int>, version: UInt64 = 5) -> PeerStatus {
        PeerStatus(
            campaigns: 0, connections: 0, tableVersion: version, served: SlotSet(slots.map { Slot(UInt16($0)) }),
            steps: [:])
    }

    private static func board(_ owners: [UInt128?], version: UInt64 = 5) -> PlacementDiff.Board {
        let members = [UInt128(1), 2].map {
            TableMember(incarnation: $0, name: "n\($0)", address: "h:1", weight: 1, isDraining: false)
        }
        return .table(version: version, PlacementTable(members: members, owners: owners, pins: [:]))
    }

    /// Of two nodes, 1 has every slot and 2 none, unless something else is said.
    private static func diff(
        before: [SlotHolding] = holdings(1), after: [SlotHolding] = holdings(1),
        board: PlacementDiff.Board = board(all), node: [UInt128?] = all,
        voices: PlacementDiff.Voices = [1: status(0..<Slot.count), 2: status([])]
    ) -> PlacementDiff {
        PlacementDiff(before: before, after: after, living: [1, 2], board: board, node: node, voices: voices)
    }

    @Test func `who agrees is not listed`() {
        #expect(Self.diff().isEmpty && Self.diff().entries.isEmpty && Self.diff().stragglers.isEmpty)
        #expect(Self.diff(board: .empty).isEmpty)
    }

    @Test func `each disagreement is listed with what everybody says`() {
        var (redis, node) = (Self.all, Self.all)
        redis[5] = 2
        node[9] = nil
        let diff = Self.diff(board: Self.board(redis), node: node)
        #expect(
            diff.entries == [
                .init(slot: Slot(5), database: 1, redis: .some(2), node: 1, served: [1]),
                .init(slot: Slot(9), database: 1, redis: .some(1), node: nil, served: [1]),
            ])
        #expect(
            Self.diff(board: .empty, node: node).entries
                == [.init(slot: Slot(9), database: 1, redis: nil, node: nil, served: [1])])
    }

    @Test func `a slot is listed that its owner does not serve, that two serve, or that somebody else serves`() {
        let served = Set(0..<Slot.count).subtracting([7, 8])
        let diff = Self.diff(voices: [1: Self.status(served), 2: Self.status([8, 9])])
        #expect(
            diff.entries == [
                .init(slot: Slot(7), database: 1, redis: .some(1), node: 1, served: []),
                .init(slot: Slot(8), database: 1, redis: .some(1), node: 1, served: [2]),
                .init(slot: Slot(9), database: 1, redis: .some(1), node: 1, served: [1, 2]),
            ])
        #expect(diff.stragglers.isEmpty)
    }

    @Test func `of an owner that does not answer nothing is said but that`() {
        let silent = Self.diff(voices: [2: Self.status([])])
        #expect(silent.entries.isEmpty && silent.stragglers == [.init(node: 1, version: nil)])
        let other = Self.diff(voices: [2: Self.status([9])])
        #expect(other.entries == [.init(slot: Slot(9), database: 1, redis: .some(1), node: 1, served: [2])])
    }

    @Test func `who knows an older table than Redis has, or than another node knows, is listed`() {
        let voices = [1: Self.status(0..<Slot.count), 2: Self.status([], version: 4)] as PlacementDiff.Voices
        let behind = PlacementDiff.Straggler(node: 2, version: 4)
        #expect(Self.diff(voices: voices).stragglers == [behind])
        #expect(Self.diff(board: .empty, voices: voices).stragglers == [behind])
        let all = Self.diff(board: Self.board(Self.all, version: 6), voices: voices)
        #expect(all.count == 0 && all.stragglers == [.init(node: 1, version: 5), behind])
        // No node has written such a version.
        #expect(Self.diff(board: Self.board(Self.all, version: 1 << 53), voices: voices).stragglers == [behind])
    }

    @Test func `a slot that moved while all were asked is left out, a dead owner is nobody`() {
        let moved = Self.diff(after: Self.holdings(1, changed: [7: 2]))
        #expect(moved.count == 0)
        let dead = Self.diff(before: Self.holdings(1, changed: [7: 3]), after: Self.holdings(1, changed: [7: 3]))
        #expect(dead.entries == [.init(slot: Slot(7), database: nil, redis: .some(1), node: 1, served: [1])])
    }

    @Test func `all are counted where not all are listed`() {
        let diff = Self.diff(node: Array(repeating: nil, count: Slot.count))
        #expect(diff.count == Slot.count && diff.entries.count == PlacementDiff.entriesLimit)
    }
}

struct PlanQueryTests {
    private static func changes(_ text: String) -> [PlacementPlan.Change]? {
        try? PlanQuery.changes(HTTPQuery(text))
    }

    @Test func `joins, leaves and drains are read in their order`() {
        #expect(
            Self.changes("join=d&join=e:3&leave=a&drain=b.2")
                == [
                    .join(PlacementMember(name: "d")), .join(PlacementMember(name: "e", weight: 3)), .leave("a"),
                    .drain("b.2"),
                ])
        #expect(Self.changes("join=%5B::1%5D:7400:2") == [.join(PlacementMember(name: "[::1]:7400", weight: 2))])
        #expect(Self.changes("") == [])
    }

    @Test(arguments: [
        "join=", "join=:2", "join=d:", "join=d:0", "join=d:1001", "join=d:1.5", "join=a%20b", "leave=", "drain=%C3%A4",
        "stay=a", "join=%zz", "leave=" + String(repeating: "x", count: 129),
        String(repeating: "join=a&", count: 65),
    ])
    func `what cannot be read is refused`(text: String) { #expect(Self.changes(text) == nil) }
}

struct AdminRoutesTests {
    private static let id = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"

    @Test func `queries about placement are found`() throws {
        let campaign = CampaignID(try #require(UUIDv7(Self.id)))
        let expected: [(String, Route.AdminRoute)] = [
            ("", .placement), ("/plan", .plan), ("/diff", .diff), ("/campaigns/\(Self.id)", .campaign(campaign)),
            ("/slots/0", .slot(Slot(0))), ("/slots/4095", .slot(Slot(4095))),
            ("/slots/17/timeline", .timeline(Slot(17))),
        ]
        for (path, route) in expected {
            #expect(Routes.match(.get, "/admin/placement" + path) == .success(.admin(route)), "\(path)")
            #expect(
                Routes.match(.post, "/admin/placement" + path) == .failure(.methodNotAllowed(allow: "GET, HEAD")))
        }
    }

    @Test func `wishes are found by their methods`() throws {
        let campaign = CampaignID(try #require(UUIDv7(Self.id)))
        #expect(Routes.match(.post, "/admin/nodes/b.2/drain") == .success(.admin(.drain("b.2"))))
        #expect(Routes.match(.delete, "/admin/nodes/a/b/drain") == .success(.admin(.drain("a/b"))))
        let both = RouteMiss.methodNotAllowed(allow: "POST, DELETE")
        #expect(Routes.match(.get, "/admin/nodes/b/drain") == .failure(both))
        for path in ["/admin/nodes/drain", "/admin/nodes//drain", "/admin/nodes/a b/drain", "/admin/nodes/b"] {
            #expect(Routes.match(.post, path) == .failure(.notFound), "\(path)")
        }
        let pin = "/admin/placement/pins/\(Self.id)"
        #expect(Routes.match(.post, pin) == .success(.admin(.pin(campaign))))
        #expect(Routes.match(.delete, pin) == .success(.admin(.unpin(campaign))))
        #expect(Routes.match(.get, pin) == .failure(both))
        #expect(Routes.match(.post, "/admin/placement/pins/x") == .failure(.badIdentifier))
    }

    @Test(arguments: ["", "[]", "{}", #"{"node":1}"#, #"{"node":""}"#, #"{"node":"a b"}"#, #"{"node":"ä"}"#, "{"])
    func `a body that names no node is refused`(body: String) {
        #expect(throws: ClientError.self) { try PinBody.node(Array(body.utf8)) }
    }

    @Test func `a pin's body names its node`() throws {
        #expect(try PinBody.node(Array(#"{"node":"b.2"}"#.utf8)) == "b.2")
    }

    @Test(arguments: ["4096", "-1", "+1", "01", "x", "", "65536", "1 "])
    func `what is no slot is refused`(text: String) {
        #expect(Routes.match(.get, "/admin/placement/slots/\(text)") == .failure(.badSlot))
        #expect(Routes.match(.get, "/admin/placement/slots/\(text)/timeline") == .failure(.badSlot))
    }

    @Test func `nothing else is there`() {
        for path in ["/", "/slots", "/slots/1/more", "/plan/x", "/campaigns", "/pins"] {
            #expect(Routes.match(.get, "/admin/placement" + path) == .failure(.notFound), "\(path)")
        }
        #expect(Routes.match(.get, "/admin/") == .failure(.notFound))
        #expect(Routes.match(.get, "/admin/placement/campaigns/x") == .failure(.badIdentifier))
    }
}
