// A campaign as bytes, version 1, and back. The bytes are canonical: states that are equal have equal snapshots,
// whatever way they came about, since voters and keys are written in ascending order of their hashes.
//
//   version (1) · created fields · name, description, deletedAt · finished polls, oldest first · remembered replies,
//   oldest first · the running poll: definition, voter key, passed mark, counts, voters, keys
//
// A decoder trusts nothing: each count is checked against what remains before it allocates, and counts, voters and
// channels must agree with each other.

import Protocol

/// A snapshot that cannot be used, and where it went wrong.
public struct SnapshotError: Error, Sendable, Equatable {
    /// What is wrong.
    public let fault: DecodeFault
    /// Bytes from the snapshot's start; the decoder had come that far.
    public let offset: Int
}

extension Campaign {
    /// The format version that begins a snapshot.
    static let snapshotVersion: UInt8 = 1

    /// About as many bytes as `encodeSnapshot(into:)` would append. O(channels of the running poll).
    public var approximateSnapshotBytes: Int {
        var bytes = 128 + (ownerId?.utf8.count ?? 0) + name.utf8.count + (description?.utf8.count ?? 0)
        bytes += historyBytes + replies.encodedBytes
        if let running {
            bytes += running.definition.encodedBytes + running.tally.encodedBytes + 28
            bytes += running.voters.count * 18 + running.keys.count * 16
        }
        return bytes
    }

    /// Appends the snapshot. A copy of the campaign may be encoded on another thread while the original changes.
    public func encodeSnapshot(into output: inout [UInt8]) {
        output.reserveCapacity(output.count + approximateSnapshotBytes)
        encodeState(into: &output)
        guard let running else { return }
        Self.append(running.voters, payloads: true, to: &output)
        Self.append(running.keys, payloads: false, to: &output)
    }

    /// A digest of the whole state: equal for equal states, live or replayed. O(voters).
    public var stateHash: UInt64 {
        var bytes: [UInt8] = []
        encodeState(into: &bytes)
        var digest: UInt64 = 0x1D8E_4E27_C47D_124F ^ UInt64(bytes.count)
        var word: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            word = word << 8 | UInt64(byte)
            if index & 7 == 7 { digest = foldedProduct(digest ^ word, 0xEB44_ACCA_B455_D165) &+ word }
        }
        digest = foldedProduct(digest ^ word, 0x9C6E_6877_736C_46E3)
        guard let running else { return digest }
        digest = foldedProduct(digest ^ running.voters.digest, 0x5897_89B7_92E3_77CF)
        return foldedProduct(digest ^ running.keys.digest, 0xC2B2_AE3D_27D4_EB4F)
    }

    /// Everything but the tables of voters and keys.
    private func encodeState(into output: inout [UInt8]) {
        output.append(Self.snapshotVersion)
        let created = CampaignCreated(
            id: id, ownerId: ownerId, name: name, description: description, creationKey: creationKey,
            creationBody: creationBody, at: createdAt)
        created.encode(into: &output)
        output.append(deletedAt == nil ? 0 : 1)
        if let deletedAt { output.appendTimestamp(deletedAt) }
        output.appendInteger(UInt32(history.count))
        for poll in history {
            poll.definition.encode(into: &output)
            output.append(poll.status.rawValue)
            output.appendTimestamp(poll.endedAt)
            poll.tally.encode(into: &output)
        }
        output.appendInteger(UInt32(replies.count))
        for entry in replies.entries {
            output.appendHash(entry.key)
            output.appendHash(entry.body)
            output.appendTimestamp(entry.at)
            output.appendInteger(entry.reply.status)
            output.appendInteger(UInt32(entry.reply.bytes.count))
            output.append(contentsOf: entry.reply.bytes)
        }
        output.append(running == nil ? 0 : 1)
        guard let running else { return }
        running.definition.encode(into: &output)
        output.appendHash(running.voterKey)
        output.appendInteger(UInt32(running.countdown.passedMark))
        running.tally.encode(into: &output)
    }

    private static func append(_ table: HashTable, payloads: Bool, to output: inout [UInt8]) {
        output.appendInteger(UInt32(table.count))
        var offset = output.count
        output.append(contentsOf: repeatElement(0, count: table.count * (payloads ? 18 : 16)))
        var span = output.mutableSpan
        // Sound: stores check their bounds, and every bit pattern is a value of UInt8.
        var bytes = unsafe span.mutableBytes
        for segment in table.segmentsInOrder {
            for index in segment.hashes.indices where segment.hashes[index] != .empty {
                let hash = segment.hashes[index]
                bytes.storeBytes(of: hash.high.littleEndian, toByteOffset: offset, as: UInt64.self)
                bytes.storeBytes(of: hash.low.littleEndian, toByteOffset: offset + 8, as: UInt64.self)
                offset += 16
                if payloads {
                    bytes.storeBytes(
                        of: segment.payloads[index].littleEndian, toByteOffset: offset, as: UInt16.self)
                    offset += 2
                }
            }
        }
    }
}

