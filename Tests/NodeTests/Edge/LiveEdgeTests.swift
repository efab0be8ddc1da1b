// An edge over live sockets, with the whole node behind it.

import Platform
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5)))
struct LiveEdgeTests {
    private static let campaign = #"{"name":"The lost mine"}"#

    /// A campaign with a running poll: their ids.
    private static func launch(_ client: LiveClient) throws -> (campaign: String, poll: String) {
        let made = try client.ask("POST", "/v1/campaigns", campaign)
        try expect(made.status == 201, made.body)
        let poll = try client.ask(
            "POST", "/v1/campaigns/\(made.id())/polls",
            #"{"question":"Left?","options":["yes","no"],"type":"UNIQUE","durationSeconds":1800}"#)
        try expect(poll.status == 201, poll.body)
        return (try made.id(), try poll.id())
    }

    private static func vote(_ poll: (campaign: String, poll: String), id: Int, voter: String) -> String {
        #"{"op":"vote","id":\#(id),"campaign":"\#(poll.campaign)","poll":"\#(poll.poll)","option":1,"voter":"\#(voter)"}"#
    }

    /// The value of a metric.
    private static func metric(_ name: String, _ client: LiveClient) throws -> String? {
        let text = try client.ask("GET", "/metrics").body
        return text.split(separator: "\n").first { $0.hasPrefix(name + " ") }.map {
            String($0.dropFirst(name.count + 1))
        }
    }

    @Test(arguments: [1, 2])
    func `pipelined requests are answered in their order`(loops: Int) async throws {
        try await withLiveNode(loops: loops) { address in
            let client = try LiveClient(address)
            let asked = [("GET", "/health", 200), ("GET", "/nowhere", 404), ("GET", "/v1/campaigns/x", 400)]
            var text = ""
            for _ in 0..<50 {
                for (method, path, _) in asked { text += client.request(method, path) }
                text += client.request("POST", "/v1/campaigns", Self.campaign)
            }
            try client.send(text)
            var made: Set<String> = []
            for _ in 0..<50 {
                for (_, path, status) in asked {
                    let answer = try client.answer()
                    try expect(answer.status == status, "\(path): \(answer.head)")
                }
                let answer = try client.answer()
                try expect(answer.status == 201, answer.head)
                made.insert(try answer.id())
            }
            try expect(made.count == 50, "\(made.count) campaigns")
        }
    }

    @Test func `a request, an upgrade and a vote may come byte by byte`() async throws {
        try await withLiveNode { address in
            let client = try LiveClient(address)
            try client.sendByteByByte(Array(client.request("POST", "/v1/campaigns", Self.campaign).utf8))
            try expect(try client.answer().status == 201, "no campaign")
            let poll = try Self.launch(client)
            try client.upgrade()
            try client.sendByteByByte(LiveClient.frame(Self.vote(poll, id: 7, voter: "ann")))
            let ack = try client.message(#""op":"ack""#)
            try expect(ack.contains(#""id":7"#) && ack.contains(#""status":"counted""#), ack)
        }
    }

    @Test func `votes of a socket are acknowledged and stand in the poll`() async throws {
        try await withLiveNode(loops: 2) { address in
            let http = try LiveClient(address)
            let poll = try Self.launch(http)
            let socket = try LiveClient(address)
            try socket.upgrade()
            for number in 1...100 { try socket.say(Self.vote(poll, id: number, voter: "v\(number % 50)")) }
            for number in 1...100 {
                let ack = try socket.message(#""op":"ack""#)
                let status = number <= 50 ? "counted" : "same"
                try expect(ack.contains(#""id":\#(number),"#) && ack.contains(#""status":"\#(status)""#), ack)
            }
            let read = try http.ask("GET", "/v1/campaigns/\(poll.campaign)/polls/\(poll.poll)")
            try expect(read.body.contains(#""votes":[0,50]"#), read.body)
        }
    }

    @Test func `a client that has said all still gets every answer, then the end`() async throws {
        try await withLiveNode { address in
            let client = try LiveClient(address)
            try client.send(client.request("POST", "/v1/campaigns", Self.campaign))
            client.finish()
            try expect(try client.answer().status == 201, "no answer")
            try expect(client.isAtEnd(), "the connection stays open")
        }
    }

    @Test func `a head that is too long is refused, and the connection ends`() async throws {
        try await withLiveNode { address in
            let client = try LiveClient(address)
            let long = "X-Long: \(String(repeating: "x", count: 17_000))\r\n"
            try client.send(client.request("GET", "/health", more: long))
            let answer = try client.answer()
            try expect(answer.status == 431, answer.head)
            try expect(client.isAtEnd(), "the connection stays open")
            try expect(try LiveClient(address).ask("GET", "/health").status == 200, "others are served")
        }
    }

    @Test func `the close of a user's older connection does not touch the newer one`() async throws {
        try await withLiveNode { address in
            let http = try LiveClient(address)
            let campaign = try http.ask("POST", "/v1/campaigns", Self.campaign).id()
            var older: LiveClient? = try LiveClient(address)
            let newer = try LiveClient(address)
            for socket in [older, newer] {
                try socket?.upgrade()
                try socket?.say(#"{"op":"hello","id":1,"voter":"same"}"#)
                _ = try socket?.message(#""op":"hello""#)
                try socket?.say(#"{"op":"subscribe","id":2,"campaign":"\#(campaign)"}"#)
                _ = try socket?.message(#""op":"subscribed""#)
            }
            try expect(try Self.metric("tumulte_websockets", http) == "2", "two sockets")
            older = nil
            while try Self.metric("tumulte_websockets", http) != "1" {}
            try expect(try Self.metric("tumulte_subscriptions", http) == "1", "one subscription")
            let launch = #"{"question":"Left?","options":["yes","no"]}"#
            try expect(try http.ask("POST", "/v1/campaigns/\(campaign)/polls", launch).status == 201, "no poll")
            _ = try newer.message(#""event":"poll:start""#, campaign)
        }
    }

    @Test func `who does not read what may not be dropped is cut with 4410`() async throws {
        try await withLiveNode { address in
            let campaign = try LiveClient(address).ask("POST", "/v1/campaigns", Self.campaign).id()
            let sleeper = try LiveClient(address, receiveBufferBytes: 4096)
            try sleeper.upgrade()
            try sleeper.say(#"{"op":"subscribe","id":1,"campaign":"\#(campaign)"}"#)
            _ = try sleeper.message(#""op":"subscribed""#)
            let sender = try LiveClient(address)
            try sender.upgrade()
            let signal =
                #"{"op":"signal","id":2,"campaign":"\#(campaign)","name":"big","data":"\#(String(repeating: "x", count: 16_000))"}"#
            let http = try LiveClient(address)
            // Until the kernel's buffers and the node's queue for the sleeper are full.
            while try Self.metric("tumulte_slow_consumers_total", http) == "0" {
                try sender.say(signal)
                _ = try sender.message(#""op":"ack""#)
            }
            var (received, code) = (0, 0)
            while code == 0 {
                do {
                    let (opcode, payload) = try sleeper.frame()
                    if opcode == 1 { received += 1 }
                    if opcode == 8 { code = Int(payload[0]) << 8 | Int(payload[1]) }
                } catch let error as Unexpected where error == LiveClient.reset {
                    code = 4410  // too late for the frame: who still does not read after some seconds is reset
                }
            }
            try expect(code == 4410 && received > 0, "closed with \(code) after \(received) signals")
            try sender.say(#"{"op":"ping","id":3}"#)
            _ = try sender.message(#""op":"pong""#)
        }
    }
}
