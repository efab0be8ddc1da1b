// Prints what a vote costs, live and in replay. The figures mean something in release mode only; what is asserted
// holds in any.

import Protocol
import Testing

@testable import Domain

struct PaceTests {
    @Test(arguments: [PollType.standard, .unique])
    func `votes are cast and replayed at a pace that is printed`(_ type: PollType) throws {
        let votes = 200_000 * (Self.isOptimized ? 5 : 1)
        var stage = try Stage()
        try stage.launch(type: type, options: 4)
        var rows = [stage.journal.take()]
        var random = SeededGenerator(seed: 1)
        let hashes = (0..<votes).map { _ in Hash128(high: random.next(), low: random.next()) }
        let channels = (0..<10).map { "channel \($0)" }
        let clock = ContinuousClock()
        let cast = try clock.measure {
            for index in 0..<votes {
                _ = try stage.campaign.castVote(
                    poll: pollID(1), option: index & 3, voter: hashes[index], key: nil, channel: channels[index % 10],
                    at: start, into: &stage.journal)
                if stage.journal.voteCount == 4096 { rows.append(stage.journal.take()) }
            }
        }
        rows.append(stage.journal.take())
        var campaigns: [CampaignID: Campaign] = [:]
        let replay = try clock.measure {
            for row in rows { try DomainTests.replay(row, into: &campaigns) }
        }
        var bytes: [UInt8] = []
        let copy = stage.campaign
        let encode = clock.measure { copy.encodeSnapshot(into: &bytes) }
        let digest = clock.measure { _ = copy.stateHash }
        let decoded = try clock.measure { _ = try restored(bytes) }
        print("\(type): cast \(cast / votes) a vote, replay \(replay / votes); a snapshot of \(bytes.count) bytes:")
        print("encode \(encode), decode \(decoded), state hash \(digest)")
        #expect(campaigns[stage.campaign.id]?.stateHash == stage.campaign.stateHash)
        #expect(stage.votes.reduce(0, +) == UInt64(votes))
    }

    private static var isOptimized: Bool {
        var isDebug = false
        assert({ isDebug = true }() == ())
        return !isDebug
    }
}
