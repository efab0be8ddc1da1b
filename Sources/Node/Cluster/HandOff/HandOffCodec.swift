// What two nodes say to each other while slots move from one to the other, in good order.
//
//   offer      form 3, then a count of: slot                 answered by: a count of: slot, 0 or lsn + 1
//   hand over  form 4, then a count of: slot, epoch, tail,   answered by: a count of: slot
//              campaigns
//   campaign   id, state hash (8), floor, ends, events, update?
//
// The journal holds the state; what travels here is the recent past of the streams, so that followers go on without
// starting over, and hashes that show both owners to have the same state.

import Protocol

/// What became of an offered slot.
struct OfferAnswer: Hashable, Sendable {
    let slot: Slot
    /// The row up to which the receiver has read it beforehand; `nil` where it does not take the slot.
    let through: UInt64?
}

/// A slot that was given away.
struct HandedSlot: Sendable {
    let slot: Slot
    /// The epoch that began with the cession.
    let epoch: UInt64
    /// The newest row of the epoch before.
    let tail: UInt64
    let campaigns: [HandedCampaign]
}

enum HandOffCodec {
    /// Slots of one message.
    static let slotsLimit = 256
    /// Bytes after which no further slot is put into a message.
    static let messageBytesTarget = 256 * 1024
    /// Bytes of one slot's streams. The largest streams lose their oldest events first.
    static let slotBytesLimit = 512 * 1024
    /// Bytes of one campaign's stream.
    static let streamBytesLimit = 128 * 1024

    // MARK: - Offers

    static func append(offer slots: [Slot], to output: inout [UInt8]) {
        output.append(RoadCodec.Form.offer.rawValue)
        append(slots, to: &output)
    }

    static func offer(_ bytes: Span<UInt8>) throws(BinaryError) -> [Slot] {
        try RoadCodec.whole(bytes) { (cursor) throws(BinaryError) in
            try form(.offer, &cursor, bytes)
            return try slots(&cursor, bytes)
        }
    }

    static func append(answers: [OfferAnswer], to output: inout [UInt8]) {
        BinaryWriter.count(answers.count, to: &output)
        for answer in answers {
            BinaryWriter.unsigned(UInt64(answer.slot.index), to: &output)
            BinaryWriter.unsigned(answer.through.map { $0 + 1 } ?? 0, to: &output)
        }
    }

    static func answers(_ bytes: Span<UInt8>) throws(BinaryError) -> [OfferAnswer] {
        try RoadCodec.whole(bytes) { (cursor) throws(BinaryError) in
            var answers: [OfferAnswer] = []
            for _ in 0..<(try cursor.count(bytes, limit: slotsLimit, "slots")) {
                let slot = try slot(&cursor, bytes)
                let through = try cursor.unsigned(bytes)
                answers.append(OfferAnswer(slot: slot, through: through == 0 ? nil : through - 1))
            }
            return answers
        }
    }

    // MARK: - Handing over

    /// As many messages as the slots need.
    static func messages(_ slots: [HandedSlot]) -> [[UInt8]] {
        var messages: [[UInt8]] = []
        var pieces: [[UInt8]] = []
        var bytes = 0
        func close() {
            guard !pieces.isEmpty else { return }
            var message: [UInt8] = []
            message.reserveCapacity(bytes + 32)
            message.append(RoadCodec.Form.handOver.rawValue)
            BinaryWriter.count(pieces.count, to: &message)
            for piece in pieces { message.append(contentsOf: piece) }
            messages.append(message)
            pieces = []
            bytes = 0
        }
        for slot in slots {
            let piece = piece(slot)
            if pieces.count == slotsLimit || bytes + piece.count > messageBytesTarget { close() }
            pieces.append(piece)
            bytes += piece.count
        }
        close()
        return messages
    }

    private static func piece(_ slot: HandedSlot) -> [UInt8] {
        var output: [UInt8] = []
        BinaryWriter.unsigned(UInt64(slot.slot.index), to: &output)
        BinaryWriter.unsigned(slot.epoch, to: &output)
        BinaryWriter.unsigned(slot.tail, to: &output)
        var streams: [[UInt8]] = []
        var bytes = output.count
        for campaign in slot.campaigns {
            let stream = stream(campaign, limit: min(streamBytesLimit, slotBytesLimit - bytes))
            // A slot of very many campaigns: those that do not fit are read from the journal alone.
            guard bytes + stream.count <= slotBytesLimit else { break }
            streams.append(stream)
            bytes += stream.count
        }
        BinaryWriter.count(streams.count, to: &output)
        for stream in streams { output.append(contentsOf: stream) }
        return output
    }

