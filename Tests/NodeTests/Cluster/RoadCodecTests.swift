// What crosses between nodes: there and back, every prefix, every corrupted byte.

import Domain
import Foundation
import Protocol
import Testing

@testable import Node

struct RoadCodecTests {
    private static let now = Timestamp(milliseconds: 1_800_000_000_000)
    private static let campaign = CampaignID(UUIDv7(at: now, random: 7))
    private static let poll = PollID(UUIDv7(at: now, random: 8))
    private static let host = Principal(
        role: .host, subject: "gm", channel: "north", expiresAt: now.advanced(byMilliseconds: 5), isOpenMode: false)
    private static let mark = IdempotencyMark(
        key: Hash128(high: 1, low: 0xFEDC_BA98_7654_3210), body: Hash128(high: .max, low: 4))

    private static func command(_ body: CommandBody, age: Int64 = 3, in request: String? = nil) -> Command {
        Command(
            campaign: campaign, ticket: .ofEdge(0).with(httpRequest: request),
            receivedAt: now.advanced(byMilliseconds: -age), body: body)
    }

    private static func vote(_ option: Int, poll: PollID = poll, voter: String?, channel: String?, key: String?)
        -> CommandBody
    { .vote(VoteCommand(poll: poll, option: option, voter: voter, channel: channel, key: key)) }

    private static let bodies: [CommandBody] = [
        vote(0, voter: nil, channel: nil, key: nil),
        vote(-4, voter: "vö", channel: "c", key: String(repeating: "k", count: 64) + "#999"),
        vote(1, poll: PollID(UUIDv7(at: now, random: 9)), voter: "v", channel: nil, key: nil),
        .verify,
        .manage(.update(host, CampaignPatch(name: "New", description: .set("text"))), nil),
        .manage(.update(.openMode, CampaignPatch(name: nil, description: .clear)), nil),
        .manage(.update(host, CampaignPatch(name: nil, description: .keep)), nil),
        .manage(.delete(host), nil),
        .manage(
            .launch(
                host, PollDraft(question: "Which?", options: ["a", "b"], durationSeconds: 60, type: .unique)), mark),
        .manage(.cancel(host, poll), mark),
        .manage(.signal(host, name: "dice", data: Array("{\"n\":6}".utf8)), nil),
        .manage(.readCampaign, nil), .manage(.readPolls(limit: 20), nil), .manage(.readPoll(poll), nil),
    ]

    private static func encoded(_ commands: [Command]) -> [UInt8] {
        var output: [UInt8] = []
        let end = RoadCodec.append(commands, from: 0, at: now, to: &output)
        #expect(end == commands.count)
        return output
    }

    private static func decoded(_ bytes: [UInt8]) throws(BinaryError) -> [RoadCodec.Received] {
        try traced(bytes).commands
    }

    private static func traced(
        _ bytes: [UInt8]
    ) throws(BinaryError) -> (commands: [RoadCodec.Received], traces: [RequestTrace]) {
        let span = bytes.span
        return try RoadCodec.whole(span) { cursor throws(BinaryError) in
            guard try RoadCodec.form(&cursor, span) == .commands else { throw .unknownKind }
            let read = try RoadCodec.commands(&cursor, span, at: now)
            guard read.campaign == campaign else { throw .unknownKind }
            return (read.commands, read.traces)
        }
    }

    /// Commands hold no tickets on the road, so their descriptions can be compared.
    private static func texts(_ commands: [RoadCodec.Received]) -> [String] {
        commands.map { "\($0.receivedAt.milliseconds) \($0.body)" }
    }

