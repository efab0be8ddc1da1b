import Platform
import Protocol
import Testing
import Web

@testable import Node

struct LaneTests {
    let a = CampaignID(UUIDv7(at: Timestamp(milliseconds: 1), random: 1))
    let b = CampaignID(UUIDv7(at: Timestamp(milliseconds: 1), random: 2))

    private func bytes(_ text: String) -> SharedBytes { SharedBytes(Array(text.utf8)) }
    private func drained(_ lane: inout Lane) -> [String] {
        lane.drain().map { String(decoding: $0.array, as: UTF8.self) }
    }

    @Test func `what may not be lost keeps its order`() {
        var lane = Lane()
        for text in ["one", "two", "three"] {
            let isTaken = lane.push(bytes(text))
            #expect(isTaken)
        }
        let got = drained(&lane)
        #expect(got == ["one", "two", "three"] && lane.isEmpty && lane.byteCount == 0)
    }

    @Test func `of updates only the newest of each campaign waits, behind what came before it`() {
        var lane = Lane()
        _ = lane.pushUpdate(bytes("a1"), of: a)
        _ = lane.push(bytes("start"))
        _ = lane.pushUpdate(bytes("b1"), of: b)
        _ = lane.pushUpdate(bytes("a2"), of: a)
        let got = drained(&lane)
        #expect(got == ["start", "b1", "a2"])
    }

    @Test func `a thousand updates cost as much as one`() {
        var lane = Lane()
        for number in 0..<1000 { _ = lane.pushUpdate(bytes("update \(number)"), of: a) }
        #expect(lane.byteCount == "update 999".utf8.count)
    }

    @Test func `a full lane takes nothing more and keeps what it has`() {
        var lane = Lane()
        let half = SharedBytes([UInt8](repeating: 1, count: Lane.bytesLimit / 2))
        let taken = [lane.push(half), lane.push(half), lane.push(bytes("x"))]
        #expect(taken == [true, true, false])
        #expect(lane.byteCount == Lane.bytesLimit)
    }
}

struct ConnectionWheelTests {
    @Test func `a deadline comes up in its second, once`() {
        var wheel = ConnectionWheel(now: 100)
        wheel.schedule(.init(connection: 7, generation: 1), at: 105)
        var due: [UInt32] = []
        wheel.advance(to: 104) { due.append($0.connection) }
        #expect(due.isEmpty)
        wheel.advance(to: 110) { due.append($0.connection) }
        #expect(due == [7])
        wheel.advance(to: 300) { due.append($0.connection) }
        #expect(due == [7])
    }

    @Test func `what lies further than a turn comes up early, to be looked at again`() {
        var wheel = ConnectionWheel(now: 0)
        wheel.schedule(.init(connection: 1, generation: 1), at: 10_000)
        var due = 0
        wheel.advance(to: UInt32(ConnectionWheel.bucketCount)) { _ in due += 1 }
        #expect(due == 1)
    }

    @Test func `what is over already comes up with the next second`() {
        var wheel = ConnectionWheel(now: 50)
        wheel.schedule(.init(connection: 1, generation: 1), at: 10)
        var due = 0
        wheel.advance(to: 51) { _ in due += 1 }
        #expect(due == 1)
    }
}

struct RoutesTests {
    static let id = "01a1fcac-f495-72d8-ae10-2c4de5f3e0ff"
    static let campaign = UUIDv7(id).map { CampaignID($0) } ?? never()
    static let poll = UUIDv7(id).map { PollID($0) } ?? never()

    private static func never<Value>() -> Value { preconditionFailure("the id is one") }

    @Test func `every route is found`() {
        let base = "/v1/campaigns"
        let expected: [(HTTPMethod, String, Route)] = [
            (.post, base, .createCampaign), (.get, "\(base)/\(Self.id)", .readCampaign(Self.campaign)),
            (.head, "\(base)/\(Self.id)", .readCampaign(Self.campaign)),
            (.patch, "\(base)/\(Self.id)", .updateCampaign(Self.campaign)),
            (.delete, "\(base)/\(Self.id)", .deleteCampaign(Self.campaign)),
            (.post, "\(base)/\(Self.id)/polls", .launchPoll(Self.campaign)),
            (.get, "\(base)/\(Self.id)/polls", .readPolls(Self.campaign)),
            (.get, "\(base)/\(Self.id)/polls/\(Self.id)", .readPoll(Self.campaign, Self.poll)),
            (.post, "\(base)/\(Self.id)/polls/\(Self.id)/cancel", .cancelPoll(Self.campaign, Self.poll)),
            (.post, "\(base)/\(Self.id)/polls/\(Self.id)/votes", .vote(Self.campaign, Self.poll)),
            (.post, "\(base)/\(Self.id)/signals", .signal(Self.campaign)),
            (.get, "\(base)/\(Self.id)/events", .events(Self.campaign)), (.get, "/v1/ws", .webSocket),
            (.get, "/health", .health(.summary)), (.get, "/health/live", .health(.live)),
            (.head, "/health/ready", .health(.ready)), (.get, "/health/details", .health(.details)),
            (.get, "/metrics", .metrics), (.post, "/admin/campaigns/\(Self.id)/verify", .verify(Self.campaign)),
            (.get, "/", .page("/")), (.get, "/tumulte.js", .page("/tumulte.js")),
        ]
        for (method, path, route) in expected {
            #expect(Routes.match(method, path) == .success(route), "\(method) \(path)")
        }
    }

