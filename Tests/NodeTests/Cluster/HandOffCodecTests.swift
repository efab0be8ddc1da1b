// What crosses between nodes while slots move: there and back, every prefix, every corrupted byte, and its bounds.

import Domain
import Protocol
import Testing

@testable import Node

struct HandOffCodecTests {
    private static let now = Timestamp(milliseconds: 1_800_000_000_000)

    static func signal(_ campaign: CampaignID, _ seq: UInt64, bytes: Int = 2) -> SharedEvent {
        let data = [0x22] + [UInt8](repeating: 0x61, count: max(0, bytes - 2)) + [0x22]
        return SharedEvent(
            ServerEvent(
                campaign: campaign, position: Position(epoch: 5, seq: seq), at: now,
                body: .signal(name: "dice", data: data)))
    }

    private static func campaign(_ number: UInt64, events: Int, bytes: Int = 2) -> HandedCampaign {
        let id = CampaignID(UUIDv7(at: now, random: UInt128(number)))
        let update = SharedEvent(
            ServerEvent(
                campaign: id, position: Position(epoch: 5, seq: UInt64(events) + 1), at: now,
                body: .pollUpdate(
                    TallyView(id: PollID(UUIDv7(at: now, random: 3)), votes: [number, 1], channels: []))))
        return HandedCampaign(
            id: id, stateHash: 0x0123_4567_89AB_CDEF &* number,
            past: StreamPast(
                floor: Position(epoch: 4, seq: 9),
                ends: [Position(epoch: 4, seq: 12), Position(epoch: 5, seq: UInt64(events) + 3)],
                events: (0..<events).map { signal(id, UInt64($0) + 1, bytes: bytes) },
                latestUpdate: number % 2 == 0 ? nil : update))
    }

    private static func slot(_ index: UInt16, _ campaigns: [HandedCampaign]) -> HandedSlot {
        HandedSlot(slot: Slot(index), epoch: 1_800_000_001, tail: 17, campaigns: campaigns)
    }

    private static func text(_ slots: [HandedSlot]) -> [String] {
        slots.flatMap { slot in
            ["\(slot.slot) \(slot.epoch) \(slot.tail) \(slot.campaigns.count)"]
                + slot.campaigns.map { campaign in
                    let past = campaign.past
                    return "\(campaign.id) \(campaign.stateHash) \(past.floor) \(past.ends) "
                        + "\(past.events.map(\.event)) \(past.latestUpdate.map { "\($0.event)" } ?? "none")"
                }
        }
    }

    @Test func `offers and their answers arrive as they were sent`() throws {
        let slots = [Slot(0), Slot(4095), Slot(7)]
        var offer: [UInt8] = []
        HandOffCodec.append(offer: slots, to: &offer)
        #expect(try HandOffCodec.offer(offer.span) == slots)
        let answers = [
            OfferAnswer(slot: Slot(0), through: 0), OfferAnswer(slot: Slot(4095), through: nil),
            OfferAnswer(slot: Slot(7), through: 1 << 40),
        ]
        var answer: [UInt8] = []
        HandOffCodec.append(answers: answers, to: &answer)
        #expect(try HandOffCodec.answers(answer.span) == answers)
        var served: [UInt8] = []
        HandOffCodec.append(served: slots, to: &served)
        #expect(try HandOffCodec.served(served.span) == slots)
    }

    @Test func `slots arrive with their streams`() throws {
        let slots = [
            Self.slot(3, []), Self.slot(9, [Self.campaign(1, events: 3), Self.campaign(2, events: 0)]),
        ]
        let messages = HandOffCodec.messages(slots)
        #expect(messages.count == 1)
        let read = try messages.flatMap { try HandOffCodec.handOver($0.span) }
        #expect(Self.text(read) == Self.text(slots))
    }

    @Test func `what is too much for a frame loses its oldest events, and says so`() throws {
        // 300 signals of 4 KiB in each of eight campaigns: far more than a slot may take along.
        let slots = [Self.slot(9, (1...8).map { Self.campaign($0, events: 300, bytes: 4096) })]
        let messages = HandOffCodec.messages(slots)
        #expect(messages.count == 1)
        let message = try #require(messages.first)
        #expect(message.count < HandOffCodec.slotBytesLimit + 4096)
        let read = try #require(try HandOffCodec.handOver(message.span).first)
        #expect(read.campaigns.count == 8)
        for campaign in read.campaigns {
            let first = campaign.past.events.first?.position
            #expect(campaign.past.events.count < 300)
            #expect(campaign.past.events.count == 0 || campaign.past.events.last?.position.seq == 300)
            // Whoever stands right before the first event that is left has missed nothing.
            #expect(campaign.past.floor.seq == first.map { $0.seq - 1 } ?? 300)
        }
    }

    @Test func `many slots leave in several messages`() throws {
        let slots = (0..<600).map { Self.slot(UInt16($0), [Self.campaign(UInt64($0) + 1, events: 4, bytes: 300)]) }
        let messages = HandOffCodec.messages(slots)
        #expect(messages.count > 2)
        #expect(messages.allSatisfy { $0.count <= HandOffCodec.messageBytesTarget + 1024 })
        let read = try messages.flatMap { try HandOffCodec.handOver($0.span) }
        #expect(Self.text(read) == Self.text(slots))
    }

    @Test func `no prefix is taken for the whole, and no corrupted byte does harm`() throws {
        let message = try #require(HandOffCodec.messages([Self.slot(9, [Self.campaign(1, events: 2)])]).first)
        for length in 0..<message.count {
            let prefix = Array(message[..<length])
            #expect(throws: BinaryError.self, "prefix of \(length)") { try HandOffCodec.handOver(prefix.span) }
        }
        for index in message.indices {
            for bit in 0..<8 {
                var corrupted = message
                corrupted[index] ^= 1 << bit
                // Frames have checksums; whatever gets past them is refused, or is another message.
                _ = try? HandOffCodec.handOver(corrupted.span)
            }
        }
        var offer: [UInt8] = []
        HandOffCodec.append(offer: [Slot(1), Slot(900)], to: &offer)
        for length in 0..<offer.count {
            let prefix = Array(offer[..<length])
            #expect(throws: BinaryError.self, "prefix of \(length)") { try HandOffCodec.offer(prefix.span) }
        }
    }

    @Test func `more slots than a message may hold are refused`() {
        var offer: [UInt8] = []
        HandOffCodec.append(offer: (0...256).map { Slot(UInt16($0)) }, to: &offer)
        #expect(throws: BinaryError.self) { try HandOffCodec.offer(offer.span) }
        #expect(throws: BinaryError.self) { try HandOffCodec.offer([3, 1, 0x80, 0x20].span) }
    }
}
