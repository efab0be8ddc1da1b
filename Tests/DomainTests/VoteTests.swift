import Protocol
import Testing

@testable import Domain

struct VoteTests {
    @Test func `a second vote of the same voter moves its choice`() throws {
        var stage = try Stage()
        try stage.launch()
        #expect(try stage.vote(0, voter: 1, channel: "north") == .counted)
        #expect(try stage.vote(2, voter: 1, channel: "south") == .moved)
        #expect(stage.votes == [0, 0, 1])
        let channels = try #require(stage.campaign.tally).channels
        #expect(
            channels == [
                ChannelTally(channel: "north", votes: [0, 0, 0]), ChannelTally(channel: "south", votes: [0, 0, 1]),
            ])
    }

    @Test func `the same choice again changes nothing, not even the channel, and writes nothing`() throws {
        var stage = try Stage()
        try stage.launch()
        _ = try stage.vote(1, voter: 1, channel: "north")
        let before = (snapshot(stage.campaign), stage.journal.byteCount)
        #expect(try stage.vote(1, voter: 1, channel: "south") == .same)
        #expect(snapshot(stage.campaign) == before.0)
        #expect(stage.journal.byteCount == before.1)
    }

    @Test func `a standard poll counts every vote, with or without a voter`() throws {
        var stage = try Stage()
        try stage.launch(type: .standard)
        for _ in 0..<3 { #expect(try stage.vote(0, voter: 1) == .counted) }
        #expect(try stage.vote(1) == .counted)
        #expect(stage.votes == [3, 1, 0])
        #expect(!stage.campaign.holdsVoterData)
    }

    @Test(arguments: [PollType.standard, .unique])
    func `a key counts once, and its first effect stands`(_ type: PollType) throws {
        var stage = try Stage()
        try stage.launch(type: type)
        #expect(try stage.vote(0, voter: 1, key: 9) == .counted)
        let before = (snapshot(stage.campaign), stage.journal.byteCount)
        #expect(try stage.vote(2, voter: 1, key: 9, channel: "new") == .duplicate)
        #expect(try stage.vote(0, voter: 1, key: 9) == .duplicate)
        #expect(snapshot(stage.campaign) == before.0)
        #expect(stage.journal.byteCount == before.1)
        #expect(stage.campaign.holdsVoterData)
    }

    @Test func `a key is scoped to its voter`() throws {
        var stage = try Stage()
        try stage.launch(type: .standard)
        #expect(try stage.vote(0, voter: 1, key: 9) == .counted)
        #expect(try stage.vote(0, voter: 2, key: 9) == .counted)
        #expect(try stage.vote(0, key: 9) == .counted)
        #expect(try stage.vote(0, voter: 9, key: 1) == .counted)
        #expect(try stage.vote(0, key: 9) == .duplicate)
    }

    @Test func `the key of a vote that changed nothing is remembered, through a replay too`() throws {
        var stage = try Stage()
        try stage.launch()
        _ = try stage.vote(0, voter: 1, key: 1)
        #expect(try stage.vote(0, voter: 1, key: 2, channel: "unseen") == .same)
        #expect(try #require(stage.campaign.tally).channels.isEmpty)
        #expect(try stage.vote(1, voter: 1, key: 3) == .moved)
        #expect(try stage.vote(0, voter: 1, key: 2) == .duplicate)
        #expect(stage.votes == [0, 1, 0])
        stage.campaign = try stage.replayed()
        #expect(try stage.vote(0, voter: 1, key: 2) == .duplicate)
    }

    @Test func `a vote at the end is late, one millisecond before it is not`() throws {
        var stage = try Stage()
        try stage.launch(duration: 60)
        stage.now = seconds(59.999)
        #expect(try stage.vote(0, voter: 1) == .counted)
        stage.now = seconds(60)
        #expect(refusal { _ = try stage.vote(0, voter: 2) } == .pollClosed)
        #expect(stage.campaign.lateVotes == 1)
        stage.advance(to: seconds(61))
        #expect(refusal { _ = try stage.vote(0, voter: 2) } == .pollClosed)
        #expect(stage.campaign.lateVotes == 2)
        #expect(stage.votes == [1, 0, 0])
    }

    @Test func `an unknown poll is not found and not late`() throws {
        var stage = try Stage()
        #expect(refusal { _ = try stage.vote(0, voter: 1) } == .notFound)
        try stage.launch()
        #expect(refusal { _ = try stage.vote(0, voter: 1, poll: pollID(99)) } == .notFound)
        #expect(stage.campaign.lateVotes == 0)
    }

    @Test(arguments: [-1, 3, 8, Int.min, Int.max])
    func `an option out of range is invalid`(_ option: Int) throws {
        var stage = try Stage()
        try stage.launch()
        #expect(refusal { _ = try stage.vote(option, voter: 1) } == .invalidOption)
        #expect(stage.campaign.voterCount == 0)
    }

    @Test func `a unique poll needs a voter`() throws {
        var stage = try Stage()
        try stage.launch()
        #expect(refusal { _ = try stage.vote(0, key: 1, channel: "a") } == .badRequest)
        #expect(try #require(stage.campaign.tally).channels.isEmpty)
        #expect(!stage.campaign.holdsVoterData)
    }

    @Test func `a poll has at most 256 channels of 1 to 64 bytes`() throws {
        var stage = try Stage()
        try stage.launch(type: .standard, options: 5)
        #expect(refusal { _ = try stage.vote(0, channel: "") } == .badRequest)
        #expect(refusal { _ = try stage.vote(0, channel: String(repeating: "x", count: 65)) } == .badRequest)
        for index in 0..<256 { #expect(try stage.vote(4, channel: "channel \(index)") == .counted) }
        #expect(refusal { _ = try stage.vote(0, channel: "one more") } == .badRequest)
        #expect(try stage.vote(4, channel: "channel 255") == .counted)
        #expect(stage.votes == [0, 0, 0, 0, 257])
        let last = ChannelTally(channel: "channel 255", votes: [0, 0, 0, 0, 2])
        #expect(try #require(stage.campaign.tally).channels.last == last)
        #expect(try snapshot(stage.replayed()) == snapshot(stage.campaign))
    }

    @Test func `checks come in their order`() throws {
        var stage = try Stage()
        try stage.launch()
        #expect(refusal { _ = try stage.vote(9, channel: "") } == .invalidOption)
        stage.now = seconds(60)
        #expect(refusal { _ = try stage.vote(9, channel: "") } == .pollClosed)
    }

    @Test func `a hash of zeros is a voter like any other`() throws {
        var stage = try Stage()
        try stage.launch()
        let zero = Hash128(high: 0, low: 0)
        for expected in [VoteStatus.counted, .same] {
            let status = try stage.campaign.castVote(
                poll: pollID(1), option: 1, voter: zero, key: nil, channel: nil, at: start, into: &stage.journal)
            #expect(status == expected)
        }
        #expect(try snapshot(stage.replayed()) == snapshot(stage.campaign))
    }
}