    @Test func `another method is told which ones there are`() {
        #expect(
            Routes.match(.put, "/v1/campaigns/\(Self.id)")
                == .failure(.methodNotAllowed(allow: "GET, HEAD, PATCH, DELETE")))
        #expect(Routes.match(.get, "/v1/campaigns") == .failure(.methodNotAllowed(allow: "POST")))
        #expect(Routes.match(.post, "/health") == .failure(.methodNotAllowed(allow: "GET, HEAD")))
        #expect(Routes.match(.post, "/v1/ws") == .failure(.methodNotAllowed(allow: "GET")))
    }

    @Test(arguments: [
        "/v1", "/v1/", "/v1/nothing", "/v1/campaigns/\(id)/nothing", "/v1/campaigns/\(id)/polls/\(id)/nothing",
        "/v1/campaigns/\(id)/polls/\(id)/votes/more", "/admin/x", "/v1/campaigns/\(id)/",
    ])
    func `what does not exist is not found`(path: String) {
        switch Routes.match(.get, path) {
        case .success(.page): break  // the page table refuses it
        case .success(let route): Issue.record("\(path) became \(route)")
        case .failure(let miss): #expect(miss == .notFound)
        }
    }

    @Test(arguments: ["x", id.uppercased(), "{\(id)}", "01a1fcac-f495-42d8-ae10-2c4de5f3e0ff", String(id.dropLast())])
    func `ids have one form`(text: String) {
        #expect(Routes.match(.get, "/v1/campaigns/\(text)") == .failure(.badIdentifier))
        #expect(Routes.match(.get, "/v1/campaigns/\(Self.id)/polls/\(text)") == .failure(.badIdentifier))
    }
}

struct EventFramingTests {
    private func event(_ bytes: Int) -> ServerEvent {
        let campaign = CampaignID(UUIDv7(at: Timestamp(milliseconds: 5), random: 9))
        let data = Array(("\"" + String(repeating: "x", count: bytes) + "\"").utf8)
        return ServerEvent(
            campaign: campaign, position: Position(epoch: 3, seq: 4), at: Timestamp(milliseconds: 6),
            body: .signal(name: "n", data: data))
    }

    /// Reads the payload of the one frame that a server sent.
    private func payload(_ frame: [UInt8], deflated: Bool) throws -> (bytes: [UInt8], wasDeflated: Bool) {
        var frame = frame
        var parser = WebSocketFrameParser(peer: .server, allowsCompression: deflated)
        let wasDeflated = frame[0] & 0x40 != 0
        let inflater = MessageInflater()
        return frame.withUnsafeMutableBytes { buffer in
            var offset = 0
            switch parser.next(in: buffer, at: &offset, inflater: inflater) {
            case .text(let payload), .binary(let payload):
                return (payload.withBytes(in: buffer) { Array($0) }, wasDeflated)
            case .needMore, .ping, .pong, .close, .violation:
                Issue.record("not a message")
                return ([], wasDeflated)
            }
        }
    }

    @Test(arguments: [10, 5000])
    func `each form carries the same event, deflated where that pays`(size: Int) throws {
        let event = event(size)
        let shared = SharedEvent(event)
        for variant in [WireVariant.json, .jsonDeflated, .binary, .binaryDeflated] {
            let isDeflating = variant == .jsonDeflated || variant == .binaryDeflated
            let (bytes, wasDeflated) = try payload(shared.frame(variant).array, deflated: isDeflating)
            #expect(wasDeflated == (isDeflating && size > EventFraming.deflateThresholdBytes))
            let message =
                variant == .json || variant == .jsonDeflated
                ? try JSONClientCodec.decodeServer(bytes.span) : try BinaryClientCodec.decodeServer(bytes.span)
            #expect(message == .event(event))
        }
        let stream = String(decoding: shared.frame(.sse).array, as: UTF8.self)
        #expect(stream.hasPrefix("event: signal\nid: 3-4\ndata: {") && stream.hasSuffix("\n\n"))
    }

    @Test func `a form is encoded once and shared`() {
        let shared = SharedEvent(event(10))
        #expect(shared.frame(.json) === shared.frame(.json))
    }
}
