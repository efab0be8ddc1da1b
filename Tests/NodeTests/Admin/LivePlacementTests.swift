// What live nodes tell of the past of a slot, and of who disagrees about one.

import Foundation
import Protocol
import Testing

@testable import Node

// In the suite of the cluster: its tests run one after the other, for they share one key of Redis.
extension LiveClusterTests {
    // MARK: - Changes of hands

    @Test func `slots of a node that is gone are unowned until they are claimed, and the timeline says so`()
        async throws
    {
        try await LiveCluster.with(["a", "b"]) { cluster in
            let before = try await placement(cluster, at: "b") { isCalm($0, nodes: 2) }
            let nodes = before["nodes"] as? [[String: Any]] ?? []
            let place = try #require(nodes.firstIndex { $0["name"] as? String == "a" })
            let slot = try #require((before["owners"] as? [Int])?.firstIndex(of: place))
            let plan = try data(try await query(cluster, "b", "/plan?leave=a"))
            #expect(plan["count"] as? Int == 2048)
            #expect((plan["moves"] as? [[String: Any]])?.allSatisfy { $0["how"] as? String == "claim" } == true)
            try await cluster.stop("a", isHurried: true)
            let after = try await placement(cluster, at: "b") { isCalm($0, nodes: 1) }
            #expect(slots(after) == ["b": 4096])
            let timeline = try data(try await query(cluster, "b", "/slots/\(slot)/timeline"))
            let change = try #require((timeline["changes"] as? [[String: Any]])?.last)
            #expect(change["cause"] as? String == "crash" && change["lsn"] as? Int == 0, "\(change)")
            // The database remembers names of the dead.
            #expect((change["from"] as? [String: Any])?["node"] as? String == "a")
            #expect((change["to"] as? [String: Any])?["node"] as? String == "b")
            let paused = try await changes(cluster, of: slot) { $0.last?["pauseMs"] is Double }
            #expect(paused.first?["cause"] as? String == "claim", "\(paused)")
        }
    }

    /// Asks for a timeline until it is as it should be.
    private func changes(
        _ cluster: LiveCluster, of slot: Int, until isFine: ([[String: Any]]) -> Bool
    ) async throws -> [[String: Any]] {
        func changes(_ timeline: [String: Any]) -> [[String: Any]] { timeline["changes"] as? [[String: Any]] ?? [] }
        return changes(
            try await answer(cluster, at: "b", to: "/slots/\(slot)/timeline") { isFine(changes($0)) })
    }

    @Test func `every owned slot tells since when, and its first claim, its hand-offs and their pauses are told`()
        async throws
    {
        try await LiveCluster.with(["a"]) { cluster in
            let alone = try await placement(cluster, at: "a") { isCalm($0, nodes: 1) }
            for slot in [0, 77, 4095] {
                let timeline = try data(try await query(cluster, "a", "/slots/\(slot)/timeline"))
                let changes = try #require(timeline["changes"] as? [[String: Any]])
                #expect(changes.count == 1 && changes[0]["cause"] as? String == "claim", "\(changes)")
                #expect(changes[0]["from"] is NSNull && changes[0]["pauseMs"] is NSNull, "\(changes)")
                #expect((changes[0]["to"] as? [String: Any])?["node"] as? String == "a", "\(changes)")
                let report = try data(try await query(cluster, "a", "/slots/\(slot)"))
                #expect(report["since"] as? String == changes[0]["at"] as? String, "\(report)")
            }
            try await cluster.start("b")
            let both = try await placement(cluster, at: "b") { isCalm($0, nodes: 2) }
            let moved = try #require((0..<4096).first { owners(both)[$0] != owners(alone)[$0] })
            let joined = try await changes(cluster, of: moved) { $0.last?["pauseMs"] is Double }
            #expect(joined.map { $0["cause"] as? String } == ["claim", "hand-off"], "\(joined)")
            try await cluster.stop("a", isHurried: false)
            let after = try await placement(cluster, at: "b") { isCalm($0, nodes: 1) }
            #expect(slots(after) == ["b": 4096])
            let given = try #require((0..<4096).first { owners(both)[$0] == "a" })
            let left = try await changes(cluster, of: given) { $0.last?["pauseMs"] is Double }
            #expect(left.map { $0["cause"] as? String } == ["claim", "hand-off"], "\(left)")
            let report = try data(try await query(cluster, "b", "/slots/\(given)"))
            #expect(report["since"] as? String == left.last?["at"] as? String && report["since"] is String)
        }
    }

