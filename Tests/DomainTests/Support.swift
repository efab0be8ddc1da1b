// Fixtures of the domain's tests: fixed times and ids, a seeded generator, and short ways to say common things.

import Protocol
import Testing

@testable import Domain

/// SplitMix64: tests draw from it, so that a seed names a run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

let start = Timestamp(milliseconds: 1_760_000_000_000)
let origin = Position(epoch: 1, seq: 0)

func campaignID(_ number: UInt64) -> CampaignID { CampaignID(UUIDv7(at: start, random: UInt128(number))) }
func pollID(_ number: UInt64) -> PollID { PollID(UUIDv7(at: start, random: UInt128(number) << 32)) }

/// A uniform hash that a number names.
func hash(_ number: UInt64) -> Hash128 {
    var generator = SeededGenerator(seed: number)
    return Hash128(high: generator.next(), low: generator.next())
}

func seconds(_ value: Double) -> Timestamp { start.advanced(byMilliseconds: Int64(value * 1000)) }

/// A campaign with its journal: applies what it decides, as the shell does.
struct Stage {
    var campaign: Campaign
    var journal = RecordWriter()
    var now = start

    init(_ number: UInt64 = 1) throws {
        let draft = try NewCampaign(id: campaignID(number), ownerId: "ada", name: "The Keep", description: nil)
        let created = Campaign.decideCreate(draft, at: start)
        campaign = try Campaign(created: created)
        journal.append(created, campaign: campaign.id)
    }

    mutating func apply(_ events: [CampaignEvent]) {
        for event in events {
            journal.append(event, campaign: campaign.id)
            campaign.evolve(event)
        }
    }

    /// Moves the time and applies what is due.
    @discardableResult
    mutating func advance(to time: Timestamp) -> [CampaignEvent] {
        now = time
        let due = campaign.dueEvents(at: time)
        apply(due)
        return due
    }

    @discardableResult
    mutating func run(_ command: CampaignCommand) throws(ClientError) -> [CampaignEvent] {
        advance(to: now)
        let events = try campaign.decide(command, at: now)
        apply(events)
        return events
    }

    @discardableResult
    mutating func launch(
        _ number: UInt64 = 1, type: PollType = .unique, options: Int = 3, duration: Int = 60
    ) throws -> PollID {
        let draft = try NewPoll(
            question: "Where to?", options: (0..<options).map { "way \($0)" }, durationSeconds: duration, type: type)
        try run(.launch(id: pollID(number), draft, voterKey: hash(7)))
        return pollID(number)
    }

    mutating func vote(
        _ option: Int, voter: UInt64? = nil, key: UInt64? = nil, channel: String? = nil, poll: PollID = pollID(1)
    ) throws(ClientError) -> VoteStatus {
        try campaign.castVote(
            poll: poll, option: option, voter: voter.map { hash($0) }, key: key.map { hash($0) }, channel: channel,
            at: now, into: &journal)
    }

    var votes: [UInt64] { campaign.latestPoll(position: origin)?.tally.votes ?? [] }

    /// The campaign as the journal so far rebuilds it.
    func replayed() throws -> Campaign {
        var journal = self.journal
        var campaigns: [CampaignID: Campaign] = [:]
        _ = try RecordReader.replay(journal.take().span, into: &campaigns)
        return try #require(campaigns[campaign.id])
    }
}

func snapshot(_ campaign: Campaign) -> [UInt8] {
    var bytes: [UInt8] = []
    campaign.encodeSnapshot(into: &bytes)
    return bytes
}

/// The code with which a body is refused, `nil` when it is not.
func refusal(_ body: () throws -> Void) -> ErrorCode? {
    do {
        try body()
        return nil
    } catch {
        return (error as? ClientError)?.code
    }
}

func restored(_ snapshot: [UInt8]) throws -> Campaign { try Campaign(snapshot: snapshot.span) }

func replay(_ payload: [UInt8], into campaigns: inout [CampaignID: Campaign]) throws {
    _ = try RecordReader.replay(payload.span, into: &campaigns)
}

/// Campaigns as a payload makes them, `nil` where it is refused.
func replayed(_ payload: [UInt8]) -> [CampaignID: Campaign]? {
    var campaigns: [CampaignID: Campaign] = [:]
    do {
        try replay(payload, into: &campaigns)
        return campaigns
    } catch {
        return nil
    }
}
