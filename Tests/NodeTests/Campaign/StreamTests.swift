// Positions, events, conflation and resumption of a campaign's stream.

import Domain
@testable import Journal
import Platform
import Protocol
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5)))
struct StreamTests {
    private func withSubscriber(_ body: (Stage) async throws -> Void) async throws {
        let stage = await Stage()
        try await stage.open()
        stage.send(900, .subscribe(after: nil))
        let joined = await stage.settle().joined
        #expect(joined.count == 1)
        do {
            try await body(stage)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    @Test func `positions rise by one with each event and batch, and an ack's is shown by the next update`()
        async throws
    {
        try await withSubscriber { stage in
            let poll = try await stage.launch()
            var last = Position(epoch: 7, seq: 1)
            for number in Int64(1)...20 {
                stage.vote(number, poll)
                await stage.settle()
                stage.journal.answer(.committed)
                let messages = await stage.settle() + stage.advance(milliseconds: 150)
                let ack = try #require(messages.votePositions.first)
                let update = try #require(messages.events.last)
                #expect(ack > last && update.position >= ack)
                guard case .pollUpdate(let tally) = update.body else {
                    Issue.record("not an update: \(update)")
                    return
                }
                #expect(tally.totalVotes == UInt64(number))
                last = update.position
            }
        }
    }

    @Test func `updates leave at once when it was quiet, then ten a second, and the last one shows everything`()
        async throws
    {
        try await withSubscriber { stage in
            let poll = try await stage.launch()
            _ = await stage.advance(milliseconds: 1000)
            var updates: [TallyView] = []
            func gather(_ messages: [EdgeMessage]) {
                for event in messages.events { if case .pollUpdate(let tally) = event.body { updates.append(tally) } }
            }
            for number in Int64(1)...100 {
                stage.vote(number, poll)
                await stage.settle()
                stage.journal.answer(.committed)
                gather(await stage.settle())
                gather(await stage.advance(milliseconds: 10))
            }
            #expect((9...12).contains(updates.count))
            #expect(updates.first?.totalVotes == 1)
            gather(await stage.advance(milliseconds: 200))
            #expect(updates.last?.totalVotes == 100)
            let quiet = await stage.advance(milliseconds: 500)
            #expect(quiet.events.allSatisfy { $0.body.name.description != "poll:update" })
        }
    }

    @Test func `an update that is owed when somebody joins stands behind what that one is told`() async throws {
        try await withSubscriber { stage in
            let poll = try await stage.launch()
            _ = await stage.advance(milliseconds: 1000)
            for number in Int64(1)...2 {
                stage.vote(number, poll)
                await stage.settle()
                stage.journal.answer(.committed)
                await stage.settle()
            }
            // The first vote was shown at once, the second is to be.
            stage.send(901, .subscribe(after: nil))
            let told = try #require(await stage.settle().joined.first?.subscribed.position)
            let update = try #require(await stage.advance(milliseconds: 200).events.first)
            guard case .pollUpdate(let tally) = update.body else {
                Issue.record("not an update: \(update)")
                return
            }
            #expect(tally.totalVotes == 2 && update.position > told)
        }
    }

    @Test func `a signal leaves at once, in order, and no later event has its place`() async throws {
        try await withSubscriber { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            for number in Int64(2)...4 {
                stage.manage(number, .signal(.openMode, name: "s", data: Array("1".utf8)))
            }
            let signals = await stage.settle()
            let places = signals.events.map(\.position.seq)
            #expect(places == [2, 3, 4])
            stage.journal.answer(.committed)
            let after = await stage.settle() + stage.advance(milliseconds: 200)
            #expect(after.events.map(\.position.seq).allSatisfy { $0 > 4 })
            #expect(try #require(after.votePositions.first).seq > 4)
        }
    }

    @Test func `who was away gets what was missed, of updates the newest`() async throws {
        try await withSubscriber { stage in
            let poll = try await stage.launch()
            for number in Int64(1)...5 {
                stage.vote(number, poll)
                await stage.settle()
                stage.journal.answer(.committed)
                _ = await stage.advance(milliseconds: 200)
            }
            stage.send(901, .subscribe(after: Position(epoch: 7, seq: 0)))
            let resumed = try #require(await stage.settle().joined.first)
            #expect(resumed.subscribed.recovered && resumed.subscribed.position == Position(epoch: 7, seq: 0))
            #expect(resumed.missed.map(\.event.body.name.description) == ["poll:start", "poll:update"])
            stage.send(902, .subscribe(after: Position(epoch: 6, seq: 3)))
            let fresh = try #require(await stage.settle().joined.first)
            #expect(!fresh.subscribed.recovered && fresh.subscribed.poll?.tally.totalVotes == 5)
            stage.send(903, .subscribe(after: Position(epoch: 7, seq: 1_000_000)))
            #expect(await stage.settle().joined.first?.subscribed.recovered == false)
        }
    }

    @Test func `the end waits for the commit of the votes before it and is the last word`() async throws {
        try await withSubscriber { stage in
            let poll = try await stage.launch(seconds: 15)
            _ = await stage.advance(milliseconds: 14_990)
            stage.vote(1, poll)
            await stage.settle()
            let marks = await stage.advance(milliseconds: 40)
            #expect(marks.events.allSatisfy { $0.body.name.description != "poll:end" })
            stage.vote(2, poll)
            await stage.settle()
            var messages: [EdgeMessage] = []
            for _ in 0..<3 {
                stage.journal.answer(.committed)
                messages += await stage.settle()
            }
            #expect(messages.votes == [1: .counted] && messages.refusals == [2: .pollClosed])
            let names = messages.events.map(\.body.name.description)
            #expect(names.last == "poll:end" && names.contains("poll:countdown"))
            guard case .pollEnd(let view)? = messages.events.last?.body else { return }
            #expect(view.tally.totalVotes == 1 && view.status == .ended && view.endedAt == view.endsAt)
            let later = await stage.advance(milliseconds: 2_000)
            #expect(later.events.isEmpty)
        }
    }

    @Test func `countdown marks come once each, after their commit`() async throws {
        try await withSubscriber { stage in
            _ = try await stage.launch(seconds: 15)
            var seconds: [Int] = []
            for _ in 0..<160 {
                let early = await stage.advance(milliseconds: 100)
                #expect(!early.events.contains { $0.body.name.description == "poll:countdown" })
                stage.journal.answer(.committed)
                for event in await stage.settle().events {
                    if case .pollCountdown(_, let left) = event.body { seconds.append(left) }
                }
            }
            #expect(seconds == [10, 7, 5, 4, 3, 2, 1, 0])
        }
    }

    @Test func `a keyed launch happens once and gives the same bytes again`() async throws {
        try await withSubscriber { stage in
            let mark = IdempotencyMark(key: Hash128(high: 1, low: 1), body: Hash128(high: 2, low: 2))
            let draft = PollDraft(question: "Q", options: ["a", "b"], durationSeconds: 60, type: .standard)
            stage.manage(1, .launch(.openMode, draft), mark)
            stage.manage(2, .launch(.openMode, draft), mark)
            stage.manage(3, .launch(.openMode, draft))
            stage.manage(4, .launch(.openMode, draft), IdempotencyMark(key: mark.key, body: Hash128(high: 8, low: 8)))
            await stage.settle()
            stage.journal.answer(.committed)
            let answers = await stage.settle()
            #expect(answers.documents[1]?.status == 201)
            #expect(answers.documents[1]?.json == answers.documents[2]?.json)
            #expect(answers.documents[3]?.status == 409)
            #expect(answers.refusals == [4: .conflict])
        }
    }

    @Test(arguments: 0..<25)
    func `what is captured at a seal is what a replay of the rows gives`(seed: UInt64) async throws {
        try await withSubscriber { stage in
            let random = SeededRandom(seed: seed)
            var rows: [SealedRow] = []
            var poll: PollID?
            func commit() async throws {
                rows += stage.journal.waiting
                stage.journal.answer(.committed)
                for event in await stage.settle().events {
                    if case .pollStart(let view) = event.body { poll = view.tally.id }
                    if case .pollEnd = event.body { poll = nil }
                }
            }
            for step in Int64(1)...80 {
                switch random.next() % 8 {
                case 0 where poll == nil:
                    let type: PollType = random.next() % 2 == 0 ? .standard : .unique
                    let draft = PollDraft(question: "Q", options: ["a", "b", "c"], durationSeconds: 600, type: type)
                    stage.manage(step, .launch(.openMode, draft))
                case 1:
                    if let running = poll, random.next() % 4 == 0 { stage.manage(step, .cancel(.openMode, running)) }
                default:
                    if let running = poll {
                        stage.vote(
                            step, running, option: Int(random.next() % 4), voter: "v\(random.next() % 9)",
                            key: random.next() % 3 == 0 ? "k\(random.next() % 5)" : nil)
                    }
                }
                await stage.settle()
                if random.next() % 3 == 0 { try await commit() }
            }
            for _ in 0..<3 { try await commit() }
            let recovery = SlotRecovery(
                slot: stage.slot, tail: rows.last?.lsn ?? 0, snapshots: [Self.base(stage)], rows: rows, removed: [:],
                notices: [])
            stage.journal.state.withLock { $0.recovery[stage.slot] = recovery }
            stage.send(5000, .verify)
            var report: String?
            while report == nil {
                let found = await stage.settle().documents[5000]
                report = found.map { String(decoding: $0.json, as: UTF8.self) }
            }
            #expect(report?.hasPrefix(#"{"ok":true"#) == true, "\(report ?? "")")
        }
    }

    /// The campaign as it was when the stage opened.
    private static func base(_ stage: Stage) -> RecoveredSnapshot {
        guard let new = try? NewCampaign(id: stage.campaign, ownerId: "gm", name: "Stage", description: nil),
            let state = try? Campaign(
                created: Campaign.decideCreate(new, at: Timestamp(milliseconds: 1_800_000_000_000)))
        else { preconditionFailure("the stage's campaign") }
        var bytes: [UInt8] = []
        state.encodeSnapshot(into: &bytes)
        return RecoveredSnapshot(campaign: stage.campaign, lsn: 0, state: bytes)
    }
}
