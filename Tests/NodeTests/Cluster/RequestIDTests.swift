// The id of an HTTP request, from the node that was asked to the one that serves the campaign, as their logs tell.

import Foundation
import Platform
import TestSupport
import Testing

@testable import Node

extension LiveCluster {
    /// One request to one node, with an id where one is given; the answer and its id.
    fileprivate func ask(
        _ name: String, _ method: String, _ path: String, _ body: String?, id: String?
    ) async throws -> (answer: LiveAnswer, id: String) {
        let address = try await address(name)
        let answer = try await onThread {
            Result {
                let client = try LiveClient(address)
                try client.send(client.request(method, path, body, more: id.map { "X-Request-ID: \($0)\r\n" } ?? ""))
                return try client.answer()
            }
        }.get()
        let line = answer.head.split(separator: "\r\n").first { $0.hasPrefix("X-Request-ID: ") }
        return (answer, String(try #require(line).dropFirst("X-Request-ID: ".count)))
    }

    /// A vote by WebSocket under a mark, answered.
    fileprivate func vote(_ name: String, campaign: String, poll: String, mark: String) async throws {
        let address = try await address(name)
        try await onThread {
            Result {
                let client = try LiveClient(address)
                try client.upgrade()
                try client.say(
                    #"{"op":"vote","id":"\#(mark)","campaign":"\#(campaign.suffix(36))","poll":"\#(poll.suffix(36))","#
                        + #""option":0,"voter":"\#(mark)"}"#)
                _ = try client.message("ack", mark)
            }
        }.get()
    }

    /// Lines of an event under this id: `NODE: LINE`. They are written before the answer leaves.
    fileprivate func lines(_ event: String, _ id: String) -> [String] {
        answered.withLock { $0.filter { $0.contains(" \(event) ") && $0.contains("request_id=\"\(id)\" ") } }
    }

    /// The owner's lines under two ids, one for each node that was asked alike: one of them is the owner itself, so
    /// there is one line, and it is the other's.
    fileprivate func expectOneForwarded(
        _ ids: [(node: String, id: String)], _ parts: String..., location: SourceLocation = #_sourceLocation
    ) {
        let found = ids.flatMap { asked in lines("command.answered", asked.id).map { (asked.node, $0) } }
        #expect(found.count == 1, "\(ids) \(answered.withLock { $0 })", sourceLocation: location)
        for (node, line) in found {
            #expect(!line.hasPrefix("\(node): ") && line.contains("node=\"\(node)\" "), sourceLocation: location)
            for part in parts { #expect(line.contains(part), "\(line)", sourceLocation: location) }
        }
    }
}

extension LiveClusterTests {
    private static let pair = ["a", "b"]

    /// Waits until no slot moves: a request then has the same owner as the one after it.
    private func calm(_ cluster: LiveCluster) async throws {
        for name in Self.pair { _ = try await placement(cluster, at: name) { isCalm($0, nodes: 2) } }
    }

    /// Asks each node the same, once with an id of ours and once with one that it makes.
    private func askBoth(
        _ cluster: LiveCluster, _ method: String, _ path: String, _ body: String?, status: Int = 200, mark: String
    ) async throws -> (given: [(node: String, id: String)], made: [(node: String, id: String)]) {
        var (given, made): ([(node: String, id: String)], [(node: String, id: String)]) = ([], [])
        for name in Self.pair {
            let own = try await cluster.ask(name, method, path, body, id: "\(mark)-\(name)")
            let other = try await cluster.ask(name, method, path, body, id: nil)
            #expect(own.answer.status == status && other.answer.status == status, "\(own.answer) \(other.answer)")
            #expect(own.id == "\(mark)-\(name)")
            for asked in [own, other] {
                let lines = cluster.lines("http.answered", asked.id)
                #expect(lines.count == 1)
                #expect(lines.allSatisfy { $0.hasPrefix("\(name): ") && $0.contains("method=\"\(method)\" ") })
                #expect(lines.allSatisfy { $0.contains("status=\(status)\n") })
            }
            given.append((name, own.id))
            made.append((name, other.id))
        }
        return (given, made)
    }

    @Test func `a request that another node's owner answers is in the logs of both under its id`() async throws {
        try await LiveCluster.with(Self.pair) { cluster in
            try await calm(cluster)
            let created = try await cluster.ask("a", "POST", "/v1/campaigns", #"{"name":"Quest"}"#)
            let campaign = "/v1/campaigns/\(try created.id())"
            let launch = #"{"question":"Which?","options":["a","b"],"durationSeconds":600}"#
            let poll = "\(campaign)/polls/\(try await cluster.ask("a", "POST", "\(campaign)/polls", launch).id())"

            let votes = try await askBoth(
                cluster, "POST", "\(poll)/votes", #"{"option":0,"voter":"viewer"}"#, mark: "vote")
            for asked in [votes.given, votes.made] {
                cluster.expectOneForwarded(asked, "command=\"vote\" commands=1 ", "status=200\n")
            }
            let batch = try await askBoth(
                cluster, "POST", "\(poll)/votes",
                #"{"votes":[{"option":0},{"option":1},{"option":9}]}"#, mark: "batch")
            for asked in [batch.given, batch.made] {
                cluster.expectOneForwarded(asked, "command=\"vote\" commands=3 ", "status=400\n")
            }
            let refused = try await askBoth(cluster, "POST", "\(campaign)/polls", launch, status: 409, mark: "launch")
            cluster.expectOneForwarded(refused.given, "command=\"launch\"", "status=409\n")
            let read = try await askBoth(cluster, "GET", "\(poll)?token=hunter2", nil, mark: "read")
            cluster.expectOneForwarded(read.made, "command=\"read_poll\"", "status=200\n")
            let verified = try await askBoth(
                cluster, "POST", "/admin/campaigns/\(campaign.suffix(36))/verify", "{}", mark: "verify")
            cluster.expectOneForwarded(verified.given, "command=\"verify\"", "status=200\n")

            try await expectForwardedCreation(cluster)
            for name in Self.pair { try await cluster.vote(name, campaign: campaign, poll: poll, mark: "ws-\(name)") }
            let all = cluster.answered.withLock { $0 }
            // Neither the marks of WebSocket messages nor anything of bodies, paths and queries.
            for word in ["ws-", "viewer", "hunter2", String(campaign.suffix(36)), "Which?"] {
                #expect(!all.contains { $0.contains(word) }, "\(word)")
            }
        }
    }

    /// The slot of a creation is drawn at random: half of them are the other node's.
    private func expectForwardedCreation(_ cluster: LiveCluster) async throws {
        for number in 0..<64 {
            let made = try await cluster.ask(
                "a", "POST", "/v1/campaigns", #"{"name":"Quest"}"#, id: "creation-\(number)")
            #expect(made.answer.status == 201)
            guard let line = cluster.lines("command.answered", made.id).first else { continue }
            #expect(line.hasPrefix("b: ") && line.contains("node=\"a\" command=\"create\" "))
            #expect(line.contains("status=201\n"))
            return
        }
        Issue.record("no campaign was created at the other node")
    }
}