    @Test func `commands arrive as they were sent`() throws {
        let commands = Self.bodies.enumerated().map { Self.command($0.element, age: Int64($0.offset * 100)) }
        let arrived = try Self.decoded(Self.encoded(commands))
        #expect(
            Self.texts(arrived) == commands.map { "\($0.receivedAt.milliseconds) \($0.body)" })
    }

    /// Every block between "```body NAME" and "```" of docs/PROTOCOL.md.
    private static func vectors() throws -> [String: [UInt8]] {
        let document = URL(filePath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "docs/PROTOCOL.md")
        var vectors: [String: [UInt8]] = [:]
        var name: String?
        for line in try String(contentsOf: document, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("```body ") {
                name = String(line.dropFirst(8))
            } else if line == "```" {
                name = nil
            } else if let name {
                let bytes = line.prefix { $0 != "#" }.split(separator: " ").compactMap { UInt8($0, radix: 16) }
                vectors[name, default: []] += bytes
            }
        }
        return vectors
    }

    @Test func `the vectors of the document are what is read and written`() throws {
        let vectors = try Self.vectors()
        let campaign = CampaignID(try #require(UUIDv7("01890a5d-ac96-774b-bcce-b302099a8057")))
        let poll = PollID(try #require(UUIDv7("01890a5d-ac96-774b-bcce-b302099a8058")))
        let position = Position(epoch: 1_767_225_600, seq: 9)
        func command(_ body: CommandBody, _ age: Int64, in request: String? = nil) -> Command {
            Command(
                campaign: campaign, ticket: .ofEdge(0).with(httpRequest: request),
                receivedAt: Self.now.advanced(byMilliseconds: -age), body: body)
        }
        let gm = Principal(role: .host, subject: "gm", channel: nil, expiresAt: nil, isOpenMode: false)
        let signal = ServerEvent(
            campaign: campaign, position: position, at: Self.now,
            body: .signal(name: "dice", data: Array("6".utf8)))
        var subscription: [UInt8] = []
        RoadCodec.append(subscriptionTo: campaign, after: position, to: &subscription)
        var presence: [UInt8] = []
        RoadCodec.append(presence: 300, of: campaign, to: &presence)
        var answers: [UInt8] = []
        RoadCodec.append(
            [
                .vote(.counted, position), .vote(.same, position),
                .reply(.failure(ClientError(.pollClosed, "over"))),
            ], to: &answers)
        var offer: [UInt8] = []
        HandOffCodec.append(offer: [Slot(7), Slot(4095)], to: &offer)
        var offerAnswers: [UInt8] = []
        HandOffCodec.append(
            answers: [OfferAnswer(slot: Slot(7), through: nil), OfferAnswer(slot: Slot(4095), through: 17)],
            to: &offerAnswers)
        let past = StreamPast(
            floor: Position(epoch: 5, seq: 2), ends: [Position(epoch: 5, seq: 9)], events: [], latestUpdate: nil)
        let handed = HandedCampaign(id: campaign, stateHash: 0x0123_4567_89AB_CDEF, past: past)
        let handOver = try #require(
            HandOffCodec.messages([
                HandedSlot(slot: Slot(7), epoch: position.epoch, tail: 17, campaigns: [handed])
            ]).first)
        func bytes(_ write: (inout [UInt8]) -> Void) -> [UInt8] {
            var output: [UInt8] = []
            write(&output)
            return output
        }
        let found = [
            "question status": bytes { RoadCodec.append(.status, to: &$0) },
            "status": bytes {
                RoadCodec.append(
                    PeerStatus(
                        campaigns: 12, connections: 300, tableVersion: 259, served: SlotSet([Slot(0), Slot(9)]),
                        steps: [Slot(4095): .opening, Slot(7): .releasing]), to: &$0)
            },
            "question campaign": bytes { RoadCodec.append(.campaign(campaign), to: &$0) },
            "campaign": bytes {
                RoadCodec.append(
                    PeerCampaign(
                        clients: 41,
                        look: CampaignLook(
                            slot: SlotLook(epoch: 1_767_225_600, tail: 9), isActive: true, isDeleted: false, seq: 6,
                            runningPoll: poll)), to: &$0)
            },
            "votes": Self.encoded([
                command(Self.vote(1, poll: poll, voter: "ann", channel: nil, key: "k1"), 3),
                command(Self.vote(0, poll: poll, voter: "bob", channel: "north", key: nil), 300),
            ]),
            "votes by HTTP": Self.encoded([
                command(Self.vote(0, poll: poll, voter: "ann", channel: nil, key: nil), 0, in: "req-1"),
                command(Self.vote(1, poll: poll, voter: "bob", channel: nil, key: nil), 0, in: "req-1"),
            ]),
            "creation": bytes {
                RoadCodec.append(
                    CreationCommand(
                        slot: Slot(7), principal: gm, draft: CampaignDraft(name: "Mine", description: nil), mark: nil,
                        ticket: .ofEdge(0).with(httpRequest: "req-1"),
                        receivedAt: Self.now.advanced(byMilliseconds: -3)), at: Self.now, to: &$0)
            },
            "cancel": Self.encoded([command(.manage(.cancel(gm, poll), nil), 0)]),
            "all other commands": Self.encoded(
                [
                    .verify,
                    .manage(.update(gm, CampaignPatch(name: "New", description: .set("hi"))), nil),
                    .manage(.delete(gm), nil),
                    .manage(
                        .launch(
                            gm, PollDraft(question: "Go?", options: ["a", "b"], durationSeconds: 60, type: .unique)),
                        IdempotencyMark(key: Hash128(high: 1, low: 2), body: Hash128(high: 3, low: 4))),
                    .manage(.signal(gm, name: "dice", data: Array("{\"n\":6}".utf8)), nil),
                    .manage(.readCampaign, nil), .manage(.readPolls(limit: 20), nil), .manage(.readPoll(poll), nil),
                ].map { command($0, 0) }),
            "answers to others": bytes {
                RoadCodec.append(
                    [.reply(.signal(position)), .reply(.document(status: 200, json: Array("{}".utf8)))], to: &$0)
            },
            "subscribed": bytes {
                let subscribed = Subscribed(campaign: campaign, position: position, recovered: true, poll: nil)
                _ = RoadCodec.append(Joined(subscribed: subscribed, missed: [SharedEvent(signal)]), to: &$0)
            },
            "not subscribed": bytes {
                RoadCodec.append(joinFailure: ClientError(.notFound, "none"), to: &$0)
            },
            "event": SharedEvent(signal).encoded,
            "answers": answers, "subscription": subscription, "offer": offer, "offer answers": offerAnswers,
            "hand over": handOver, "presence": presence,
        ]
        #expect(found == vectors)
    }

    @Test func `ages are bounded, and never negative`() throws {
        let old = Self.command(.verify, age: 3_600_000)
        let early = Self.command(.verify, age: -50)
        let arrived = try Self.decoded(Self.encoded([old, early]))
        #expect(arrived.map { Self.now.milliseconds(since: $0.receivedAt) } == [60_000, 0])
    }

    @Test func `a batch that is too large leaves in parts`() throws {
        let data = [UInt8](repeating: UInt8(ascii: "1"), count: Limits.signalDataBytesLimit)
        let commands = (0..<40).map { _ in Self.command(.manage(.signal(Self.host, name: "s", data: data), nil)) }
        var parts: [Int] = []
        var start = 0
        while start < commands.count {
            var output: [UInt8] = []
            let end = RoadCodec.append(commands, from: start, at: Self.now, to: &output)
            #expect(output.count <= RoadCodec.requestBytesTarget + Limits.signalDataBytesLimit + 1024)
            parts.append(try Self.decoded(output).count)
            start = end
        }
        #expect(parts.reduce(0, +) == commands.count)
        #expect(parts.count > 1)
    }

    @Test func `no prefix of commands is taken for the whole`() {
        for bytes in [Self.encoded(Self.bodies.map { Self.command($0) }), Self.encoded(Self.ofRequests)] {
            for end in bytes.indices { #expect(throws: BinaryError.self) { try Self.decoded(Array(bytes[..<end])) } }
            #expect(throws: BinaryError.self) { try Self.decoded(bytes + [0]) }
        }
    }

    @Test func `a corrupted byte is refused or read as something else, and never crashes`() {
        for bytes in [Self.encoded(Self.bodies.map { Self.command($0) }), Self.encoded(Self.ofRequests)] {
            func texts(_ bytes: [UInt8]) -> [String]? {
                (try? Self.traced(bytes)).map { Self.texts($0.commands) + $0.traces.map { "\($0)" } }
            }
            let whole = texts(bytes)
            #expect(whole != nil)
            for index in bytes.indices {
                for bit in 0..<8 {
                    var damaged = bytes
                    damaged[index] ^= 1 << bit
                    if let read = texts(damaged) { #expect(read != whole) }
                }
            }
        }
    }

    /// Each body in an HTTP request of its own, or in that of the one before, and now and then in none.
    private static let ofRequests = bodies.enumerated().map { place, body in
        command(body, in: place % 5 == 4 ? nil : "request-\(place / 3)")
    }

    @Test func `the ids of HTTP requests arrive with their commands, and cost those without one nothing`() throws {
        let ids = Self.ofRequests.map(\.ticket.httpRequest)
        let (commands, traces) = try Self.traced(Self.encoded(Self.ofRequests))
        #expect(Self.texts(commands) == Self.ofRequests.map { "\($0.receivedAt.milliseconds) \($0.body)" })
        var found = [String?](repeating: nil, count: commands.count)
        for trace in traces { for place in trace.commands { found[place] = trace.id } }
        #expect(found == ids && Set(ids).count > 4 && ids.contains(nil))
        // A run of commands of one request is one trace, and names the request once.
        let vote = Self.bodies[0]
        let plain = Self.encoded((0..<9).map { _ in Self.command(vote) })
        let batch = Self.encoded((0..<9).map { _ in Self.command(vote, in: "r") })
        #expect(try Self.traced(batch).traces == [RequestTrace(id: "r", commands: 0..<9)])
        #expect(batch.count == plain.count + 2)
        #expect(try Self.traced(plain).traces.isEmpty)
        // Without the request's own mark no other string is taken for one.
        var ticket = ReplyTicket.ofEdge(0)
        ticket.request = .string("a WebSocket's")
        #expect(ticket.httpRequest == nil)
    }

    @Test func `an id that no node would log is refused, and so is one that was not named`() throws {
        let whole = Self.encoded([Self.command(.verify, in: "id"), Self.command(.verify, in: "id")])
        // form, campaign, count; kind, age, length, id; kind, age
        let (first, id, second) = (18, 21, 23)
        #expect(whole[first] == 0x83 && whole[second] == 0x43 && Array(whole[id..<second]) == Array("id".utf8))
        for byte in [0x20, 0x7F, 0x0A, 0x00, 0xC3] as [UInt8] {
            var bytes = whole
            bytes[id] = byte
            #expect(throws: BinaryError.self) { try Self.decoded(bytes) }
        }
        for (place, byte) in [(first, 0x43), (first, 0xC3), (second, 0xC3)] as [(Int, UInt8)] {
            var bytes = whole
            bytes[place] = byte
            #expect(throws: BinaryError.self) { try Self.decoded(bytes) }
        }
        for length in [0, 1, 64, 65] {
            let bytes = Self.encoded([Self.command(.verify, in: String(repeating: "i", count: length))])
            #expect(((try? Self.decoded(bytes)) != nil) == HTTPRequestID.bytes.contains(length))
        }
    }

    @Test func `a creation arrives as it was sent`() throws {
        for (description, mark, request) in [
            ("d" as String?, Self.mark as IdempotencyMark?, "r-1" as String?), (nil, nil, nil),
        ] {
            let creation = CreationCommand(
                slot: Slot(4095), principal: Self.host, draft: CampaignDraft(name: "Name", description: description),
                mark: mark, ticket: .ofEdge(3).with(httpRequest: request),
                receivedAt: Self.now.advanced(byMilliseconds: -9))
            var output: [UInt8] = []
            RoadCodec.append(creation, at: Self.now, to: &output)
            let bytes = output
            let read = try RoadCodec.whole(bytes.span) { cursor throws(BinaryError) in
                #expect(try RoadCodec.form(&cursor, bytes.span) == .creation)
                return try RoadCodec.creation(&cursor, bytes.span, at: Self.now, ticket: .ofEdge(3))
            }
            #expect("\(read)" == "\(creation)")
            for end in 1..<bytes.count {
                let prefix = Array(bytes[..<end])
                #expect(throws: BinaryError.self) {
                    try RoadCodec.whole(prefix.span) { cursor throws(BinaryError) in
                        _ = try RoadCodec.form(&cursor, prefix.span)
                        return try RoadCodec.creation(&cursor, prefix.span, at: Self.now, ticket: .ofEdge(3))
                    }
                }
            }
        }
    }

    private static let answers: [RoadAnswer] = [
        .vote(.counted, Position(epoch: 5, seq: 9)), .vote(.same, Position(epoch: 5, seq: 9)),
        .reply(.failure(ClientError(.pollClosed, "over"))), .vote(.moved, Position(epoch: 5, seq: 9)),
        .vote(.duplicate, Position(epoch: 5, seq: 10)), .reply(.signal(Position(epoch: 1, seq: 0))),
        .reply(.document(status: 201, json: Array("{}".utf8))),
        .reply(
            .failure(
                ClientError(
                    .badRequest, "no", details: [.init(field: "name", message: "short")], retryAfterMilliseconds: 70))),
    ]

    @Test func `answers arrive in the order of their commands`() throws {
        var output: [UInt8] = []
        RoadCodec.append(Self.answers, to: &output)
        let bytes = output
        let read = try RoadCodec.answers(Self.answers.count, bytes.span)
        #expect(read.map { "\($0)" } == Self.answers.map { "\($0)" })
        for count in [Self.answers.count - 1, Self.answers.count + 1] {
            #expect(throws: BinaryError.self) { try RoadCodec.answers(count, bytes.span) }
        }
        for end in bytes.indices {
            let prefix = Array(bytes[..<end])
            #expect(throws: BinaryError.self) { try RoadCodec.answers(Self.answers.count, prefix.span) }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[index] ^= 1 << bit
                _ = try? RoadCodec.answers(Self.answers.count, damaged.span)
            }
        }
    }

    private static let events: [ServerEvent] = [
        ServerEvent(
            campaign: campaign, position: Position(epoch: 5, seq: 10), at: now,
            body: .pollUpdate(TallyView(id: poll, votes: [1, 2], channels: []))),
        ServerEvent(
            campaign: campaign, position: Position(epoch: 5, seq: 11), at: now,
            body: .signal(name: "dice", data: Array("6".utf8))),
    ]

    @Test func `a subscription, its answer and events arrive as they were sent`() throws {
        for after in [nil, Position(epoch: 9, seq: 3)] {
            var output: [UInt8] = []
            RoadCodec.append(subscriptionTo: Self.campaign, after: after, to: &output)
            let bytes = output
            #expect(
                try RoadCodec.subscription(bytes.span) == SubscriptionRequest(campaign: Self.campaign, after: after))
            for end in bytes.indices {
                let prefix = Array(bytes[..<end])
                #expect(throws: BinaryError.self) { try RoadCodec.subscription(prefix.span) }
            }
        }
        let subscribed = Subscribed(
            campaign: Self.campaign, position: Position(epoch: 5, seq: 9), recovered: true, poll: nil)
        var output: [UInt8] = []
        let joined = Joined(subscribed: subscribed, missed: Self.events.map { SharedEvent($0) })
        #expect(RoadCodec.append(joined, to: &output))
        let bytes = output
        let read = try RoadCodec.joined(bytes.span, epoch: 6).get()
        #expect(read.subscribed == subscribed && read.epoch == 6)
        #expect(try RoadCodec.joined(bytes.span, epoch: 0).get().epoch == 5)
        #expect(read.missed.map(\.event) == Self.events)
        for end in bytes.indices {
            let prefix = Array(bytes[..<end])
            #expect(throws: (any Error).self) { try RoadCodec.joined(prefix.span, epoch: 0).get() }
        }
        var failure: [UInt8] = []
        RoadCodec.append(joinFailure: ClientError(.notFound, "no such campaign"), to: &failure)
        guard case .failure(let error) = try RoadCodec.joined(failure.span, epoch: 0) else {
            Issue.record("a failure came as a success")
            return
        }
        #expect(error == ClientError(.notFound, "no such campaign"))
        for event in Self.events {
            let bytes = SharedEvent(event).encoded
            #expect(try RoadCodec.event(bytes.span).event == event)
        }
    }

    @Test func `the number of clients arrives as it was told, and nothing else is read`() throws {
        for clients in [0, 1, 127, 128, 10_000, Int(RoadCodec.clientsLimit)] {
            var output: [UInt8] = []
            RoadCodec.append(presence: clients, of: Self.campaign, to: &output)
            let bytes = output
            let read = try RoadCodec.presence(bytes.span)
            #expect(read.campaign == Self.campaign && read.clients == clients)
            for end in bytes.indices {
                let prefix = Array(bytes[..<end])
                #expect(throws: BinaryError.self) { try RoadCodec.presence(prefix.span) }
            }
            let longer = bytes + [0]
            #expect(throws: BinaryError.self) { try RoadCodec.presence(longer.span) }
        }
        var tooMany: [UInt8] = []
        RoadCodec.append(presence: Int(RoadCodec.clientsLimit) + 1, of: Self.campaign, to: &tooMany)
        let bytes = tooMany
        #expect(throws: BinaryError.self) { try RoadCodec.presence(bytes.span) }
    }
}