    private static func stream(_ campaign: HandedCampaign, limit: Int) -> [UInt8] {
        var encoded: [[UInt8]] = []
        var bytes = 0
        for event in campaign.past.events.reversed() {
            var frame: [UInt8] = []
            RoadCodec.append(.event(event.event), to: &frame)
            guard bytes + frame.count <= limit else { break }
            bytes += frame.count
            encoded.append(frame)
        }
        let past = campaign.past.droppingFirst(campaign.past.events.count - encoded.count)
        var output: [UInt8] = []
        output.reserveCapacity(bytes + 64)
        BinaryWriter.uuid(campaign.id.uuid, to: &output)
        append(word: campaign.stateHash, to: &output)
        BinaryWriter.position(past.floor, to: &output)
        BinaryWriter.count(past.ends.count, to: &output)
        for end in past.ends { BinaryWriter.position(end, to: &output) }
        BinaryWriter.count(encoded.count, to: &output)
        for frame in encoded.reversed() { output.append(contentsOf: frame) }
        output.append(past.latestUpdate == nil ? 0 : 1)
        if let update = past.latestUpdate { RoadCodec.append(.event(update.event), to: &output) }
        return output
    }

    static func handOver(_ bytes: Span<UInt8>) throws(BinaryError) -> [HandedSlot] {
        try RoadCodec.whole(bytes) { (cursor) throws(BinaryError) in
            try form(.handOver, &cursor, bytes)
            var slots: [HandedSlot] = []
            for _ in 0..<(try cursor.count(bytes, limit: slotsLimit, "slots")) {
                slots.append(try handed(&cursor, bytes))
            }
            return slots
        }
    }

    private static func handed(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> HandedSlot {
        let slot = try slot(&cursor, bytes)
        let epoch = try cursor.unsigned(bytes)
        let tail = try cursor.unsigned(bytes)
        var campaigns: [HandedCampaign] = []
        for _ in 0..<(try cursor.count(bytes, limit: bytes.count, "campaigns")) {
            campaigns.append(try campaign(&cursor, bytes))
        }
        return HandedSlot(slot: slot, epoch: epoch, tail: tail, campaigns: campaigns)
    }

    private static func campaign(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> HandedCampaign {
        let id = CampaignID(try cursor.uuid(bytes, "campaign"))
        let hash = try word(&cursor, bytes)
        let floor = try cursor.position(bytes, "floor")
        var ends: [Position] = []
        for _ in 0..<(try cursor.count(bytes, limit: StreamPast.endsLimit, "ends")) {
            ends.append(try cursor.position(bytes, "end"))
        }
        var events: [SharedEvent] = []
        for _ in 0..<(try cursor.count(bytes, limit: bytes.count, "events")) {
            events.append(try event(&cursor, bytes))
        }
        let update = try RoadCodec.flag(&cursor, bytes) ? try event(&cursor, bytes) : nil
        return HandedCampaign(
            id: id, stateHash: hash, past: StreamPast(floor: floor, ends: ends, events: events, latestUpdate: update))
    }

    static func append(served slots: [Slot], to output: inout [UInt8]) { append(slots, to: &output) }

    static func served(_ bytes: Span<UInt8>) throws(BinaryError) -> [Slot] {
        try RoadCodec.whole(bytes) { (cursor) throws(BinaryError) in try slots(&cursor, bytes) }
    }

    // MARK: - Pieces

    private static func append(_ slots: [Slot], to output: inout [UInt8]) {
        BinaryWriter.count(slots.count, to: &output)
        for slot in slots { BinaryWriter.unsigned(UInt64(slot.index), to: &output) }
    }

    private static func slots(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> [Slot] {
        var slots: [Slot] = []
        for _ in 0..<(try cursor.count(bytes, limit: slotsLimit, "slots")) { slots.append(try slot(&cursor, bytes)) }
        return slots
    }

    private static func form(
        _ expected: RoadCodec.Form, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) {
        guard try RoadCodec.form(&cursor, bytes) == expected else { throw .unknownKind }
    }

    private static func slot(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> Slot {
        Slot(UInt16(try RoadCodec.bounded(&cursor, bytes, "slot", 0...UInt64(Slot.count - 1))))
    }

    private static func event(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> SharedEvent {
        guard case .event(let event) = try RoadCodec.message(&cursor, bytes) else { throw .unknownKind }
        return SharedEvent(event)
    }

    private static func append(word: UInt64, to output: inout [UInt8]) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { output.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }

    private static func word(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 8) { value |= UInt64(try cursor.byte(bytes)) << shift }
        return value
    }
}
