// The commands about placement: what they ask, and what they print of an answer.

import Foundation
import Platform
import Testing

@testable import Node

struct PlacementCommandTests {
    private static let id = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"

    @Test func `commands become queries, options may stand anywhere`() throws {
        let target = AdminTarget(url: "http://b:1", token: "t", isJSON: true)
        let options = ["--url", "http://b:1", "--admin-token", "t", "--json"]
        #expect(try CommandParser.parse(["placement"] + options) == .query(.placement, target))
        #expect(try CommandParser.parse(["diff"]) == .query(.diff, AdminTarget()))
        #expect(try CommandParser.parse(["where"] + options + [Self.id]) == .query(.whereIs(campaign: Self.id), target))
        #expect(try CommandParser.parse(["timeline", "4095"]) == .query(.timeline(slot: 4095), AdminTarget()))
        let plan = try CommandParser.parse(["plan", "--join", "a b:2", "--json", "--drain", "ä", "--leave", "x.1"])
        guard case .query(let query, _) = plan else { throw Unexpected(description: "\(plan)") }
        #expect(query.path == "/admin/placement/plan?join=a%20b%3a2&drain=%c3%a4&leave=x.1")
        #expect(query.method == "GET" && query.body == nil)
    }

    @Test func `wishes have methods, paths and bodies of their own`() throws {
        let target = AdminTarget(url: "http://b:1", token: nil, isJSON: true)
        let drain = PlacementCommand.drain(node: "b/2", isBack: false)
        #expect(try CommandParser.parse(["drain", "--url", "http://b:1", "b/2", "--json"]) == .query(drain, target))
        #expect(drain.method == "POST" && drain.path == "/admin/nodes/b%2f2/drain" && drain.body == nil)
        let back = PlacementCommand.drain(node: "b", isBack: true)
        #expect(try CommandParser.parse(["drain", "--back", "b"]) == .query(back, AdminTarget()))
        #expect(back.method == "DELETE")
        let pin = PlacementCommand.pin(campaign: Self.id, node: "b")
        #expect(try CommandParser.parse(["pin", Self.id, "b"]) == .query(pin, AdminTarget()))
        #expect(pin.method == "POST" && pin.path == "/admin/placement/pins/\(Self.id)")
        #expect(pin.body.map { String(decoding: $0, as: UTF8.self) } == #"{"node":"b"}"#)
        let unpin = PlacementCommand.unpin(campaign: Self.id)
        #expect(try CommandParser.parse(["unpin", Self.id]) == .query(unpin, AdminTarget()))
        #expect(unpin.method == "DELETE" && unpin.path == pin.path && unpin.body == nil)
    }

