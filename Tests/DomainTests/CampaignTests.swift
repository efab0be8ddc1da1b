import Protocol
import Testing

@testable import Domain

struct CampaignTests {
    @Test func `a launch while a poll runs names the running one`() throws {
        var stage = try Stage()
        try stage.launch(1)
        do {
            try stage.launch(2)
            Issue.record("a second poll was launched")
        } catch let error as ClientError {
            #expect(error.code == .pollRunning)
            #expect(error.details == [ClientError.Detail(field: "poll", message: pollID(1).description)])
        }
        #expect(stage.campaign.runningPoll == pollID(1))
    }

    @Test func `a cancel keeps the partial totals and comes once`() throws {
        var stage = try Stage()
        try stage.launch()
        _ = try stage.vote(1, voter: 1)
        stage.now = seconds(5)
        try stage.run(.cancel(pollID(1)))
        let poll = try #require(stage.campaign.pollView(pollID(1), position: origin))
        #expect(poll.status == .cancelled)
        #expect(poll.endedAt == seconds(5))
        #expect(poll.endsAt == seconds(60))
        #expect(poll.tally.votes == [0, 1, 0])
        #expect(poll.winners == [1])
        #expect(refusal { try stage.run(.cancel(pollID(1))) } == .pollClosed)
        #expect(refusal { try stage.run(.cancel(pollID(2))) } == .notFound)
        #expect(refusal { _ = try stage.vote(1, voter: 2) } == .pollClosed)
        #expect(stage.campaign.lateVotes == 1)
    }

    @Test func `a cancel at the end comes too late`() throws {
        var stage = try Stage()
        try stage.launch()
        stage.now = seconds(60)
        #expect(refusal { try stage.run(.cancel(pollID(1))) } == .pollClosed)
        #expect(stage.campaign.latestPoll(position: origin)?.status == .ended)
    }

    @Test func `the end removes voters and keys and keeps totals and channels`() throws {
        var stage = try Stage()
        try stage.launch()
        _ = try stage.vote(1, voter: 1, key: 1, channel: "north")
        #expect(stage.campaign.holdsVoterData)
        stage.advance(to: seconds(60))
        #expect(!stage.campaign.holdsVoterData)
        #expect(stage.campaign.runningPoll == nil)
        let poll = try #require(stage.campaign.latestPoll(position: origin))
        #expect(poll.tally.channels == [ChannelTally(channel: "north", votes: [0, 1, 0])])
        #expect(poll.endedAt == seconds(60))
    }

    @Test func `all nodes down past the end: the poll ends at recovery with its true end`() throws {
        var stage = try Stage()
        try stage.launch()
        _ = try stage.vote(1, voter: 1)
        stage.campaign = try stage.replayed()
        let due = stage.advance(to: seconds(86_400))
        #expect(due == [.pollEnded(poll: pollID(1), status: .ended, endedAt: seconds(60))])
        #expect(stage.votes == [0, 1, 0])
    }

    @Test func `an update changes what it names and nothing else`() throws {
        var stage = try Stage()
        try stage.run(.update(name: nil, description: .some("A castle")))
        #expect(stage.campaign.view.name == "The Keep")
        #expect(stage.campaign.view.description == "A castle")
        try stage.run(.update(name: "The Tower", description: nil))
        #expect(stage.campaign.view.description == "A castle")
        try stage.run(.update(name: nil, description: .some(nil)))
        #expect(stage.campaign.view.name == "The Tower")
        #expect(stage.campaign.view.description == nil)
        #expect(try stage.run(.update(name: "The Tower", description: nil)).isEmpty)
        #expect(refusal { try stage.run(.update(name: "ab", description: nil)) } == .badRequest)
    }

