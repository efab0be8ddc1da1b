// Several nodes in one process, on one PostgreSQL, with real links between them: clients speak to any of them.

import Cluster
import Foundation
import Platform
import Postgres
import Protocol
import Redis
import TestSupport
import Testing

@testable import Node

/// Nodes that share a database.
final class LiveCluster: Sendable {
    let url: String
    private let nodes = Locked<[String: NodeServer]>([:])
    /// Lines of the nodes' logs about links that opened.
    let opened = Locked<[String]>([])
    /// Lines about requests and commands that were answered.
    let answered = Locked<[String]>([])

    private init(url: String) { self.url = url }

    /// What nodes are told of their cluster.
    private func configuration() throws -> ClusterConfiguration {
        ClusterConfiguration(
            listen: TCPAddress(bytes: [127, 0, 0, 1], port: try freePort()),
            redis: try RedisConfiguration(try #require(redisURL)),
            secret: Array("a secret of the tests, which is long".utf8),
            // The Redis is shared with other clusters.
            name: url.split(separator: "/").last.map(String.init))
    }

    /// Runs `body` against nodes of these names; whoever is left stops when it ends.
    static func with(_ names: [String], _ body: (LiveCluster) async throws -> Void) async throws {
        let cluster = LiveCluster(url: try await makeDatabase())
        let result: Result<Void, any Error>
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for name in names { group.addTask { try await cluster.start(name) } }
                try await group.waitForAll()
            }
            result = .success(try await body(cluster))
        } catch {
            result = .failure(error)
        }
        for node in cluster.nodes.withLock({ Array($0.values) }) { await node.stop(isHurried: true) }
        try result.get()
    }

    /// Starts a node, and waits until it serves its share.
    func start(_ name: String, weight: Double = 1, speaking versions: LinkVersions = .current) async throws {
        var configuration = NodeConfiguration()
        configuration.nodeName = name
        configuration.http = TCPAddress(bytes: [127, 0, 0, 1], port: 0)
        configuration.database = try PostgresConfiguration(url)
        configuration.cluster = try self.configuration()
        configuration.cluster?.weight = weight
        configuration.loopCount = 2
        var surroundings = NodeSurroundings()
        surroundings.linkVersions = versions
        let log = Log(level: .debug, format: .text, clock: SystemClock()) { [weak self] line in
            let text = String(decoding: line, as: UTF8.self)
            if text.contains("link.open") { self?.opened.withLock { $0.append("\(name): \(text)") } }
            if text.contains("answered ") { self?.answered.withLock { $0.append("\(name): \(text)") } }
        }
        let node = try NodeServer(configuration, surroundings, log: log)
        nodes.withLock { $0[name] = node }
        try await node.start()
    }

    func stop(_ name: String, isHurried: Bool) async throws {
        let node = try #require(nodes.withLock { $0.removeValue(forKey: name) })
        await node.stop(isHurried: isHurried)
    }

    func address(_ name: String) async throws -> TCPAddress {
        try #require(await nodes.withLock { $0[name] }?.address)
    }

    /// A client that follows the campaign of this path, once it is answered.
    func follow(_ name: String, _ path: String) async throws -> LiveFollower {
        let address = try await address(name)
        return try await onThread {
            Result {
                let client = try LiveClient(address)
                try client.upgrade()
                try client.say(#"{"op":"subscribe","id":1,"campaign":"\#(path.suffix(36))"}"#)
                _ = try client.message("subscribed")
                return LiveFollower(client: client)
            }
        }.get()
    }

    /// Who follows the campaign of this path, as each node has it.
    func subscribers(_ path: String) -> [String: SubscriberBoard.Count] {
        guard let campaign = UUIDv7(String(path.suffix(36))).map({ CampaignID($0) }) else { return [:] }
        return nodes.withLock { $0.mapValues { $0.subscribers.count(of: campaign) } }
    }

    /// One request to one node.
    func ask(_ name: String, _ method: String, _ path: String, _ body: String? = nil) async throws -> LiveAnswer {
        let address = try await address(name)
        return try await onThread { Result { try LiveClient(address).ask(method, path, body) } }.get()
    }
}

/// A connection that is kept open.
///
/// `@unchecked Sendable`: nobody uses the client any more.
struct LiveFollower: @unchecked Sendable {
    let client: LiveClient
}

