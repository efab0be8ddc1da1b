// Reads what `RecordWriter` wrote. Bytes come from a checksummed journal, yet nothing in them can crash a reader: a
// record that is malformed, or that does not fit the state which it should follow, is refused with its offset.

public import Protocol

/// A journal payload that cannot be applied, and where.
public struct RecordError: Error, Sendable, Equatable {
    /// What is wrong.
    public let fault: DecodeFault
    /// Bytes from the payload's start; the reader had come that far.
    public let offset: Int

    init(_ fault: DecodeFault, offset: Int) {
        self.fault = fault
        self.offset = offset
    }
}

/// Reads the payloads of journal rows.
public struct RecordReader {
    /// How much a replay applied.
    public struct Applied: Sendable, Equatable {
        /// Events other than votes.
        public var events = 0
        /// Votes.
        public var votes = 0
    }

    /// Applies a payload to the campaigns that it speaks of; `created` adds one. Votes take the fast path.
    ///
    /// - Parameters:
    ///   - campaigns: the states before this row. After an error they are partly changed: drop them.
    ///     Once the last row is in, `Campaign.endReplay` gives back the room that their tables took to grow fast.
    ///   - accepts: records of other campaigns are read over (those whose snapshot already holds this row).
    /// - Throws: `RecordError`; then the row must not be used, nor anything after it.
    public static func replay(
        _ payload: Span<UInt8>, into campaigns: inout [CampaignID: Campaign],
        where accepts: (CampaignID) -> Bool = { _ in true }
    ) throws(RecordError) -> Applied {
        var applied = Applied()
        var cursor = ByteCursor(payload)
        do throws(DecodeFault) {
            try readVersion(&cursor, payload)
            while cursor.remaining > 0 {
                let (kind, id) = try readHead(&cursor, payload)
                if kind == .voteRun {
                    let (poll, count) = try readRunHead(&cursor, payload)
                    if accepts(id) {
                        try replayRun(of: count, in: poll, into: &campaigns[id], id, &cursor, payload)
                        applied.votes += count
                    } else {
                        for _ in 0..<count { _ = try readVote(&cursor, payload) }
                    }
                } else {
                    let event = try CampaignEvent(kind, &cursor, payload)
                    guard accepts(id) else { continue }
                    try replayEvent(event, into: &campaigns[id], id)
                    applied.events += 1
                }
            }
        } catch {
            throw RecordError(error, offset: cursor.offset)
        }
        return applied
    }

    /// Reads a payload as events, votes among them, without a state to check them against.
    /// - Throws: `RecordError` where the bytes are malformed; events before that point were delivered.
    public static func events(
        in payload: Span<UInt8>, deliver: (CampaignID, CampaignEvent) -> Void
    ) throws(RecordError) {
        var cursor = ByteCursor(payload)
        do throws(DecodeFault) {
            try readVersion(&cursor, payload)
            while cursor.remaining > 0 {
                let (kind, id) = try readHead(&cursor, payload)
                guard kind == .voteRun else {
                    deliver(id, try CampaignEvent(kind, &cursor, payload))
                    continue
                }
                let (poll, count) = try readRunHead(&cursor, payload)
                for _ in 0..<count {
                    let vote = try readVote(&cursor, payload)
                    let record = VoteRecord(
                        poll: poll, option: vote.choice.option, channel: vote.choice.channel, voter: vote.voter,
                        pair: vote.pair)
                    deliver(id, .voted(record))
                }
            }
        } catch {
            throw RecordError(error, offset: cursor.offset)
        }
    }

    private static func readVersion(_ cursor: inout ByteCursor, _ payload: Span<UInt8>) throws(DecodeFault) {
        let version = try cursor.integer(UInt8.self, payload)
        guard version == RecordKind.version else { throw .unknownVersion(version) }
    }