    @Test func `what became of a wish is told in lines`() {
        let drain = text(
            .drain(node: "b", isBack: false),
            #"{"node":"b","incarnation":"i2","drain":"asked","changed":true,"slots":1366}"#)
        #expect(
            drain == """
                node         b
                incarnation  i2
                slots now    1366
                drain        it gives its slots away and stays without any until `tumulte drain b --back`
                changed      yes
                """)
        let back = text(
            .drain(node: "b", isBack: true),
            #"{"node":"b","incarnation":"i2","drain":null,"changed":false,"slots":0}"#)
        #expect(back?.contains("takes its share") == true && back?.hasSuffix("it was so already") == true)
        let pin = text(
            .pin(campaign: Self.id, node: "b"),
            #"{"campaign":"\#(Self.id)","slot":17,"pin":"b","node":"a","changed":true}"#)
        #expect(
            pin == """
                campaign  \(Self.id)
                slot      17
                pinned    to b
                node now  a
                changed   yes
                """)
    }

    @Test(arguments: [
        ["placement", "now"], ["where"], ["where", "x"], ["where", id, id], ["timeline"], ["timeline", "4096"],
        ["timeline", "1", "2"], ["plan", "c"], ["plan", "--join"], ["plan", "--stay", "a"], ["diff", "--fast"],
        ["drain"], ["drain", "a", "b"], ["drain", "--now", "a"], ["drain", ""], ["pin", id], ["pin", "x", "b"],
        ["pin", id, "b", "c"], ["pin", id, ""], ["unpin"], ["unpin", "x"], ["unpin", id, "b"],
    ])
    func `what cannot be meant is refused`(arguments: [String]) {
        #expect(throws: UsageError.self) { try CommandParser.parse(arguments) }
    }

    private func text(_ command: PlacementCommand, _ data: String) -> String? {
        AnswerObject(answer: Array(#"{"data":\#(data)}"#.utf8)).flatMap { PlacementTables.text(command, $0) }
    }

    @Test func `nodes and moves are tables`() {
        let text = text(
            .placement,
            """
            {"version":7,"nodes":[
            {"name":"a","incarnation":"i1","address":"h:1","state":"live","weight":1,"slots":4000,"answered":true,"campaigns":12,"connections":3},
            {"name":"longer","incarnation":"i2","address":null,"state":"draining","weight":2,"slots":96,"answered":false,"campaigns":null,"connections":null}],
            "moves":[{"slot":1,"from":"longer","to":"a","step":"waiting"},{"slot":2,"from":"longer","to":"a","step":"waiting"},
            {"slot":3,"from":null,"to":"a","step":"unowned"}],"balance":{"max":4000,"mean":4096},"pins":[{"slot":1,"node":"a"}]}
            """)
        #expect(
            text == """
                NODE    STATE     WEIGHT  SLOTS  CAMPAIGNS  CONNECTIONS  ADDRESS  INCARNATION
                a       live           1   4000         12            3  h:1      i1
                longer  draining       2     96          -            -  -        i2

                FROM    TO  STEP     SLOTS
                longer  a   waiting      2
                nobody  a   unowned      1

                no answer from longer
                version 7, at most 4000 slots on a node, 4096 on average, 1 pinned; 3 slots are on their way
                """)
    }

    @Test func `where and why are told in lines`() {
        let text = text(
            .whereIs(campaign: Self.id),
            """
            {"campaign":"\(Self.id)","slot":17,"node":"b","incarnation":"i2","home":"a","epoch":9,"since":null,
            "why":{"rank":2,"members":3,"cap":1366,"load":1366,"pinned":false,"reason":"it is about to move to a"},
            "pin":"a","lsn":12,"snapshotLsn":10,"subscribers":{"nodes":2,"clients":7,"unanswered":[]},"active":true,"seq":4,
            "runningPoll":null}
            """)
        #expect(
            text == """
                campaign   \(Self.id)
                slot       17
                node       b (i2)
                moves to   a
                epoch      9
                why        it is about to move to a
                rank       2 of 3
                share      1366 of 1366 slots
                pinned     to a
                journal    row 12, a snapshot up to row 10
                in memory  yes
                seq        4
                poll       none runs
                followed   by 7 clients on 2 nodes
                """)
    }

    @Test func `a timeline, a plan and a comparison are tables`() {
        let timeline = text(
            .timeline(slot: 5),
            """
            {"slot":5,"changes":[{"at":"2026-01-01T00:00:00.000Z","epoch":8,"from":{"node":null,"incarnation":"i1"},
            "to":{"node":"b","incarnation":"i2"},"cause":"hand-off","pauseMs":null,"lsn":3}]}
            """)
        #expect(
            timeline == """
                AT                        EPOCH  FROM  TO  CAUSE     PAUSE MS  ROW
                2026-01-01T00:00:00.000Z      8  i1    b   hand-off  -           3
                """)
        #expect(text(.timeline(slot: 5), #"{"slot":5,"changes":[]}"#) == "slot 5 has never changed hands")
        let plan = text(
            .plan([]),
            """
            {"nodes":[{"name":"a","before":2,"after":1,"cap":1},{"name":"b","before":0,"after":1,"cap":null}],"count":1,
            "moves":[{"slot":4,"from":"a","to":"b","how":"hand-off"}]}
            """)
        #expect(
            plan == """
                NODE  SLOTS NOW  THEN  AT MOST
                a             2     1        1
                b             0     1        -

                FROM  TO  HOW       SLOTS
                a     b   hand-off      1

                1 slots would move; nothing was done
                """)
        let diff = text(
            .diff,
            """
            {"converged":false,"redis":"table","versions":{"database":3,"redis":2,"node":2},"count":1,"slots":[
            {"slot":4,"database":{"node":"a","incarnation":"i1"},"redis":null,"node":{"node":null,"incarnation":"i9"},
            "served":[{"node":"a","incarnation":"i1"},{"node":null,"incarnation":"i9"}]}],
            "nodes":[{"node":"b","incarnation":"i2","answered":false,"version":null},
            {"node":"c","incarnation":"i3","answered":true,"version":1}]}
            """)
        #expect(
            diff == """
                versions: database 3, Redis 2, this node 2
                b does not answer
                c knows version 1
                SLOT  DATABASE  REDIS  THIS NODE  SERVED BY
                   4  a         -      i9         a, i9
                1 slots differ
                """)
    }

    @Test func `an answer of another kind is none`() {
        let commands: [PlacementCommand] = [
            .placement, .whereIs(campaign: Self.id), .timeline(slot: 1), .plan([]), .diff,
            .drain(node: "a", isBack: false), .pin(campaign: Self.id, node: "a"), .unpin(campaign: Self.id),
        ]
        for command in commands {
            #expect(text(command, #"{"ok":true}"#) == nil)
        }
        #expect(AnswerObject(answer: Array("[]".utf8)) == nil && AnswerObject(answer: []) == nil)
    }
}