    @Test func `a deletion cancels the running poll first and leaves a tombstone`() throws {
        var stage = try Stage()
        try stage.launch()
        stage.now = seconds(3)
        let events = try stage.run(.delete)
        #expect(
            events == [
                .pollEnded(poll: pollID(1), status: .cancelled, endedAt: seconds(3)), .deleted(at: seconds(3)),
            ])
        #expect(stage.campaign.isDeleted)
        #expect(refusal { try stage.launch(2) } == .notFound)
        #expect(refusal { try stage.run(.delete) } == .notFound)
        #expect(refusal { _ = try stage.vote(0, voter: 1) } == .notFound)
        #expect(stage.campaign.history(limit: 10, position: origin).isEmpty)
        let restored = try Campaign(snapshot: snapshot(stage.campaign).span)
        #expect(restored.isDeleted)
        #expect(restored.stateHash == stage.campaign.stateHash)
    }

    @Test func `the history is newest first and keeps the latest 1,000`() throws {
        var stage = try Stage()
        for number in 1...1002 as ClosedRange<UInt64> {
            try stage.launch(number)
            try stage.run(.cancel(pollID(number)))
        }
        try stage.launch(2000)
        let all = stage.campaign.history(limit: 5000, position: origin)
        #expect(all.count == 1001)
        #expect(all.first?.status == .running)
        #expect(all[1].tally.id == pollID(1002))
        #expect(all.last?.tally.id == pollID(3))
        #expect(stage.campaign.history(limit: 2, position: origin).map(\.tally.id) == [pollID(2000), pollID(1002)])
        #expect(stage.campaign.history(limit: 0, position: origin).isEmpty)
        #expect(stage.campaign.pollView(pollID(2), position: origin) == nil)
        #expect(try stage.replayed().stateHash == stage.campaign.stateHash)
        let bytes = snapshot(stage.campaign)
        #expect(abs(bytes.count - stage.campaign.approximateSnapshotBytes) < 300)
    }

    @Test func `fields at fault are named`() {
        func faults(_ body: () throws -> Void) -> [String] {
            do {
                try body()
                return []
            } catch {
                return (error as? ClientError)?.details.map(\.field) ?? []
            }
        }
        #expect(
            faults {
                _ = try NewCampaign(
                    id: campaignID(1), ownerId: nil, name: "ab", description: String(repeating: "x", count: 501))
            } == ["name", "description"])
        #expect(
            faults {
                _ = try NewPoll(question: "", options: ["a", ""], durationSeconds: 14)
            } == ["question", "options[1]", "durationSeconds"])
        #expect(faults { _ = try NewPoll(question: "q", options: ["a"], durationSeconds: 1801) }.count == 2)
        #expect(
            faults {
                _ = try NewPoll(
                    question: String(repeating: "é", count: 45), options: Array(repeating: "same", count: 5),
                    durationSeconds: 15)
            }.isEmpty)
        #expect(faults { _ = try NewPoll(question: "q", options: Array(repeating: "x", count: 6)) } == ["options"])
    }

    @Test func `a poll id that was used is refused`() throws {
        var stage = try Stage()
        try stage.launch()
        try stage.run(.cancel(pollID(1)))
        #expect(refusal { try stage.launch(1) } == .conflict)
    }
}

struct CountdownTests {
    private func marks(_ events: [CampaignEvent]) -> [Int] {
        events.compactMap {
            if case .countdown(_, let secondsLeft, _) = $0 { secondsLeft } else { nil }
        }
    }

    @Test(arguments: [
        (60, [30, 10, 5, 4, 3, 2, 1, 0]), (15, [10, 7, 5, 4, 3, 2, 1, 0]), (20, [10, 5, 4, 3, 2, 1, 0]),
        (21, [10, 5, 4, 3, 2, 1, 0]), (1800, [900, 10, 5, 4, 3, 2, 1, 0]),
    ])
    func `each mark comes once, at its moment, and the end after mark 0`(_ duration: Int, _ expected: [Int]) throws {
        var stage = try Stage()
        try stage.launch(duration: duration)
        var seen: [CampaignEvent] = []
        while let deadline = stage.campaign.nextDeadline {
            #expect(stage.advance(to: deadline.advanced(byMilliseconds: -1)).isEmpty)
            seen += stage.advance(to: deadline)
            #expect(stage.campaign.nextDeadline.map { $0 > deadline } ?? true)
            #expect(stage.campaign.dueEvents(at: deadline).isEmpty)
        }
        #expect(marks(seen) == expected)
        #expect(seen.last == .pollEnded(poll: pollID(1), status: .ended, endedAt: seconds(Double(duration))))
    }

    @Test func `a mark whose moment passed while nobody served is skipped`() throws {
        var stage = try Stage()
        try stage.launch()
        #expect(stage.advance(to: seconds(31)) == [.countdownSkipped(poll: pollID(1), secondsLeft: 30)])
        #expect(stage.campaign.nextDeadline == seconds(50))
        let due = stage.advance(to: seconds(57.5))
        #expect(due == [.countdown(poll: pollID(1), secondsLeft: 3, at: seconds(57.5))])
        #expect(stage.campaign.nextDeadline == seconds(58))
    }

    @Test func `a mark up to a second late is announced`() throws {
        var stage = try Stage()
        try stage.launch()
        #expect(marks(stage.advance(to: seconds(30.999))) == [30])
        #expect(marks(stage.advance(to: seconds(51))).isEmpty)
    }

    @Test func `a mark is not announced again by the next owner`() throws {
        var stage = try Stage()
        try stage.launch()
        stage.advance(to: seconds(30))
        stage.campaign = try stage.replayed()
        #expect(stage.campaign.dueEvents(at: seconds(30.5)).isEmpty)
        stage.campaign = try Campaign(snapshot: snapshot(stage.campaign).span)
        #expect(stage.campaign.dueEvents(at: seconds(30.5)).isEmpty)
    }

