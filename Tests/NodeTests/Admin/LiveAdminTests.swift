// Queries about placement to live nodes: one that is alone, and three that share a database and Redis.

import Cluster
import Foundation
import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Node

/// The `data` of an answer.
func data(_ answer: LiveAnswer) throws -> [String: Any] {
    try expect(answer.status == 200, "\(answer.status): \(answer.body)")
    let document = try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any]
    guard let data = document?["data"] as? [String: Any] else { throw Unexpected(description: answer.body) }
    return data
}

/// A campaign's path in placement, from its id.
private let campaigns = "/admin/placement/campaigns/"

@Suite(.timeLimit(.minutes(2)))
struct LiveAdminTests {
    @Test func `a node alone owns everything, and says so`() async throws {
        try await withLiveNode(loops: 2) { address in
            let client = try LiveClient(address)
            let placement = try data(try client.ask("GET", "/admin/placement?owners=1"))
            let nodes = placement["nodes"] as? [[String: Any]] ?? []
            try expect(nodes.count == 1 && nodes[0]["slots"] as? Int == 4096, "\(nodes)")
            try expect(nodes[0]["state"] as? String == "live" && nodes[0]["connections"] as? Int == 1, "\(nodes)")
            try expect(placement["owners"] as? [Int] == Array(repeating: 0, count: 4096), "owners")
            try expect((placement["moves"] as? [Any])?.isEmpty == true, "moves")
            try expect((placement["balance"] as? [String: Int]) == ["max": 4096, "mean": 4096], "balance")

            let slot = try data(try client.ask("GET", "/admin/placement/slots/17"))
            try expect((slot["epoch"] as? Int ?? 0) > 1_000_000 && slot["since"] is NSNull, "\(slot)")
            let timeline = try data(try client.ask("GET", "/admin/placement/slots/17/timeline"))
            try expect((timeline["changes"] as? [Any])?.isEmpty == true, "\(timeline)")
            let diff = try data(try client.ask("GET", "/admin/placement/diff"))
            try expect(diff["converged"] as? Bool == true && diff["redis"] as? String == "unused", "\(diff)")

            let name = nodes[0]["name"] as? String ?? ""
            let plan = try data(try client.ask("GET", "/admin/placement/plan?join=other:3"))
            try expect(plan["count"] as? Int == 3072, "\(plan["count"] ?? "")")
            for query in ["leave=\(name)", "leave=other", "join=\(name)", "join=x:y", "stay=1"] {
                let refused = try client.ask("GET", "/admin/placement/plan?\(query)")
                try expect(refused.status == 400 && refused.body.contains("bad_request"), refused.body)
            }
            try expect(try client.ask("POST", "/admin/nodes/\(name)/drain").status == 409, "drained alone")
            try expect(try client.ask("POST", "/admin/nodes/other/drain").status == 404, "drained a stranger")
            let back = try data(try client.ask("DELETE", "/admin/nodes/\(name)/drain"))
            try expect(back["changed"] as? Bool == false && back["slots"] as? Int == 4096, "\(back)")
        }
    }

