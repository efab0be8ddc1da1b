// What nodes ask each other about themselves, for whoever asks any of them: forms 5 and 6 of a request. They are answered
// by the node that is asked, not by the owner of a slot, and change nothing.
//
//   status     form 5                  answered by: campaigns, connections, version, served, count, then for each slot on
//                                      its way: slot, step
//   campaign   form 6, campaign        answered by: clients, owner?
//   owner      epoch, lsn, active, deleted, seq, poll?

import Protocol

/// What a node is asked about itself.
enum PeerQuestion: Sendable, Equatable {
    /// Milliseconds that an answer may take.
    static let milliseconds: UInt32 = 1000

    case status
    case campaign(CampaignID)
}

/// Where in its move a slot is, by the node that has to do with it.
enum MoveStep: UInt8, Sendable, CaseIterable {
    /// Its owner is letting go of it.
    case releasing = 1
    /// Its owner has yet to read its content.
    case opening = 2
}

/// What a node says of itself.
struct PeerStatus: Sendable, Equatable {
    /// In memory.
    let campaigns: UInt64
    /// Of clients.
    let connections: UInt64
    /// The newest placement table that it knows; 0 where it knows none.
    var tableVersion: UInt64 = 0
    /// Slots whose commands it applies: open, not on their way to another node, not fenced.
    var served = SlotSet()
    /// Slots on their way that it has to do with.
    let steps: [Slot: MoveStep]
}

/// What a node says of a campaign.
struct PeerCampaign: Sendable, Equatable {
    /// Clients at this node that follow it.
    let clients: UInt64
    /// What its owner knows, if that is this node.
    let look: CampaignLook?
}

extension RoadCodec {
    static func append(_ question: PeerQuestion, to output: inout [UInt8]) {
        switch question {
        case .status: output.append(Form.status.rawValue)
        case .campaign(let campaign):
            output.append(Form.campaignStatus.rawValue)
            BinaryWriter.uuid(campaign.uuid, to: &output)
        }
    }

    /// Reads a whole body.
    static func question(_ bytes: Span<UInt8>) throws(BinaryError) -> PeerQuestion {
        var cursor = BinaryCursor()
        let question: PeerQuestion
        switch try form(&cursor, bytes) {
        case .status: question = .status
        case .campaignStatus: question = .campaign(CampaignID(try cursor.uuid(bytes, "campaign")))
        case .commands, .creation, .offer, .handOver: throw .unknownKind
        }
        try cursor.finish(bytes)
        return question
    }

    // MARK: - Answers

    static func append(_ status: PeerStatus, to output: inout [UInt8]) {
        BinaryWriter.unsigned(status.campaigns, to: &output)
        BinaryWriter.unsigned(status.connections, to: &output)
        BinaryWriter.unsigned(status.tableVersion, to: &output)
        let served = status.served.shortest
        BinaryWriter.count(served.count, to: &output)
        output.append(contentsOf: served)
        BinaryWriter.count(status.steps.count, to: &output)
        for (slot, step) in status.steps.sorted(by: { $0.key.index < $1.key.index }) {
            BinaryWriter.unsigned(UInt64(slot.index), to: &output)
            output.append(step.rawValue)
        }
    }

    static func status(_ bytes: Span<UInt8>) throws(BinaryError) -> PeerStatus {
        var cursor = BinaryCursor()
        let campaigns = try cursor.unsigned(bytes)
        let connections = try cursor.unsigned(bytes)
        let tableVersion = try cursor.unsigned(bytes)
        var served: [UInt8] = []
        for _ in 0..<(try cursor.count(bytes, limit: SlotSet.byteCount, "served")) {
            served.append(try cursor.byte(bytes))
        }
        var steps: [Slot: MoveStep] = [:]
        for _ in 0..<(try cursor.count(bytes, limit: Slot.count, "steps")) {
            let slot = try cursor.unsigned(bytes)
            guard slot < UInt64(Slot.count) else { throw .field("slot", "must be below \(Slot.count)") }
            // A later release may know more steps; the slot moves in any case.
            steps[Slot(UInt16(slot))] = MoveStep(rawValue: try cursor.byte(bytes)) ?? .releasing
        }
        try cursor.finish(bytes)
        return PeerStatus(
            campaigns: campaigns, connections: connections, tableVersion: tableVersion, served: SlotSet(first: served),
            steps: steps)
    }

    static func append(_ campaign: PeerCampaign, to output: inout [UInt8]) {
        BinaryWriter.unsigned(campaign.clients, to: &output)
        output.append(campaign.look == nil ? 0 : 1)
        guard let look = campaign.look else { return }
        BinaryWriter.unsigned(look.slot.epoch, to: &output)
        BinaryWriter.unsigned(look.slot.tail, to: &output)
        output.append(look.isActive ? 1 : 0)
        output.append(look.isDeleted ? 1 : 0)
        BinaryWriter.unsigned(look.seq, to: &output)
        output.append(look.runningPoll == nil ? 0 : 1)
        if let poll = look.runningPoll { BinaryWriter.uuid(poll.uuid, to: &output) }
    }

    static func campaign(_ bytes: Span<UInt8>) throws(BinaryError) -> PeerCampaign {
        var cursor = BinaryCursor()
        let clients = try cursor.unsigned(bytes)
        var look: CampaignLook?
        if try flag(&cursor, bytes) {
            let slot = SlotLook(epoch: try cursor.unsigned(bytes), tail: try cursor.unsigned(bytes))
            let isActive = try flag(&cursor, bytes)
            let isDeleted = try flag(&cursor, bytes)
            let seq = try cursor.unsigned(bytes)
            let poll = try flag(&cursor, bytes) ? PollID(try cursor.uuid(bytes, "poll")) : nil
            look = CampaignLook(slot: slot, isActive: isActive, isDeleted: isDeleted, seq: seq, runningPoll: poll)
        }
        try cursor.finish(bytes)
        return PeerCampaign(clients: clients, look: look)
    }
}