    @Test func `mark 0 and the end survive apart`() throws {
        var stage = try Stage()
        try stage.launch()
        let due = stage.campaign.dueEvents(at: seconds(60.5))
        #expect(due.count == 2)
        stage.apply([due[0]])
        #expect(stage.campaign.nextDeadline == seconds(60))
        #expect(
            stage.campaign.dueEvents(at: seconds(60.5)) == [
                .pollEnded(poll: pollID(1), status: .ended, endedAt: seconds(60))
            ])
    }
}

struct ReplyMemoryTests {
    private func remember(_ stage: inout Stage, _ key: UInt64, body: UInt64 = 1, at time: Timestamp) {
        stage.apply([
            .replyRemembered(key: hash(key), body: hash(body), at: time, status: 201, bytes: [UInt8(key & 0xFF)])
        ])
    }

    @Test func `the first reply is given again for 24 hours`() throws {
        var stage = try Stage()
        remember(&stage, 1, at: start)
        let day = 24.0 * 3600
        #expect(
            try stage.campaign.remembered(key: hash(1), body: hash(1), at: seconds(day - 0.001))
                == RememberedReply(status: 201, bytes: [1]))
        #expect(try stage.campaign.remembered(key: hash(1), body: hash(1), at: seconds(day)) == nil)
        #expect(try stage.campaign.remembered(key: hash(2), body: hash(1), at: start) == nil)
    }

    @Test func `the same key with another body is a conflict while it is remembered`() throws {
        var stage = try Stage()
        remember(&stage, 1, at: start)
        #expect(refusal { _ = try stage.campaign.remembered(key: hash(1), body: hash(2), at: start) } == .conflict)
        let later = seconds(25 * 3600)
        #expect(try stage.campaign.remembered(key: hash(1), body: hash(2), at: later) == nil)
        remember(&stage, 1, body: 2, at: later)
        #expect(try stage.campaign.remembered(key: hash(1), body: hash(2), at: later) != nil)
        #expect(try snapshot(stage.replayed()) == snapshot(stage.campaign))
    }

    @Test func `the latest 1,000 are kept`() throws {
        var stage = try Stage()
        for key in 1...5003 as ClosedRange<UInt64> { remember(&stage, key, at: start) }
        #expect(try stage.campaign.remembered(key: hash(4003), body: hash(1), at: start) == nil)
        #expect(try stage.campaign.remembered(key: hash(4004), body: hash(1), at: start) != nil)
        #expect(try stage.campaign.remembered(key: hash(5003), body: hash(1), at: start) != nil)
        let restored = try Campaign(snapshot: snapshot(stage.campaign).span)
        #expect(snapshot(restored) == snapshot(stage.campaign))
        #expect(try restored.remembered(key: hash(4004), body: hash(1), at: start) != nil)
    }

    @Test func `a clock that jumps back leaves a snapshot that can be read`() throws {
        var stage = try Stage()
        remember(&stage, 1, at: seconds(360_000))
        remember(&stage, 2, at: seconds(0))
        remember(&stage, 3, at: seconds(108_000))
        remember(&stage, 1, at: seconds(72_000))
        let restored = try Campaign(snapshot: snapshot(stage.campaign).span)
        #expect(restored.stateHash == stage.campaign.stateHash)
    }
}

struct ViewTests {
    private func tally(_ votes: [UInt64]) -> TallyView { TallyView(id: pollID(1), votes: votes, channels: []) }

    private func poll(_ votes: [UInt64], _ status: PollStatus) -> PollView {
        PollView(
            tally: tally(votes), campaign: campaignID(1), question: "?", options: votes.map { _ in "x" },
            type: .unique, durationSeconds: 60, status: status, startedAt: start, endsAt: seconds(60), endedAt: nil,
            position: origin)
    }

    @Test(
        arguments: [
            ([1, 1, 1], [333, 333, 333]), ([2, 1], [667, 333]), ([0, 0], [0, 0]), ([1, 0], [1000, 0]),
            ([1, 1999], [1, 1000]), ([1, 2000], [0, 1000]), ([5, 5], [500, 500]),
        ] as [([UInt64], [Int])])
    func `percentages are tenths rounded half up`(_ votes: [UInt64], _ tenths: [Int]) {
        #expect(tally(votes).percentageTenths == tenths)
    }

    @Test func `winners are all that tie, and none while running or without votes`() {
        #expect(poll([3, 1, 3], .ended).winners == [0, 2])
        #expect(poll([1, 2], .cancelled).winners == [1])
        #expect(poll([3, 1], .running).winners.isEmpty)
        #expect(poll([0, 0], .ended).winners.isEmpty)
    }
}
