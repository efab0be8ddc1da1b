// Nobody waits at a shard for longer than senders do: not for a slot that leaves, and not for one that opens.

import Domain
@testable import Journal
import Platform
import Protocol
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(1)))
struct WaitingTests {
    private func withStage(isOpen: Bool = true, _ body: (Stage) async throws -> Void) async throws {
        let stage = await Stage()
        let result: Result<Void, any Error>
        do {
            if isOpen { try await stage.open() }
            result = .success(try await body(stage))
        } catch {
            result = .failure(error)
        }
        await stage.stop()
        try result.get()
    }

    /// What releases were answered with: whether the slot was let go of.
    private final class Releases: Sendable {
        let answers = Locked<[Bool]>([])
    }

    private func release(_ stage: Stage) -> Releases {
        let releases = Releases()
        stage.toShard.post(
            .release([stage.slot]) { told in
                releases.answers.withLock { $0 += told.map { $0.content != nil } }
            })
        return releases
    }

    // MARK: - Leaving

    @Test func `while a slot is leaving its voters are told in time that the journal does not answer`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            _ = await stage.advance(milliseconds: 4_000)
            let releases = release(stage)
            #expect(await stage.settle().refusals.isEmpty)
            #expect(await stage.advance(milliseconds: 1_100).refusals == [1: .timeout])
            #expect(releases.answers.withLock { $0 } == [])
        }
    }

    @Test func `a slot whose journal does not answer stays after two seconds, and serves again`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            let releases = release(stage)
            await stage.settle()
            stage.vote(2, poll)
            #expect(await stage.advance(milliseconds: 1_900).handedBack == [2])
            #expect(releases.answers.withLock { $0 } == [])
            _ = await stage.advance(milliseconds: 200)
            #expect(releases.answers.withLock { $0 } == [false])
            stage.vote(3, poll)
            #expect(await stage.settle().handedBack.isEmpty)
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes == [1: .counted])
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes == [3: .counted])
            // It may be asked for again, and goes.
            let again = release(stage)
            await stage.settle()
            #expect(again.answers.withLock { $0 } == [true])
        }
    }

    @Test func `a poll that was due while its slot was leaving ends once the slot stays`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch(seconds: 15)
            _ = await stage.advance(milliseconds: 14_500)
            stage.journal.answer(.committed)
            await stage.settle()
            stage.vote(1, poll)
            await stage.settle()
            let releases = release(stage)
            await stage.settle()
            _ = await stage.advance(milliseconds: 1_500)
            #expect(stage.journal.waiting.count == 1)
            _ = await stage.advance(milliseconds: 600)
            #expect(releases.answers.withLock { $0 } == [false])
            stage.send(2, .subscribe(after: nil))
            stage.journal.answer(.committed)
            await stage.settle()
            stage.journal.answer(.committed)
            #expect(await stage.settle().events.contains { $0.body.name.description == "poll:end" })
        }
    }

    @Test func `a slot that is leaving offers an edge again what it had no room for`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            while stage.toEdge.post(.resync(stage.slot)) {}
            let releases = release(stage)
            stage.journal.answer(.committed)
            // Another slot is not here, which is answered at once: by then the commit has been taken in.
            let other = Slot(UInt16((Int(stage.slot.index) + 1) % Slot.count))
            let taken = Inbox<Bool>(limit: 1)
            stage.toShard.post(.release([other]) { taken.post($0.map(\.content?.epoch) == [nil]) })
            #expect(await taken.next(recycling: []) == [true])
            #expect(releases.answers.withLock { $0 } == [])
            await stage.settle()
            #expect(await stage.advance(milliseconds: 20).votes == [1: .counted])
            #expect(releases.answers.withLock { $0 } == [true])
        }
    }

    // MARK: - Opening

    @Test func `what waits for a slot to open is refused when its sender has waited long enough`() async throws {
        try await withStage(isOpen: false) { stage in
            await stage.shard.expect([stage.slot])
            stage.manage(1, .readCampaign)
            await stage.settle()
            _ = await stage.advance(milliseconds: 3_000)
            stage.manage(2, .readCampaign)
            create(3, stage)
            await stage.settle()
            #expect(await stage.advance(milliseconds: 1_900).refusals.isEmpty)
            #expect(await stage.advance(milliseconds: 200).refusals == [1: .unavailable])
            #expect(await stage.advance(milliseconds: 2_900).refusals == [2: .unavailable, 3: .unavailable])
            let opened = try await stage.open()
            #expect(opened.documents.isEmpty)
        }
    }

    @Test func `what waits for a slot to open is bounded in bytes, and leaves room again`() async throws {
        try await withStage(isOpen: false) { stage in
            await stage.shard.expect([stage.slot])
            let data = [UInt8](repeating: 0x20, count: Limits.signalDataBytesLimit)
            let fitting = Int64(ShardLimits.waitingBytesLimit / (data.count + Command.usualWeight))
            for id in 1...fitting + 2 { stage.manage(id, .signal(.openMode, name: "n", data: data)) }
            #expect(await stage.settle().refusals == [fitting + 1: .overloaded, fitting + 2: .overloaded])
            let opened = try await stage.open()
            let sent = opened.count { if case .reply(_, .signal) = $0 { true } else { false } }
            #expect(sent == Int(fitting) && opened.refusals.isEmpty)
            #expect(await stage.shard.waitingBytes == 0)
        }
    }

    @Test func `what is too old when its slot opens is not applied`() async throws {
        try await withStage(isOpen: false) { stage in
            await stage.shard.expect([stage.slot])
            let draft = PollDraft(question: "Q", options: ["a", "b"], durationSeconds: 60, type: .standard)
            stage.manage(1, .launch(.openMode, draft))
            await stage.settle()
            stage.clock.advance(milliseconds: 4_000)
            stage.manage(2, .readCampaign)
            stage.clock.advance(milliseconds: 1_000)
            let opened = try await stage.open()
            #expect(opened.refusals == [1: .unavailable])
            #expect(opened.documents[2]?.status == 200)
            #expect(stage.journal.waiting.isEmpty)
        }
    }

    @Test func `an edge waits longer for its followers, and who leaves is let go however late`() async throws {
        try await withStage(isOpen: false) { stage in
            await stage.shard.expect([stage.slot])
            func send(_ body: CommandBody) {
                let command = Command(
                    campaign: stage.campaign, ticket: .ofEdge(0), receivedAt: stage.clock.now(), body: body)
                stage.toShard.post(.road(.commands(stage.campaign, [command])))
            }
            send(.subscribe(after: nil))
            await stage.settle()
            _ = await stage.advance(milliseconds: 29_000)
            send(.leave)
            send(.subscribe(after: nil))
            send(.leave)
            let late = await stage.advance(milliseconds: 2_000)
            #expect(late.joinFailures == 1)
            _ = await stage.advance(milliseconds: 27_000)
            let opened = try await stage.open()
            #expect(opened.joined.count == 1)
            stage.manage(1, .signal(.openMode, name: "n", data: []))
            #expect(await stage.settle().events.isEmpty)
        }
    }

    @Test func `what waits for a campaign to be read back is refused when its sender has waited long enough`()
        async throws
    {
        try await withStage(isOpen: false) { stage in
            let new = try NewCampaign(id: stage.campaign, ownerId: "gm", name: "Old", description: nil)
            let state = try Campaign(created: Campaign.decideCreate(new, at: stage.clock.now()))
            var bytes: [UInt8] = []
            state.encodeSnapshot(into: &bytes)
            stage.journal.state.withLock { journal in
                journal.stored[stage.campaign] = RecoveredSnapshot(campaign: stage.campaign, lsn: 3, state: bytes)
                journal.areReadsHeld = true
            }
            let recovered = RecoveredCampaign(state: state, lsn: 3, snapshotBytes: bytes.count, journalBytes: 0)
            await stage.shard.expect([stage.slot])
            let claim = SlotClaim(slot: stage.slot, epoch: 7, tail: 3)
            stage.toShard.post(.opened(stage.slot, .success(OpenedSlot(claim: claim, campaigns: [recovered]))))
            stage.manage(1, .readCampaign)
            await stage.settle()
            _ = await stage.advance(milliseconds: 4_000)
            stage.manage(2, .readCampaign)
            await stage.settle()
            #expect(await stage.advance(milliseconds: 1_100).refusals == [1: .unavailable])
            stage.clock.advance(milliseconds: 4_000)
            stage.manage(3, .readCampaign)
            await stage.settle()
            stage.journal.endReads()
            var messages = await stage.settle()
            while messages.documents.isEmpty { messages += await stage.settle() }
            #expect(messages.refusals == [2: .unavailable])
            #expect(messages.documents[3]?.status == 200)
        }
    }

    private func create(_ number: Int64, _ stage: Stage) {
        stage.toShard.post(
            .road(
                .create(
                    CreationCommand(
                        slot: stage.slot, principal: .openMode, draft: CampaignDraft(name: "New", description: nil),
                        mark: nil, ticket: stage.ticket(number), receivedAt: stage.clock.now()))))
    }
}

extension [EdgeMessage] {
    /// How many wishes to follow were refused.
    fileprivate var joinFailures: Int { count { if case .joinFailed = $0 { true } else { false } } }
}
