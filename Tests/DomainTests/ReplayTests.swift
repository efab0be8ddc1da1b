// Live state, replayed state, and snapshot plus the rest of the journal must be equal to the byte, whatever happened.

import Protocol
import Testing

@testable import Domain

struct ReplayTests {
    /// One random step: mostly votes, of few voters, keys and channels, so that repeats are common.
    private func step(_ stage: inout Stage, _ polls: inout UInt64, _ random: inout SeededGenerator) {
        stage.now = stage.now.advanced(byMilliseconds: Int64.random(in: 0...400, using: &random))
        if Int.random(in: 0..<200, using: &random) == 0 {
            stage.now = stage.now.advanced(byMilliseconds: Int64.random(in: 0...40_000, using: &random))
        }
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<3:
            polls += 1
            let type: PollType = Bool.random(using: &random) ? .unique : .standard
            let options = Int.random(in: 2...5, using: &random)
            _ = try? stage.launch(
                polls, type: type, options: options, duration: Int.random(in: 15...90, using: &random))
        case 3:
            _ = try? stage.run(.cancel(pollID(polls)))
        case 4:
            _ = try? stage.run(.update(name: "name \(polls)", description: .some(nil)))
        case 5:
            stage.advance(to: stage.now)
            stage.apply([
                .replyRemembered(
                    key: hash(UInt64.random(in: 0..<20, using: &random)), body: hash(1), at: stage.now, status: 201,
                    bytes: [1, 2, 3])
            ])
        case 6..<20:
            stage.advance(to: stage.now)
        default:
            let hasKey = Bool.random(using: &random)
            _ = try? stage.vote(
                Int.random(in: 0..<6, using: &random), voter: UInt64.random(in: 0..<60, using: &random),
                key: hasKey ? UInt64.random(in: 0..<40, using: &random) : nil,
                channel: Bool.random(using: &random) ? "c\(Int.random(in: 0..<8, using: &random))" : nil,
                poll: pollID(polls))
        }
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func `live, replayed and restored states are equal to the byte`(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var stage = try Stage(seed)
        var polls: UInt64 = 0
        var rows: [[UInt8]] = []
        let steps = 1500
        let cut = Int.random(in: 0..<steps, using: &random)
        var middle: (copy: Campaign, bytes: [UInt8], rows: Int)?
        for index in 0..<steps {
            step(&stage, &polls, &random)
            if index == cut || Int.random(in: 0..<50, using: &random) == 0 {
                rows.append(stage.journal.take())
                if index == cut { middle = (stage.campaign, snapshot(stage.campaign), rows.count) }
            }
        }
        if seed % 4 == 0 { try stage.run(.delete) }
        rows.append(stage.journal.take())
        let live = snapshot(stage.campaign)

        var campaigns: [CampaignID: Campaign] = [:]
        for row in rows where !row.isEmpty { _ = try RecordReader.replay(row.span, into: &campaigns) }
        let replayed = try #require(campaigns[stage.campaign.id])
        #expect(snapshot(replayed) == live)
        #expect(replayed.stateHash == stage.campaign.stateHash)

        let (copy, bytes, done) = try #require(middle)
        #expect(snapshot(copy) == bytes, "a copy changed with its original")
        var restored = [stage.campaign.id: try Campaign(snapshot: bytes.span)]
        #expect(restored[stage.campaign.id]?.stateHash == copy.stateHash)
        for row in rows[done...] where !row.isEmpty { _ = try RecordReader.replay(row.span, into: &restored) }
        #expect(try snapshot(#require(restored[stage.campaign.id])) == live)
        if seed % 4 != 0 { #expect(polls > 5) }
    }

    @Test func `events read from a journal evolve to the same state`() throws {
        var random = SeededGenerator(seed: 99)
        var stage = try Stage()
        var polls: UInt64 = 0
        for _ in 0..<2000 { step(&stage, &polls, &random) }
        var evolved: Campaign?
        var rewritten = RecordWriter()
        let payload = stage.journal.take()
        try RecordReader.events(in: payload.span) { id, event in
            rewritten.append(event, campaign: id)
            if case .created = event {
                evolved = try? Campaign(created: event)
            } else {
                evolved?.evolve(event)
            }
        }
        #expect(try snapshot(#require(evolved)) == snapshot(stage.campaign))
        #expect(rewritten.take() == payload)
    }

    @Test func `votes that follow one another share a header, campaigns in one row stay apart`() throws {
        var one = try Stage(1)
        var two = try Stage(2)
        try one.launch(1)
        try two.launch(2)
        var journal = RecordWriter()
        var campaigns = [one.campaign.id: one.campaign, two.campaign.id: two.campaign]
        for voter in 0..<10 as Range<UInt64> {
            _ = try one.campaign.castVote(
                poll: pollID(1), option: 0, voter: hash(voter), key: nil, channel: nil, at: start, into: &journal)
        }
        #expect(journal.byteCount == 1 + 37 + 10 * 18)
        #expect(journal.voteCount == 10)
        _ = try two.campaign.castVote(
            poll: pollID(2), option: 1, voter: hash(1), key: hash(2), channel: nil, at: start, into: &journal)
        #expect(journal.byteCount == 1 + 37 + 10 * 18 + 37 + 34)
        let payload = journal.take()
        #expect(journal.isEmpty)
        #expect(journal.voteCount == 0)
        let applied = try RecordReader.replay(payload.span, into: &campaigns)
        #expect(applied == RecordReader.Applied(events: 0, votes: 11))
        #expect(campaigns[one.campaign.id]?.stateHash == one.campaign.stateHash)
        #expect(campaigns[two.campaign.id]?.stateHash == two.campaign.stateHash)

        var only: [CampaignID: Campaign] = [:]
        let skipped = try RecordReader.replay(payload.span, into: &only, where: { _ in false })
        #expect(skipped == RecordReader.Applied())
        #expect(throws: RecordError(.unknownCampaign(one.campaign.id), offset: 38)) {
            try RecordReader.replay(payload.span, into: &only)
        }
    }

    @Test func `a row applied twice is refused`() throws {
        var stage = try Stage()
        try stage.launch()
        let head = stage.journal.take()
        _ = try stage.vote(0, voter: 1)
        let votes = stage.journal.take()
        var campaigns: [CampaignID: Campaign] = [:]
        _ = try RecordReader.replay(head.span, into: &campaigns)
        _ = try RecordReader.replay(votes.span, into: &campaigns)
        #expect(throws: RecordError.self) { try RecordReader.replay(votes.span, into: &campaigns) }
        #expect(throws: RecordError.self) { try RecordReader.replay(head.span, into: &campaigns) }
    }

    @Test func `the state's hash sees a single vote`() throws {
        var stage = try Stage()
        try stage.launch()
        _ = try stage.vote(0, voter: 1)
        _ = try stage.vote(1, voter: 2)
        var other = try Stage()
        try other.launch()
        _ = try other.vote(1, voter: 1)
        _ = try other.vote(0, voter: 2)
        #expect(stage.votes == other.votes)
        #expect(stage.campaign.stateHash != other.campaign.stateHash)
        _ = try other.vote(0, voter: 1)
        _ = try other.vote(1, voter: 2)
        #expect(stage.campaign.stateHash == other.campaign.stateHash)
    }
}
