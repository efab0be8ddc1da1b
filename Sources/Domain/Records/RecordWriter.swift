// Gathers the payload of one journal row: the records of one slot's campaigns, in the order in which they happened.
//
//   payload  = version (1 byte), record…
//   record   = kind, campaign (16), fields          an event that is not a vote
//            | 1, campaign (16), poll (16), count (4), vote…        a run: votes of one poll that follow one another
//   vote     = choice (2), voter (16) where bit 13 is set, pair of voter and key (16) where bit 14 is set
//
// A run's header is written once and its count filled in when the run ends: 2 to 34 bytes a vote.

public import Protocol

/// Writes the payload of a journal row. Appending a vote copies 2 to 34 bytes and allocates nothing once the buffer
/// has grown.
public struct RecordWriter: Sendable {
    private var storage: [UInt8] = []
    private var used = 0
    private var run: Run?
    private var runCount: UInt32 = 0
    /// Votes in the payload so far.
    public private(set) var voteCount = 0

    private struct Run {
        var campaign: CampaignID
        var poll: PollID
        var countOffset: Int
    }

    static let voterBit: UInt16 = 0x2000
    static let pairBit: UInt16 = 0x4000
    static let voteBytesLimit = 2 + 16 + 16

    /// An empty writer; it allocates with the first record.
    public init() {}

    /// Whether nothing was appended since the last `take()`.
    public var isEmpty: Bool { used == 0 }

    /// Bytes of the payload so far.
    public var byteCount: Int { used }

    /// Appends an event; votes that follow one another in one poll share a header.
    public mutating func append(_ event: CampaignEvent, campaign: CampaignID) {
        if case .voted(let vote) = event {
            appendVote(
                campaign: campaign, poll: vote.poll, choice: vote.choice, voter: vote.voter, pair: vote.pair)
            return
        }
        closeRun()
        beginPayload()
        var record: [UInt8] = []
        event.encode(campaign: campaign, into: &record)
        appendBytes(record)
    }

    /// The payload, complete; the writer is empty afterwards and keeps its buffer for the next.
    public mutating func take() -> [UInt8] {
        closeRun()
        let payload = Array(storage[..<used])
        used = 0
        voteCount = 0
        return payload
    }

    @inline(__always)
    mutating func appendVote(campaign: CampaignID, poll: PollID, choice: Choice, voter: Hash128?, pair: Hash128?) {
        if run.map({ $0.poll != poll || $0.campaign != campaign }) ?? true { openRun(campaign, poll) }
        reserve(Self.voteBytesLimit)
        let head = choice.bits | (voter == nil ? 0 : Self.voterBit) | (pair == nil ? 0 : Self.pairBit)
        var offset = used
        var span = storage.mutableSpan
        // Sound: stores check their bounds, and every bit pattern is a value of UInt8.
        var bytes = unsafe span.mutableBytes
        bytes.storeBytes(of: head.littleEndian, toByteOffset: offset, as: UInt16.self)
        offset += 2
        if let voter { Self.store(voter, at: &offset, in: &bytes) }
        if let pair { Self.store(pair, at: &offset, in: &bytes) }
        used = offset
        runCount += 1
        voteCount += 1
    }

    @inline(__always)
    private static func store(_ hash: Hash128, at offset: inout Int, in bytes: inout MutableRawSpan) {
        bytes.storeBytes(of: hash.high.littleEndian, toByteOffset: offset, as: UInt64.self)
        bytes.storeBytes(of: hash.low.littleEndian, toByteOffset: offset + 8, as: UInt64.self)
        offset += 16
    }

    private mutating func openRun(_ campaign: CampaignID, _ poll: PollID) {
        closeRun()
        beginPayload()
        var header: [UInt8] = [RecordKind.voteRun.rawValue]
        header.appendUUID(campaign.uuid)
        header.appendUUID(poll.uuid)
        run = Run(campaign: campaign, poll: poll, countOffset: used + header.count)
        header.appendInteger(UInt32(0))
        appendBytes(header)
    }

    private mutating func closeRun() {
        guard let run else { return }
        for index in 0..<4 {
            storage[run.countOffset + index] = UInt8(truncatingIfNeeded: runCount >> UInt32(8 * index))
        }
        self.run = nil
        runCount = 0
    }

    private mutating func beginPayload() {
        if used == 0 { appendBytes([RecordKind.version]) }
    }

    private mutating func appendBytes(_ bytes: [UInt8]) {
        reserve(bytes.count)
        for index in bytes.indices { storage[used + index] = bytes[index] }
        used += bytes.count
    }

    @inline(__always)
    private mutating func reserve(_ count: Int) {
        if storage.count - used < count { grow(by: count) }
    }

    private mutating func grow(by count: Int) {
        storage.append(contentsOf: repeatElement(0, count: max(storage.count, count, 4096)))
    }
}