    @Test func `a node alone tells where a campaign is, and of none that is not there`() async throws {
        try await withLiveNode(loops: 2) { address in
            let client = try LiveClient(address)
            let id = try client.ask("POST", "/v1/campaigns", #"{"name":"The lost mine"}"#).id()
            let made = try data(try client.ask("GET", campaigns + id))
            try expect(made["active"] as? Bool == true && made["runningPoll"] is NSNull, "\(made)")
            let poll = try client.ask(
                "POST", "/v1/campaigns/\(id)/polls", #"{"question":"Which?","options":["a","b"]}"#
            ).id()
            let running = try data(try client.ask("GET", campaigns + id))
            try expect(running["runningPoll"] as? String == poll, "\(running)")
            try expect((running["lsn"] as? Int ?? 0) > (made["lsn"] as? Int ?? 0), "\(made) \(running)")
            let why = running["why"] as? [String: Any] ?? [:]
            try expect(why["rank"] as? Int == 1 && why["cap"] as? Int == 4096, "\(why)")
            try expect(why["pinned"] as? Bool == false && why["load"] as? Int == 4096, "\(why)")
            let subscribers = running["subscribers"] as? [String: Any] ?? [:]
            try expect(subscribers["clients"] as? Int == 0 && subscribers["nodes"] as? Int == 0, "\(subscribers)")
            let pin = "/admin/placement/pins/\(id)"
            try expect(try client.ask("POST", pin, #"{"node":"x"}"#).status == 409, "pinned alone")
            try expect(try data(try client.ask("DELETE", pin))["changed"] as? Bool == false, "unpinned alone")
            try expect(try client.ask("DELETE", "/v1/campaigns/\(id)").status == 204, "deleted")
            try expect(try client.ask("GET", campaigns + id).status == 404, "still there")
            let none = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"
            try expect(try client.ask("GET", campaigns + none).status == 404, "who is that")
            try expect(try client.ask("GET", "/admin/placement/slots/4096").status == 400, "no slot")
        }
    }
}

// In the suite of the cluster: its tests run one after the other, for they share one key of Redis.
extension LiveClusterTests {
    func query(_ cluster: LiveCluster, _ name: String, _ path: String) async throws -> LiveAnswer {
        try await cluster.ask(name, "GET", "/admin/placement" + path)
    }

    /// Slots by node.
    func slots(_ placement: [String: Any]) -> [String: Int] {
        let nodes = placement["nodes"] as? [[String: Any]] ?? []
        return nodes.reduce(into: [:]) { $0[$1["name"] as? String ?? "", default: 0] += $1["slots"] as? Int ?? 0 }
    }

    /// Asks until an answer is as it should be; the suite's time limit ends it where that never comes.
    func answer(
        _ cluster: LiveCluster, at name: String, to path: String, until isFine: ([String: Any]) -> Bool
    ) async throws -> [String: Any] {
        while true {
            try Task.checkCancellation()
            let answer = try data(try await query(cluster, name, path))
            if isFine(answer) { return answer }
            await Task.yield()
        }
    }

    func placement(
        _ cluster: LiveCluster, at name: String, until isFine: ([String: Any]) -> Bool
    ) async throws -> [String: Any] {
        try await answer(cluster, at: name, to: "?owners=1", until: isFine)
    }

    /// Every node answers, and nothing is on its way.
    func isCalm(_ placement: [String: Any], nodes: Int) -> Bool {
        let found = placement["nodes"] as? [[String: Any]] ?? []
        return found.count == nodes && found.allSatisfy { $0["answered"] as? Bool == true }
            && (placement["moves"] as? [Any])?.isEmpty == true
    }

    @Test func `every node says the same of placement, and what the others say of themselves`() async throws {
        try await LiveCluster.with(["a", "b", "c"]) { cluster in
            var owners: [[String]] = []
            for name in ["a", "b", "c"] {
                let placement = try await placement(cluster, at: name) { placement in
                    isCalm(placement, nodes: 3)
                        && (placement["nodes"] as? [[String: Any]] ?? []).allSatisfy { $0["leaseMs"] as? Int ?? 0 > 0 }
                }
                let nodes = placement["nodes"] as? [[String: Any]] ?? []
                #expect(slots(placement).values.reduce(0, +) == 4096, "\(slots(placement))")
                #expect(slots(placement).values.allSatisfy { $0 <= 1366 }, "\(slots(placement))")
                #expect((placement["balance"] as? [String: Double])?["max"] == 1366)
                #expect(nodes.allSatisfy { $0["state"] as? String == "live" && $0["address"] is String })
                #expect(nodes.allSatisfy { $0["answered"] as? Bool == true && $0["campaigns"] is Int }, "\(nodes)")
                #expect(nodes.allSatisfy { $0["drain"] is NSNull }, "\(nodes)")
                #expect(placement["here"] as? String == name)
                // This connection is one of them.
                let own = nodes.first { $0["name"] as? String == name }
                #expect(own?["connections"] as? Int ?? 0 >= 1, "\(nodes)")
                owners.append((placement["owners"] as? [Int] ?? []).map { nodes[$0]["name"] as? String ?? "" })
            }
            #expect(owners[0].count == 4096 && owners[0] == owners[1] && owners[1] == owners[2])
            for number in [0, 1234, 4095] {
                let report = try data(try await query(cluster, "b", "/slots/\(number)"))
                let why = report["why"] as? [String: Any] ?? [:]
                #expect(
                    report["node"] as? String == owners[0][number] && report["home"] as? String == owners[0][number])
                #expect((1...3).contains(why["rank"] as? Int ?? 0) && why["cap"] as? Int == 1366, "\(why)")
            }
        }
    }

    @Test func `a campaign is found from every node, with what its owner and its followers' nodes know`() async throws {
        try await LiveCluster.with(["a", "b", "c"]) { cluster in
            for name in ["a", "b", "c"] { _ = try await placement(cluster, at: name) { isCalm($0, nodes: 3) } }
            let id = try await cluster.ask("a", "POST", "/v1/campaigns", #"{"name":"Everywhere"}"#).id()
            let launched = try await cluster.ask(
                "b", "POST", "/v1/campaigns/\(id)/polls", #"{"question":"Which?","options":["a","b"]}"#)
            let poll = try launched.id()
            var followers: [LiveClient] = []
            for (name, count) in [("a", 2), ("c", 1)] {
                let address = try await cluster.address(name)
                for _ in 0..<count {
                    let client = try LiveClient(address)
                    try client.upgrade()
                    try client.say(#"{"op":"subscribe","id":1,"campaign":"\#(id)"}"#)
                    _ = try client.message("subscribed")
                    followers.append(client)
                }
            }
            var seqs: Set<Int> = []
            for name in ["a", "b", "c"] {
                let report = try data(try await query(cluster, name, "/campaigns/\(id)"))
                seqs.insert(try #require(report["seq"] as? Int))
                #expect(report["active"] as? Bool == true && report["runningPoll"] as? String == poll, "\(report)")
                #expect(report["answered"] as? Bool == true && report["pin"] is NSNull, "\(report)")
                let subscribers = report["subscribers"] as? [String: Any] ?? [:]
                #expect(subscribers["nodes"] as? Int == 2 && subscribers["clients"] as? Int == 3, "\(report)")
                #expect((subscribers["unanswered"] as? [Any])?.isEmpty == true, "\(report)")
                #expect(report["lsn"] as? Int == 2 && report["epoch"] is Int, "\(report)")
                #expect((report["slot"] as? Int) == CampaignID(try #require(UUIDv7(id))).slotIndex)
            }
            #expect(seqs.count == 1)
            withExtendedLifetime(followers) {}
            #expect(try await query(cluster, "b", "/campaigns/01a1fcac-f495-72d8-ae10-2c4de5f3e0ff").status == 404)
        }
    }

    @Test func `the plan of a join says what then happens, and the timelines tell of it`() async throws {
        try await LiveCluster.with(["a", "b"]) { cluster in
            _ = try await placement(cluster, at: "a") { isCalm($0, nodes: 2) }
            let plan = try data(try await query(cluster, "b", "/plan?join=c"))
            let moves = plan["moves"] as? [[String: Any]] ?? []
            let before = try data(try await query(cluster, "a", "?owners=1"))
            #expect(moves.count == plan["count"] as? Int && moves.count == 1364, "\(moves.count)")
            try await cluster.start("c")
            let after = try await placement(cluster, at: "c") { isCalm($0, nodes: 3) }
            #expect(slots(after) == ["a": 1366, "b": 1366, "c": 1364])

            var expected = owners(before)
            for move in moves {
                let slot = try #require(move["slot"] as? Int)
                #expect(expected[slot] == move["from"] as? String && move["how"] as? String == "hand-off")
                expected[slot] = try #require(move["to"] as? String)
            }
            #expect(owners(after) == expected)

            let moved = try #require(moves.first?["slot"] as? Int)
            let timeline = try data(try await query(cluster, "a", "/slots/\(moved)/timeline"))
            let change = try #require((timeline["changes"] as? [[String: Any]])?.last)
            #expect((change["to"] as? [String: Any])?["node"] as? String == "c", "\(change)")
            #expect((change["from"] as? [String: Any])?["node"] as? String == moves.first?["from"] as? String)
            #expect(change["cause"] as? String == "hand-off")
            let report = try data(try await query(cluster, "b", "/slots/\(moved)"))
            #expect(report["since"] as? String == change["at"] as? String && report["node"] as? String == "c")
            #expect(report["epoch"] as? Int == change["epoch"] as? Int)
        }
    }

    /// Of each slot the name of who has it.
    func owners(_ placement: [String: Any]) -> [String] {
        let nodes = placement["nodes"] as? [[String: Any]] ?? []
        return (placement["owners"] as? [Int] ?? []).map { nodes[$0]["name"] as? String ?? "" }
    }

    private func state(_ placement: [String: Any], _ name: String) -> String? {
        let nodes = placement["nodes"] as? [[String: Any]] ?? []
        return nodes.last { $0["name"] as? String == name }?["state"] as? String
    }

    /// Applies the moves of a plan.
    private func applied(_ plan: [String: Any], to owners: [String]) throws -> [String] {
        var owners = owners
        for move in plan["moves"] as? [[String: Any]] ?? [] {
            owners[try #require(move["slot"] as? Int)] = try #require(move["to"] as? String)
        }
        return owners
    }

    /// Asks until a node is as ready as it should be.
    private func readiness(_ cluster: LiveCluster, of name: String, is status: Int) async throws {
        while try await cluster.ask(name, "GET", "/health/ready").status != status { await Task.yield() }
    }

    @Test func `a node drains and is taken back by whomever one asks, as the plan said`() async throws {
        try await LiveCluster.with(["a", "b", "c"]) { cluster in
            let before = try await placement(cluster, at: "a") { isCalm($0, nodes: 3) }
            let drain = "/admin/nodes/b/drain"
            #expect(try await cluster.ask("a", "POST", "/admin/nodes/nobody/drain").status == 404)
            #expect(try await cluster.ask("a", "DELETE", "/admin/nodes/nobody/drain").status == 404)
            let idle = try data(try await cluster.ask("c", "DELETE", drain))
            #expect(idle["changed"] as? Bool == false && idle["drain"] is NSNull, "\(idle)")

            let plan = try data(try await query(cluster, "c", "/plan?drain=b"))
            let asked = try data(try await cluster.ask("a", "POST", drain))
            #expect(asked["changed"] as? Bool == true && asked["drain"] as? String == "asked", "\(asked)")
            #expect(asked["node"] as? String == "b" && (asked["slots"] as? Int ?? 0) > 1000, "\(asked)")
            #expect(try data(try await cluster.ask("b", "POST", drain))["changed"] as? Bool == false)
            let drained = try await placement(cluster, at: "c") { isCalm($0, nodes: 3) && state($0, "b") == "drained" }
            #expect(owners(drained) == (try applied(plan, to: owners(before))))
            #expect(slots(drained)["b"] == 0)
            try await readiness(cluster, of: "b", is: 503)
            // It stays up, and forwards.
            let id = try await cluster.ask("b", "POST", "/v1/campaigns", #"{"name":"Elsewhere"}"#).id()
            #expect(try await cluster.ask("b", "GET", "/v1/campaigns/\(id)").status == 200)
            #expect(try await cluster.ask("b", "GET", "/health").body.contains("draining"))

            let back = try data(try await query(cluster, "a", "/plan?join=b"))
            let taken = try data(try await cluster.ask("c", "DELETE", drain))
            #expect(taken["changed"] as? Bool == true && taken["drain"] is NSNull, "\(taken)")
            let after = try await placement(cluster, at: "b") { isCalm($0, nodes: 3) && state($0, "b") == "live" }
            #expect(owners(after) == (try applied(back, to: owners(drained))))
            try await readiness(cluster, of: "b", is: 200)
        }
    }

    @Test func `a node of three times the weight gets three times the slots, as the plan said`() async throws {
        try await LiveCluster.with(["a"]) { cluster in
            let alone = try await placement(cluster, at: "a") { isCalm($0, nodes: 1) }
            let plan = try data(try await query(cluster, "a", "/plan?join=b:3"))
            try await cluster.start("b", weight: 3)
            let both = try await placement(cluster, at: "b") { isCalm($0, nodes: 2) }
            #expect(slots(both) == ["a": 1024, "b": 3072])
            #expect(owners(both) == (try applied(plan, to: owners(alone))))
        }
    }

    @Test func `a drain ends with its process, and the last one that serves is not drained`() async throws {
        try await LiveCluster.with(["a", "b"]) { cluster in
            _ = try await placement(cluster, at: "a") { isCalm($0, nodes: 2) }
            #expect(try await cluster.ask("a", "POST", "/admin/nodes/b/drain").status == 200)
            _ = try await placement(cluster, at: "a") { isCalm($0, nodes: 2) && state($0, "b") == "drained" }
            let refused = try await cluster.ask("b", "POST", "/admin/nodes/a/drain")
            #expect(refused.status == 409 && refused.body.contains("conflict"), "\(refused.body)")
            try await cluster.stop("b", isHurried: true)
            try await cluster.start("b")
            let fresh = try await placement(cluster, at: "a") { isCalm($0, nodes: 2) && state($0, "b") == "live" }
            #expect(slots(fresh) == ["a": 2048, "b": 2048])

            // Where whoever serves goes, the drained one takes over: nobody else could.
            #expect(try await cluster.ask("b", "POST", "/admin/nodes/b/drain").status == 200)
            try await readiness(cluster, of: "b", is: 503)
            try await cluster.stop("a", isHurried: true)
            let alone = try await placement(cluster, at: "b") { isCalm($0, nodes: 1) }
            #expect(slots(alone) == ["b": 4096] && state(alone, "b") == "live")
            try await readiness(cluster, of: "b", is: 200)
        }
    }

    @Test func `a pinned campaign goes to its node and comes back as the plan says, and every node knows why`()
        async throws
    {
        try await LiveCluster.with(["a", "b", "c"]) { cluster in
            let calm = try await placement(cluster, at: "a") { isCalm($0, nodes: 3) }
            let id = try await cluster.ask("a", "POST", "/v1/campaigns", #"{"name":"Here, please"}"#).id()
            let path = "/admin/placement/pins/\(id)"
            let number = CampaignID(try #require(UUIDv7(id))).slotIndex
            let target = try #require(["a", "b", "c"].first { $0 != owners(calm)[number] })
            let none = "/admin/placement/pins/01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"
            #expect(try await cluster.ask("b", "POST", path, #"{"node":"nobody"}"#).status == 404)
            #expect(try await cluster.ask("b", "POST", none, #"{"node":"a"}"#).status == 404)
            #expect(try await cluster.ask("b", "POST", path, #"{"name":"a"}"#).status == 400)
            #expect(try await cluster.ask("b", "POST", path).status == 415)

            let pinned = try data(try await cluster.ask("b", "POST", path, #"{"node":"\#(target)"}"#))
            #expect(pinned["changed"] as? Bool == true && pinned["pin"] as? String == target, "\(pinned)")
            let repeated = try await cluster.ask("c", "POST", path, #"{"node":"\#(target)"}"#)
            #expect(try data(repeated)["changed"] as? Bool == false)
            let there = try await placement(cluster, at: "a") {
                isCalm($0, nodes: 3) && owners($0)[number] == target
            }
            #expect((there["pins"] as? [[String: Any]])?.map { $0["slot"] as? Int } == [number])
            #expect(slots(there).values.allSatisfy { $0 <= 1366 }, "\(slots(there))")
            for name in ["a", "b", "c"] {
                let report = try data(try await query(cluster, name, "/campaigns/\(id)"))
                let why = report["why"] as? [String: Any] ?? [:]
                #expect(report["pin"] as? String == target && report["node"] as? String == target, "\(report)")
                #expect(why["pinned"] as? Bool == true, "\(why)")
            }
            // The pin keeps its slot out of a plan, and is nothing while its node does not serve.
            let plan = try data(try await query(cluster, "a", "/plan?drain=\(target)"))
            let other = try #require(["a", "b", "c"].first { $0 != target })
            #expect(try await cluster.ask(other, "POST", "/admin/nodes/\(target)/drain").status == 200)
            let drained = try await placement(cluster, at: other) {
                isCalm($0, nodes: 3) && state($0, target) == "drained"
            }
            #expect(owners(drained) == (try applied(plan, to: owners(there))))
            #expect(try await cluster.ask(other, "DELETE", "/admin/nodes/\(target)/drain").status == 200)
            _ = try await placement(cluster, at: other) { isCalm($0, nodes: 3) && owners($0)[number] == target }

            let freed = try data(try await cluster.ask("a", "DELETE", path))
            #expect(freed["changed"] as? Bool == true && freed["pin"] is NSNull, "\(freed)")
            #expect(try data(try await cluster.ask("b", "DELETE", none))["changed"] as? Bool == false)
            let report = try data(try await query(cluster, "c", "/campaigns/\(id)"))
            #expect(report["pin"] is NSNull && report["node"] as? String == target, "\(report)")
        }
    }

    @Test func `what is on its way is told with its step`() async throws {
        try await LiveCluster.with(["a", "b"]) { cluster in
            _ = try await placement(cluster, at: "a") { isCalm($0, nodes: 2) }
            #expect(try await cluster.ask("a", "POST", "/admin/nodes/b/drain").status == 200)
            // Of 2,048 slots at most 256 are given away at a time: some are seen on their way, from the other node too.
            var steps: Set<String> = []
            _ = try await placement(cluster, at: "a") { found in
                for move in found["moves"] as? [[String: Any]] ?? [] {
                    #expect(move["from"] as? String != "a" && move["to"] as? String == "a", "\(move)")
                    steps.insert(move["step"] as? String ?? "")
                }
                return isCalm(found, nodes: 2) && state(found, "b") == "drained"
            }
            #expect(steps.isSubset(of: ["waiting", "releasing", "opening"]), "\(steps)")
        }
    }

    @Test func `a node alone on a database answers from it`() async throws {
        var configuration = NodeConfiguration()
        configuration.nodeName = "sole"
        configuration.http = TCPAddress(bytes: [127, 0, 0, 1], port: 0)
        configuration.database = try PostgresConfiguration(try await makeDatabase())
        let node = try NodeServer(configuration, log: .silent)
        try await node.start()
        let address = await node.address
        func ask(_ path: String) async throws -> [String: Any] {
            let answer = await onThread { Result { try LiveClient(address).ask("GET", "/admin/placement" + path) } }
            return try data(try answer.get())
        }
        let result: Result<([String: Any], [String: Any], [String: Any]), any Error>
        do {
            var diff = try await ask("/diff")
            // Slots without polls are opened once the node serves.
            while diff["converged"] as? Bool != true {
                try Task.checkCancellation()
                diff = try await ask("/diff")
            }
            result = .success((try await ask(""), try await ask("/slots/9"), diff))
        } catch {
            result = .failure(error)
        }
        await node.stop(isHurried: true)
        let (placement, slot, diff) = try result.get()
        #expect(slots(placement) == ["sole": 4096] && placement["version"] as? Int == 0)
        #expect(slot["incarnation"] is String && slot["epoch"] is Int && slot["node"] as? String == "sole")
        #expect(diff["redis"] as? String == "unused", "\(diff)")
        #expect((diff["versions"] as? [String: Any])?["node"] is NSNull)
    }
}

extension CampaignID {
    fileprivate var slotIndex: Int { Int(Slot(of: self).index) }
}