    private static func readHead(
        _ cursor: inout ByteCursor, _ payload: Span<UInt8>
    ) throws(DecodeFault) -> (RecordKind, CampaignID) {
        let byte = try cursor.integer(UInt8.self, payload)
        guard let kind = RecordKind(rawValue: byte) else { throw .unknownKind(byte) }
        return (kind, CampaignID(try cursor.uuid(payload)))
    }

    private static func readRunHead(
        _ cursor: inout ByteCursor, _ payload: Span<UInt8>
    ) throws(DecodeFault) -> (PollID, Int) {
        let poll = PollID(try cursor.uuid(payload))
        let count = try cursor.count(upTo: Int(UInt32.max), minimumBytes: 2, payload)
        guard count > 0 else { throw .invalidValue }
        return (poll, count)
    }

    @inline(__always)
    private static func readVote(
        _ cursor: inout ByteCursor, _ payload: Span<UInt8>
    ) throws(DecodeFault) -> (choice: Choice, voter: Hash128?, pair: Hash128?) {
        let head = try cursor.integer(UInt16.self, payload)
        let known = Choice.meaningfulBits | RecordWriter.voterBit | RecordWriter.pairBit
        guard head & ~known == 0, head & Choice.channelBit != 0 || head & 0x7F8 == 0 else { throw .invalidValue }
        var voter: Hash128?
        var pair: Hash128?
        if head & RecordWriter.voterBit != 0 { voter = try readStored(&cursor, payload) }
        if head & RecordWriter.pairBit != 0 { pair = try readStored(&cursor, payload) }
        return (Choice(bits: head), voter, pair)
    }

    @inline(__always)
    private static func readStored(_ cursor: inout ByteCursor, _ payload: Span<UInt8>) throws(DecodeFault) -> Hash128 {
        let hash = try cursor.hash(payload)
        guard hash != .empty else { throw .invalidValue }
        return hash
    }

    private static func replayEvent(
        _ event: CampaignEvent, into campaign: inout Campaign?, _ id: CampaignID
    ) throws(DecodeFault) {
        if case .created(let created) = event {
            guard campaign == nil, created.id == id else { throw .inconsistent }
            campaign = Campaign(created)
            return
        }
        guard let fits = campaign?.fits(event) else { throw .unknownCampaign(id) }
        guard fits else { throw .inconsistent }
        campaign?.evolve(event)
    }

    private static func replayRun(
        of count: Int, in poll: PollID, into campaign: inout Campaign?, _ id: CampaignID, _ cursor: inout ByteCursor,
        _ payload: Span<UInt8>
    ) throws(DecodeFault) {
        guard campaign != nil else { throw .unknownCampaign(id) }
        guard campaign?.running?.definition.id == poll else { throw .inconsistent }
        try campaign?.running?.replayVotes(count, &cursor, payload)
    }

    @inline(__always)
    fileprivate static func nextVote(
        _ cursor: inout ByteCursor, _ payload: Span<UInt8>
    ) throws(DecodeFault) -> (choice: Choice, voter: Hash128?, pair: Hash128?) {
        try readVote(&cursor, payload)
    }
}

extension RunningPoll {
    /// Applies the votes of one run. Each left a trace when it was journaled, so one that leaves none is refused.
    fileprivate mutating func replayVotes(
        _ count: Int, _ cursor: inout ByteCursor, _ payload: Span<UInt8>
    ) throws(DecodeFault) {
        beginReplay()
        for _ in 0..<count {
            let vote = try RecordReader.nextVote(&cursor, payload)
            guard allows(vote.choice, voter: vote.voter) else { throw .inconsistent }
            let status = apply(vote.choice, voter: vote.voter, pair: vote.pair)
            guard Self.isJournaled(status, hasKey: vote.pair != nil) else { throw .inconsistent }
        }
    }
}

extension Campaign {
    /// Ends a replay: the tables of the running poll take the room that they need, and no more.
    public mutating func endReplay() { running?.endReplay() }
}