extension LiveCluster {
    /// Keeps the nodes from looking into slots that they have taken, until it is unlocked.
    func lockSlots() async throws -> LockedTable { try await LockedTable("removed_campaign", of: url) }

    /// Removes this cluster's placement table from Redis.
    func forgetPlacement() async throws {
        let settings = try configuration()
        let group = LoopGroup(count: 1, name: "redis")
        let redis = RedisConnection(settings.redis, on: group.loops[0])
        await redis.start()
        let deadline = MonotonicTime(nanoseconds: MonotonicTime.now.nanoseconds + 10_000_000_000)
        let result: Result<RedisValue, any Error>
        do {
            result = .success(
                try await redis.command("DEL", [RedisArgument(settings.placementKey)], deadline: deadline))
        } catch {
            result = .failure(error)
        }
        await redis.close()
        group.shutdown()
        _ = try result.get()
    }
}

let redisURL = ProcessInfo.processInfo.environment["TUMULTE_TEST_REDIS"]

extension Trait where Self == ConditionTrait {
    static var needsRedis: Self { .enabled(if: redisURL != nil, "TUMULTE_TEST_REDIS names no server") }
}

@Suite(.needsServer, .needsRedis, .serialized, .timeLimit(.minutes(3)))
struct LiveClusterTests {
    private static let names = ["a", "b", "c"]