extension Campaign {
    /// Decodes a snapshot, all of it.
    /// - Throws: `SnapshotError` for bytes that no campaign has as its snapshot.
    public init(snapshot bytes: Span<UInt8>) throws(SnapshotError) {
        var cursor = ByteCursor(bytes)
        do throws(DecodeFault) {
            self = try Self.decode(&cursor, bytes)
            guard cursor.remaining == 0 else { throw .trailingBytes }
        } catch {
            throw SnapshotError(fault: error, offset: cursor.offset)
        }
    }

    private static func decode(_ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) -> Campaign {
        let version = try cursor.integer(UInt8.self, bytes)
        guard version == snapshotVersion else { throw .unknownVersion(version) }
        var campaign = Campaign(try CampaignCreated(&cursor, bytes))
        if try cursor.flag(bytes) { campaign.deletedAt = try cursor.timestamp(bytes) }
        try campaign.decodeHistory(&cursor, bytes)
        try campaign.decodeReplies(&cursor, bytes)
        if try cursor.flag(bytes) {
            let poll = try RunningPoll(&cursor, bytes)
            guard !campaign.isDeleted, campaign.finished(poll.definition.id) == nil else { throw .inconsistent }
            campaign.running = poll
        }
        return campaign
    }

    private mutating func decodeHistory(_ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        let count = try cursor.count(upTo: Self.historyLimit, minimumBytes: 48, bytes)
        guard count == 0 || !isDeleted else { throw .inconsistent }
        var known: Set<PollID> = []
        for _ in 0..<count {
            let definition = try PollDefinition(&cursor, bytes)
            guard known.insert(definition.id).inserted else { throw .inconsistent }
            guard let status = PollStatus(rawValue: try cursor.integer(UInt8.self, bytes)), status != .running else {
                throw .invalidValue
            }
            let endedAt = try cursor.timestamp(bytes)
            let tally = try PollTally(optionCount: definition.options.count, &cursor, bytes)
            let poll = FinishedPoll(definition: definition, status: status, endedAt: endedAt, tally: tally)
            history.append(poll)
            historyBytes += poll.encodedBytes
        }
    }

    private mutating func decodeReplies(_ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        let limit = Limits.idempotencyKeysPerCampaignLimit
        let count = try cursor.count(upTo: limit, minimumBytes: ReplyMemory.entryOverheadBytes, bytes)
        for _ in 0..<count {
            let key = try cursor.hash(bytes)
            let body = try cursor.hash(bytes)
            let at = try cursor.timestamp(bytes)
            let status = try cursor.integer(UInt16.self, bytes)
            let length = try cursor.count(upTo: RecordKind.replyBytesLimit, minimumBytes: 1, bytes)
            let reply = RememberedReply(status: status, bytes: try cursor.bytes(length, bytes))
            guard replies.restore(ReplyMemory.Entry(key: key, body: body, at: at, reply: reply)) else {
                throw .inconsistent
            }
        }
    }
}

extension RunningPoll {
    fileprivate init(_ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        let definition = try PollDefinition(&cursor, bytes)
        let voterKey = try cursor.hash(bytes)
        let passedMark = Int(try cursor.integer(UInt32.self, bytes))
        guard passedMark <= definition.durationSeconds else { throw .invalidValue }
        let tally = try PollTally(optionCount: definition.options.count, &cursor, bytes)
        let voters = try HashTable(hasPayloads: true, &cursor, bytes)
        let keys = try HashTable(hasPayloads: false, &cursor, bytes)
        guard Self.agree(definition.type, tally, voters) else { throw .inconsistent }
        self.init(
            definition: definition, voterKey: voterKey, tally: tally, voters: voters, keys: keys,
            countdown: Countdown(durationSeconds: definition.durationSeconds, passedMark: passedMark))
    }

    /// A UNIQUE poll's counts are those of its voters, to the channel; a STANDARD poll has no voters.
    private static func agree(_ type: PollType, _ tally: PollTally, _ voters: HashTable) -> Bool {
        guard type == .unique else { return voters.count == 0 }
        var recount = PollTally(optionCount: tally.votes.count)
        for channel in tally.channels { recount.addChannel(channel) }
        var isAllowed = true
        voters.forEach { _, payload in
            let choice = Choice(bits: payload)
            guard payload == choice.bits, choice.channel != nil || payload & 0x7F8 == 0, recount.allows(choice) else {
                isAllowed = false
                return
            }
            recount.add(choice)
        }
        return isAllowed && recount == tally
    }
}

extension HashTable {
    fileprivate init(hasPayloads: Bool, _ cursor: inout ByteCursor, _ bytes: Span<UInt8>) throws(DecodeFault) {
        let count = try cursor.count(upTo: Self.countLimit, minimumBytes: hasPayloads ? 18 : 16, bytes)
        var builder = Builder(count: count, hasPayloads: hasPayloads)
        var last = Hash128.empty
        for _ in 0..<count {
            let hash = try cursor.hash(bytes)
            guard last < hash else { throw .inconsistent }
            last = hash
            builder.append(hash, payload: hasPayloads ? try cursor.integer(UInt16.self, bytes) : 0)
        }
        self = builder.finish()
    }
}
