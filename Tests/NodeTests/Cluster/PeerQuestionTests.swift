// What nodes ask each other about themselves: there and back, every prefix, every corrupted byte.

import Platform
import Protocol
import Testing

@testable import Node

struct PeerQuestionTests {
    private static let campaign = CampaignID(UUIDv7(at: Timestamp(milliseconds: 1_800_000_000_000), random: 7))

    private static let statuses = [
        PeerStatus(campaigns: 0, connections: 0, steps: [:]),
        PeerStatus(
            campaigns: 1, connections: 2, tableVersion: 1 << 52, served: SlotSet([Slot(0), Slot(9)]),
            steps: [Slot(7): .opening, Slot(4095): .opening]),
        PeerStatus(
            campaigns: 12, connections: .max, tableVersion: 3, served: SlotSet((0..<4096).map { Slot($0) }),
            steps: Dictionary(
                uniqueKeysWithValues: (0..<Slot.count).map {
                    (Slot(UInt16($0)), MoveStep.allCases[$0 % MoveStep.allCases.count])
                })),
    ]

    private static let campaigns = [
        PeerCampaign(clients: 0, look: nil),
        PeerCampaign(
            clients: 9,
            look: CampaignLook(
                slot: SlotLook(epoch: 5, tail: 3), isActive: false, isDeleted: true, seq: 300, runningPoll: nil)),
        PeerCampaign(
            clients: 1,
            look: CampaignLook(
                slot: SlotLook(epoch: 1 << 40, tail: 0), isActive: true, isDeleted: false, seq: 0,
                runningPoll: PollID(UUIDv7(at: Timestamp(milliseconds: 5), random: 8)))),
    ]

    private static func bytes(_ write: (inout [UInt8]) -> Void) -> [UInt8] {
        var output: [UInt8] = []
        write(&output)
        return output
    }

    @Test func `what a node says of itself arrives as it was sent`() throws {
        for status in Self.statuses {
            let bytes = Self.bytes { RoadCodec.append(status, to: &$0) }
            #expect(try RoadCodec.status(bytes.span) == status)
            for end in stride(from: 0, to: bytes.count, by: bytes.count > 100 ? 13 : 1) {
                let prefix = Array(bytes[..<end])
                #expect(throws: BinaryError.self) { try RoadCodec.status(prefix.span) }
            }
            let longer = bytes + [0]
            #expect(throws: BinaryError.self) { try RoadCodec.status(longer.span) }
        }
        // Slot 4096 is none; step 9 is one that a later release may know.
        let slot: [UInt8] = [0, 0, 0, 0, 1, 0x80, 0x20, 1]
        #expect(throws: BinaryError.self) { try RoadCodec.status(slot.span) }
        let step: [UInt8] = [0, 0, 0, 0, 1, 5, 9]
        #expect(try RoadCodec.status(step.span).steps == [Slot(5): .releasing])
        // Slots up to 4095 have 512 bytes.
        let most = [0, 0, 0, 0x80, 4] + [UInt8](repeating: 1, count: 512) + [0]
        #expect(try RoadCodec.status(most.span).served == SlotSet((0..<512).map { Slot(8 * $0) }))
        let more = [0, 0, 0, 0x81, 4] + [UInt8](repeating: 1, count: 513) + [0]
        #expect(throws: BinaryError.self) { try RoadCodec.status(more.span) }
    }

    @Test func `no damaged byte of what a node says of itself goes unnoticed`() throws {
        for status in Self.statuses.prefix(2) {
            let bytes = Self.bytes { RoadCodec.append(status, to: &$0) }
            for index in bytes.indices {
                for bit in 0..<8 {
                    var damaged = bytes
                    damaged[index] ^= 1 << bit
                    if let read = try? RoadCodec.status(damaged.span) { #expect(read != status, "byte \(index)") }
                }
            }
        }
    }

    @Test func `a set of slots holds what was put in, in as few bytes as that needs`() {
        #expect(SlotSet().shortest.isEmpty)
        var set = SlotSet()
        for index in [UInt16(4), 13, 700, 4095] {
            #expect(!set.contains(Slot(index)))
            set.insert(Slot(index))
            #expect(set.contains(Slot(index)) && set.shortest.count == Int(index) / 8 + 1)
        }
        #expect((0..<4096).filter { set.contains(Slot($0)) } == [4, 13, 700, 4095])
        #expect(SlotSet(first: Array(set.shortest)) == set)
    }

    @Test func `what a node says of a campaign arrives as it was sent`() throws {
        for campaign in Self.campaigns {
            let bytes = Self.bytes { RoadCodec.append(campaign, to: &$0) }
            #expect(try RoadCodec.campaign(bytes.span) == campaign)
            for end in bytes.indices {
                let prefix = Array(bytes[..<end])
                #expect(throws: BinaryError.self) { try RoadCodec.campaign(prefix.span) }
            }
            for index in bytes.indices {
                for bit in 0..<8 {
                    var damaged = bytes
                    damaged[index] ^= 1 << bit
                    if let read = try? RoadCodec.campaign(damaged.span) { #expect(read != campaign) }
                }
            }
        }
    }

    @Test func `questions have forms of their own`() throws {
        for question in [PeerQuestion.status, .campaign(Self.campaign)] {
            let bytes = Self.bytes { RoadCodec.append(question, to: &$0) }
            #expect(try RoadCodec.question(bytes.span) == question)
            for end in bytes.indices {
                let prefix = Array(bytes[..<end])
                #expect(throws: BinaryError.self) { try RoadCodec.question(prefix.span) }
            }
            let longer = bytes + [0]
            #expect(throws: BinaryError.self) { try RoadCodec.question(longer.span) }
            let other = [RoadCodec.Form.offer.rawValue] + bytes.dropFirst()
            #expect(throws: BinaryError.self) { try RoadCodec.question(other.span) }
        }
    }

    @Test func `the desk answers what is awaited, and lets go of the rest`() async throws {
        let clock = ManualClock(at: Timestamp(milliseconds: 0))
        clock.advance(milliseconds: 100)
        let (questions, answers) = (Inbox<PeerCall>(limit: 4), Inbox<EdgeMessage>(limit: 4))
        let desk = PeerDesk(
            questions: questions,
            inspector: NodeInspector(
                shards: [], subscribers: SubscriberBoard(tellingLoops: 1),
                metrics: NodeMetrics(registry: MetricsRegistry()), cluster: nil),
            clock: clock, beside: nil)
        let body = Self.bytes { RoadCodec.append(PeerQuestion.status, to: &$0) }
        let now = clock.monotonic().nanoseconds
        for (item, deadline) in [now, now + 1].enumerated() {
            let ticket = ReplyTicket(edge: 0, item: UInt16(item), connection: 0, generation: 0, request: nil)
            let call = PeerCall(caller: 2, body: body, deadline: deadline, ticket: ticket, edge: answers)
            questions.post(call)
        }
        await desk.start()
        await desk.stop()
        answers.finish()
        var told: [UInt16: Bool] = [:]
        while let batch = await answers.next(recycling: []) {
            for case .reply(let ticket, let reply) in batch {
                if case .document = reply { told[ticket.item] = true } else { told[ticket.item] = false }
            }
        }
        #expect(told == [0: false, 1: true])
    }
}
