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
    }

    @Test(arguments: [
        ["placement", "now"], ["where"], ["where", "x"], ["where", id, id], ["timeline"], ["timeline", "4096"],
        ["timeline", "1", "2"], ["plan", "c"], ["plan", "--join"], ["plan", "--stay", "a"], ["diff", "--fast"],
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
            {"name":"a","incarnation":"i1","address":"h:1","state":"live","weight":1,"slots":4000,"campaigns":12,"connections":3},
            {"name":"longer","incarnation":"i2","address":null,"state":"draining","weight":2,"slots":96}],
            "moves":[{"slot":1,"from":"longer","to":"a","step":"waiting"},{"slot":2,"from":"longer","to":"a","step":"waiting"},
            {"slot":3,"from":null,"to":"a","step":"unowned"}],"balance":{"max":4000,"mean":4096}}
            """)
        #expect(
            text == """
                NODE    STATE     WEIGHT  SLOTS  CAMPAIGNS  CONNECTIONS  ADDRESS  INCARNATION
                a       live           1   4000         12            3  h:1      i1
                longer  draining       2     96          -            -  -        i2

                FROM    TO  STEP     SLOTS
                longer  a   waiting      2
                nobody  a   unowned      1

                version 7, at most 4000 slots on a node, 4096 on average; 3 slots are on their way
                """)
    }

    @Test func `where and why are told in lines`() {
        let text = text(
            .whereIs(campaign: Self.id),
            """
            {"campaign":"\(Self.id)","slot":17,"node":"b","incarnation":"i2","home":"a","epoch":9,"since":null,
            "why":{"rank":2,"members":3,"cap":1366,"load":1366,"pinned":false,"reason":"it is about to move to a"},
            "lsn":12,"snapshotLsn":10,"active":true,"seq":4,"runningPoll":null}
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
                pinned     no
                journal    row 12, a snapshot up to row 10
                in memory  yes
                seq        4
                poll       none runs
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
            {"slot":4,"database":{"node":"a","incarnation":"i1"},"redis":null,"node":{"node":null,"incarnation":"i9"}}]}
            """)
        #expect(
            diff == """
                versions: database 3, Redis 2, this node 2
                SLOT  DATABASE  REDIS  THIS NODE
                   4  a         -      i9
                1 slots differ
                """)
    }

    @Test func `an answer of another kind is none`() {
        for command in [.placement, .whereIs(campaign: Self.id), .timeline(slot: 1), .plan([]), .diff]
            as [PlacementCommand]
        {
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
        for (command, status) in answers { #expect(status == (command.first == "where!" ? 1 : 0), "\(command)") }
        #expect(answers.count == 25)
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
                let status = await run(["where", none])
                found.withLock { $0.append((["where!", none], status)) }
            }
        }
        return found.withLock { $0 }
    }
}