    /// A campaign with a running poll, made at one node; their paths.
    private func launch(_ cluster: LiveCluster, at name: String) async throws -> (campaign: String, poll: String) {
        let created = try await cluster.ask(name, "POST", "/v1/campaigns", #"{"name":"Everywhere"}"#)
        #expect(created.status == 201, "\(created.body)")
        let campaign = "/v1/campaigns/\(try created.id())"
        let launched = try await cluster.ask(
            name, "POST", "\(campaign)/polls",
            #"{"question":"Which?","options":["a","b"],"durationSeconds":600,"type":"UNIQUE"}"#)
        #expect(launched.status == 201, "\(launched.body)")
        return (campaign, "\(campaign)/polls/\(try launched.id())")
    }

    @Test func `campaigns are made, voted in, read and ended at any node`() async throws {
        try await LiveCluster.with(Self.names) { cluster in
            for first in Self.names {
                let (campaign, poll) = try await launch(cluster, at: first)
                for (number, name) in (Self.names + Self.names).enumerated() {
                    let vote = try await cluster.ask(
                        name, "POST", "\(poll)/votes", #"{"option":\#(number % 2),"voter":"viewer-\#(number)"}"#)
                    #expect(vote.status == 200 && vote.body.contains("counted"), "\(vote.body)")
                }
                for name in Self.names {
                    let read = try await cluster.ask(name, "GET", poll)
                    #expect(read.body.contains(#""votes":[3,3]"#), "\(read.body)")
                    let repeated = try await cluster.ask(
                        name, "POST", "\(poll)/votes", #"{"option":0,"voter":"viewer-0"}"#)
                    #expect(repeated.body.contains("same"), "\(repeated.body)")
                }
                let batch = try await cluster.ask(
                    Self.names.last ?? first, "POST", "\(poll)/votes",
                    #"{"votes":[{"option":0,"voter":"x"},{"option":9,"voter":"y"},{"option":1,"voter":"z"}]}"#)
                #expect(batch.body.contains("invalid_option"), "\(batch.body)")
                let cancelled = try await cluster.ask("c", "POST", "\(poll)/cancel", "{}")
                #expect(cancelled.status == 200, "\(cancelled.body)")
                let late = try await cluster.ask("b", "POST", "\(poll)/votes", #"{"option":0,"voter":"late"}"#)
                #expect(late.body.contains("poll_closed"), "\(late.body)")
                #expect(try await cluster.ask("a", "GET", campaign).status == 200)
                #expect(try await cluster.ask("a", "DELETE", campaign).status < 300)
                #expect(try await cluster.ask("b", "GET", campaign).status == 404)
            }
        }
    }

    @Test func `metrics tell who serves how many slots, and that the node may serve`() async throws {
        try await LiveCluster.with(Self.names) { cluster in
            var metrics: [[String: Double]] = []
            // Each node hears of the others' slots, and of the newest table, in rounds of its own.
            var isSettled = false
            repeat {
                metrics = []
                for name in Self.names {
                    metrics.append(samples(of: try await cluster.ask(name, "GET", "/metrics").body))
                }
                let versions = Set(metrics.map { $0["tumulte_placement_version"] ?? 0 })
                isSettled = versions.count == 1 && !versions.contains(0)
            } while !isSettled
                || metrics.contains {
                    $0[#"tumulte_slots{served="nowhere"}"#] != 0 || $0["tumulte_peers_reached"] != 2
                        || $0["tumulte_lease_seconds"] == 0
                }
            var here = 0.0
            for metrics in metrics {
                let mine = try #require(metrics[#"tumulte_slots{served="here"}"#])
                here += mine
                #expect(metrics[#"tumulte_slots{served="elsewhere"}"#] == Double(Slot.count) - mine)
                let lease = try #require(metrics["tumulte_lease_seconds"])
                #expect(lease <= 3)
            }
            #expect(here == Double(Slot.count))
        }
    }

    /// The values of metrics by name and labels.
    private func samples(of text: String) -> [String: Double] {
        var samples: [String: Double] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: " ")
            if parts.count == 2 { samples[String(parts[0])] = Double(parts[1]) }
        }
        return samples
    }

    @Test func `of launches at once over three nodes exactly one succeeds, and a voter counts once`() async throws {
        try await LiveCluster.with(Self.names) { cluster in
            let created = try await cluster.ask("a", "POST", "/v1/campaigns", #"{"name":"Everywhere"}"#)
            let campaign = "/v1/campaigns/\(try created.id())"
            let launches = try await withThrowingTaskGroup(of: LiveAnswer.self) { group in
                for number in 0..<18 {
                    group.addTask {
                        try await cluster.ask(
                            Self.names[number % 3], "POST", "\(campaign)/polls",
                            #"{"question":"Which?","options":["a","b"],"type":"UNIQUE"}"#)
                    }
                }
                return try await group.reduce(into: [LiveAnswer]()) { $0.append($1) }
            }
            #expect(launches.count { $0.status == 201 } == 1)
            #expect(launches.count { $0.status == 409 } == 17)
            let poll = "\(campaign)/polls/\(try #require(launches.first { $0.status == 201 }).id())"
            let votes = try await withThrowingTaskGroup(of: LiveAnswer.self) { group in
                for number in 0..<60 {
                    group.addTask {
                        try await cluster.ask(
                            Self.names[number % 3], "POST", "\(poll)/votes", #"{"option":1,"voter":"the one"}"#)
                    }
                }
                return try await group.reduce(into: [LiveAnswer]()) { $0.append($1) }
            }
            #expect(votes.count { $0.body.contains("counted") } == 1)
            #expect(votes.count { $0.body.contains("same") } == 59)
        }
    }

    @Test func `slots move to a node that joins, and away from one that leaves, with every vote`() async throws {
        try await LiveCluster.with(["a", "b"]) { cluster in
            var polls: [String] = []
            for number in 0..<12 { polls.append(try await launch(cluster, at: number % 2 == 0 ? "a" : "b").poll) }
            func vote(_ voter: String, at name: String) async throws {
                for poll in polls {
                    let answer = try await cluster.ask(
                        name, "POST", "\(poll)/votes", #"{"option":0,"voter":"\#(voter)"}"#)
                    #expect(answer.status == 200, "\(answer.body)")
                }
            }
            func count(_ votes: Int, at name: String) async throws {
                for poll in polls {
                    let read = try await cluster.ask(name, "GET", poll)
                    #expect(read.body.contains(#""votes":[\#(votes),0]"#), "\(read.body)")
                }
            }
            try await vote("before", at: "a")
            try await cluster.start("c")
            try await vote("with three", at: "c")
            try await count(2, at: "b")
            try await cluster.stop("a", isHurried: false)
            try await vote("without the first", at: "c")
            try await count(3, at: "b")
        }
    }

    @Test func `a node that is still reading its slots hears of the others`() async throws {
        try await LiveCluster.with(["a"]) { cluster in
            let (_, poll) = try await launch(cluster, at: "a")
            _ = try await cluster.ask("a", "POST", "\(poll)/votes", #"{"option":1,"voter":"ann"}"#)
            try await cluster.stop("a", isHurried: true)
            let table = try await cluster.lockSlots()
            try await withThrowingTaskGroup(of: Void.self) { group in
                let result: Result<Void, any Error>
                do {
                    group.addTask { try await cluster.start("b") }
                    while try await table.waiting() == 0 {}
                    group.addTask { try await cluster.start("c") }
                    func isMet() -> Bool {
                        cluster.opened.withLock { $0.contains { $0.hasPrefix("b: ") && $0.contains("peer=\"c\" ") } }
                    }
                    while !isMet() {
                        _ = try await table.waiting()
                    }
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                await table.unlock()
                try result.get()
                try await group.waitForAll()
            }
            let read = try await cluster.ask("c", "GET", poll)
            #expect(read.body.contains(#""votes":[0,1]"#), "\(read.body)")
        }
    }

    @Test func `releases that speak other versions serve beside each other during an update`() async throws {
        let old = LinkVersions(protocols: 1...1, slotFunction: LinkVersions.current.slotFunction)
        let new = LinkVersions(protocols: 1...2, slotFunction: LinkVersions.current.slotFunction)
        try await LiveCluster.with([]) { cluster in
            try await cluster.start("a", speaking: old)
            try await cluster.start("b", speaking: old)
            var polls: [String] = []
            for number in 0..<12 { polls.append(try await launch(cluster, at: number % 2 == 0 ? "a" : "b").poll) }
            var votes = 0
            func vote(at names: String...) async throws {
                for name in names {
                    votes += 1
                    for poll in polls {
                        let answer = try await cluster.ask(
                            name, "POST", "\(poll)/votes", #"{"option":0,"voter":"voter-\#(votes)"}"#)
                        #expect(answer.status == 200, "\(answer.body)")
                    }
                }
                for name in names {
                    for poll in polls {
                        let read = try await cluster.ask(name, "GET", poll)
                        #expect(read.body.contains(#""votes":[\#(votes),0]"#), "\(read.body)")
                    }
                }
            }
            try await vote(at: "a", "b")
            try await cluster.start("c", speaking: new)
            try await vote(at: "a", "b", "c")
            try await cluster.stop("a", isHurried: false)
            try await vote(at: "b", "c")
            try await cluster.start("d", speaking: new)
            try await vote(at: "b", "c", "d")
            try await cluster.stop("b", isHurried: false)
            try await vote(at: "c", "d")
            // Each pair spoke the highest version that both know.
            let opened = cluster.opened.withLock { $0 }
            for (from, to, version) in [("a", "b", 1), ("a", "c", 1), ("c", "b", 1), ("c", "d", 2), ("d", "c", 2)] {
                let lines = opened.filter { $0.hasPrefix("\(from): ") && $0.contains("peer=\"\(to)\" ") }
                #expect(!lines.isEmpty, "\(from) has no link to \(to): \(opened)")
                #expect(lines.allSatisfy { $0.contains("protocol=\(version) ") }, "\(lines)")
            }
        }
    }

    @Test func `the owner of a campaign knows how many nodes and clients follow it, wherever it goes`() async throws {
        try await LiveCluster.with(Self.names) { cluster in
            let path = try await launch(cluster, at: "a").campaign
            /// Asks until some node, the owner, counts so.
            func counted(_ nodes: Int, _ clients: Int) async throws -> String {
                while true {
                    try Task.checkCancellation()
                    let counts = cluster.subscribers(path)
                    let expected = SubscriberBoard.Count(nodes: nodes, clients: clients)
                    if let owner = counts.first(where: { $0.value == expected })?.key { return owner }
                    _ = try await cluster.ask("b", "GET", path)
                }
            }
            var clients: [String: [LiveFollower]] = [:]
            for (name, count) in ["a": 2, "b": 3, "c": 4] {
                for _ in 0..<count { clients[name, default: []].append(try await cluster.follow(name, path)) }
            }
            let owner = try await counted(3, 9)
            let other = owner == "b" ? "c" : "b"
            clients[other]?.removeLast()
            _ = try await counted(3, 8)
            clients[other] = nil
            _ = try await counted(2, owner == "b" ? 5 : 6)
            // The owner leaves, and its clients with it; whoever takes over is told anew.
            if owner != "b" { clients["b"] = [try await cluster.follow("b", path)] }
            clients[owner] = nil
            try await cluster.stop(owner, isHurried: false)
            let left = clients.filter { !$0.value.isEmpty }
            _ = try await counted(left.count, left.values.reduce(0) { $0 + $1.count })
        }
    }
}