extension LiveClusterTests {
    @Test func `every command is answered by any node, for people and for programs`() async throws {
        // The commands block: they get a thread that nothing else needs.
        let group = LoopGroup(count: 1, name: "commands")
        let loop = group.loops[0]
        let answers = try await statuses(on: loop)
        group.shutdown()
        for (command, status) in answers {
            #expect(status == (command.last == "--fails" ? 1 : 0), "\(command)")
        }
        #expect(answers.count == 34)
    }

    private func statuses(on loop: EventLoop) async throws -> [([String], Int32)] {
        let found = Locked<[([String], Int32)]>([])
        try await LiveCluster.with(["a", "b"]) { cluster in
            let id = try await cluster.ask("a", "POST", "/v1/campaigns", #"{"name":"Everywhere"}"#).id()
            let none = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"
            for name in ["a", "b"] {
                let url = "http://\(try await cluster.address(name))"
                func run(_ command: [String]) async -> Int32 {
                    let arguments = command + ["--url", url]
                    return await Task(executorPreference: loop) {
                        await CommandLineTool.run(arguments, environment: [:])
                    }.value
                }
                // Until the nodes agree; the suite's time limit ends it where they never do.
                _ = try await placement(cluster, at: name) { isCalm($0, nodes: 2) }
                while await run(["diff"]) != 0 {}
                let commands = [
                    ["placement"], ["where", id], ["plan", "--join", "c:2"], ["plan", "--drain", "a"],
                    ["timeline", "7"], ["diff"],
                ]
                for command in commands {
                    for arguments in [command, command + ["--json"]] {
                        let status = await run(arguments)
                        found.withLock { $0.append((arguments, status)) }
                    }
                }
                guard name == "b" else { continue }
                for fault in [["where", none], ["drain", "nobody"], ["pin", none, "a"], ["pin", id, "nobody"]] {
                    let status = await run(fault)
                    found.withLock { $0.append((fault + ["--fails"], status)) }
                }
                let wishes = [
                    ["drain", "a"], ["drain", "a", "--json"], ["drain", "a", "--back"], ["pin", id, "b"],
                    ["pin", id, "a", "--json"], ["unpin", id],
                ]
                for wish in wishes {
                    let status = await run(wish)
                    found.withLock { $0.append((wish, status)) }
                }
            }
        }
        return found.withLock { $0 }
    }
}