    // MARK: - Differences

    @Test func `what everybody says of placement converges, and a lost table is noticed`() async throws {
        try await LiveCluster.with(["a", "b", "c"]) { cluster in
            _ = try await placement(cluster, at: "a") { isCalm($0, nodes: 3) }
            for name in ["a", "b", "c"] {
                var diff: [String: Any] = [:]
                repeat {
                    diff = try data(try await query(cluster, name, "/diff"))
                } while diff["converged"] as? Bool != true
                #expect(diff["count"] as? Int == 0 && (diff["slots"] as? [Any])?.isEmpty == true)
                #expect((diff["nodes"] as? [Any])?.isEmpty == true, "\(diff)")
                #expect((diff["versions"] as? [String: Int])?["redis"] ?? 0 > 0, "\(diff)")
            }
            // A node that looks between the two writes the table again.
            var diff: [String: Any] = [:]
            while diff["redis"] as? String != "empty" {
                try Task.checkCancellation()
                try await cluster.forgetPlacement()
                diff = try data(try await query(cluster, "b", "/diff"))
            }
            #expect(diff["converged"] as? Bool == false, "\(diff)")
        }
    }

    /// Asks for the differences until they are as they should be.
    private func diff(
        _ cluster: LiveCluster, at name: String, until isFine: ([String: Any]) -> Bool
    ) async throws -> [String: Any] {
        try await answer(cluster, at: name, to: "/diff", until: isFine)
    }

    @Test func `a slot is listed that the database gives to a node which does not serve it, and a node that is silent`()
        async throws
    {
        try await LiveCluster.with(["a", "b", "c"]) { cluster in
            let calm = try await placement(cluster, at: "a") { isCalm($0, nodes: 3) }
            let slot = try #require((0..<4096).first { owners(calm)[$0] == "a" })
            for name in ["a", "b", "c"] {
                _ = try await diff(cluster, at: name) { $0["converged"] as? Bool == true }
            }
            // A node that nobody can reach, and that takes nothing.
            try await runSQL(
                cluster.url,
                """
                INSERT INTO node_lease(incarnation, name, address, weight, started, expires, draining)
                VALUES(gen_random_uuid(), 'ghost', '127.0.0.1:1', 1, clock_timestamp(),
                    clock_timestamp() + interval '1 hour', true)
                """)
            for name in ["a", "b", "c"] {
                let haunted = try await diff(cluster, at: name) {
                    ($0["nodes"] as? [[String: Any]])?.map { $0["node"] as? String } == ["ghost"]
                }
                let silent = try #require((haunted["nodes"] as? [[String: Any]])?.first)
                #expect(silent["node"] as? String == "ghost" && silent["answered"] as? Bool == false, "\(haunted)")
                #expect(silent["version"] is NSNull && haunted["converged"] as? Bool == false, "\(haunted)")
                #expect(haunted["count"] as? Int == 0, "\(haunted)")
            }
            // Behind the nodes' backs; no epoch changes, so that its owner goes on, and the pins' count makes all look again.
            func give(_ name: String) async throws {
                try await runSQL(
                    cluster.url,
                    "UPDATE slot_lease SET owner = (SELECT incarnation FROM node_lease WHERE name = '\(name)') "
                        + "WHERE slot = \(slot)")
                try await runSQL(cluster.url, "UPDATE placement SET pins = pins + 1")
            }
            try await give("ghost")
            for name in ["a", "b", "c"] {
                let diff = try data(try await query(cluster, name, "/diff"))
                let entries = try #require(diff["slots"] as? [[String: Any]])
                #expect(diff["converged"] as? Bool == false && diff["count"] as? Int == 1, "\(diff)")
                #expect(entries.count == 1 && entries[0]["slot"] as? Int == slot, "\(diff)")
                #expect((entries[0]["database"] as? [String: Any])?["node"] as? String == "ghost", "\(diff)")
                #expect((entries[0]["served"] as? [[String: Any]])?.map { $0["node"] as? String } == ["a"], "\(diff)")
            }
            try await give("a")
            try await runSQL(cluster.url, "UPDATE node_lease SET dead = true WHERE name = 'ghost'")
            for name in ["a", "b"] { _ = try await diff(cluster, at: name) { $0["converged"] as? Bool == true } }
            _ = try await diff(cluster, at: "c") { $0["converged"] as? Bool == true }
        }
    }
}
