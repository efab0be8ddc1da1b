// Campaigns that nobody uses leave memory, and come back as they were.

import Domain
@testable import Journal
import Platform
import Protocol
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(1)))
struct PassivationTests {
    private static let idleMilliseconds: Int64 = 600_000

    private func withStage(_ body: (Stage) async throws -> Void) async throws {
        let stage = await Stage()
        try await stage.open()
        do {
            try await body(stage)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    /// A poll with three votes that has ended, and the position of its end.
    private func play(_ stage: Stage) async throws -> (poll: PollID, end: Position) {
        let poll = try await stage.launch(seconds: 15)
        for number in Int64(1)...3 { stage.vote(number, poll) }
        await stage.settle()
        stage.journal.answer(.committed)
        await stage.settle()
        _ = await stage.advance(milliseconds: 20_000)
        stage.journal.answer(.committed)
        await stage.settle()
        stage.send(50, .subscribe(after: nil))
        let joined = try #require(await stage.settle().joined.first)
        #expect(joined.subscribed.poll?.status == .ended)
        stage.send(51, .leave)
        await stage.settle()
        return (poll, joined.subscribed.position)
    }

    /// Stores the snapshots that were asked for, as the journal does.
    private func storeSnapshots(_ stage: Stage) async {
        let jobs = stage.journal.state.withLock { state in
            defer { state.snapshots = [] }
            for (job, _) in state.snapshots {
                state.stored[job.campaign] = RecoveredSnapshot(
                    campaign: job.campaign, lsn: job.lsn, state: job.encode())
            }
            return state.snapshots
        }
        for (_, completion) in jobs { completion(.stored) }
        await stage.settle()
    }

    private func isInMemory(_ stage: Stage) async -> Bool { await stage.shard.hostedCount > 0 }

    private func passivate(_ stage: Stage) async {
        await storeSnapshots(stage)
        _ = await stage.advance(milliseconds: Self.idleMilliseconds + 1)
    }

    @Test func `a campaign that nobody uses leaves memory and comes back with its state and its position`()
        async throws
    {
        try await withStage { stage in
            let (poll, end) = try await play(stage)
            await passivate(stage)
            #expect(await !isInMemory(stage))
            stage.manage(60, .readPoll(poll))
            stage.send(61, .subscribe(after: end))
            var messages = await stage.settle()
            while messages.joined.isEmpty { messages += await stage.settle() }
            let json = String(decoding: messages.documents[60]?.json ?? [], as: UTF8.self)
            #expect(json.contains(#""totalVotes":3"#) && json.contains(#""status":"ENDED""#))
            #expect(messages.joined.first?.subscribed.recovered == true)
            #expect(await isInMemory(stage))
            // The stream goes on above every position that was given before.
            stage.manage(62, .signal(.openMode, name: "dice", data: Array("1".utf8)))
            let signal = try #require(await stage.settle().events.first)
            #expect(signal.position == Position(epoch: end.epoch, seq: end.seq + 1))
            #expect(stage.journal.state.withLock { $0.reads } == 1)
        }
    }

    @Test func `a place before what is remembered is answered with a snapshot`() async throws {
        try await withStage { stage in
            let (_, end) = try await play(stage)
            await passivate(stage)
            stage.send(60, .subscribe(after: Position(epoch: end.epoch, seq: end.seq - 1)))
            var messages = await stage.settle()
            while messages.joined.isEmpty { messages += await stage.settle() }
            #expect(messages.joined.first?.subscribed.recovered == false)
            #expect(messages.joined.first?.subscribed.position == end)
        }
    }

    @Test func `nothing leaves memory that is not in a snapshot`() async throws {
        try await withStage { stage in
            _ = try await play(stage)
            _ = await stage.advance(milliseconds: Self.idleMilliseconds + 1)
            #expect(await isInMemory(stage))
            await storeSnapshots(stage)
            _ = await stage.advance(milliseconds: Self.idleMilliseconds)
            #expect(await !isInMemory(stage))
        }
    }

    @Test func `a campaign with a subscriber or with a poll that runs stays`() async throws {
        try await withStage { stage in
            _ = try await play(stage)
            await storeSnapshots(stage)
            stage.send(60, .subscribe(after: nil))
            _ = await stage.advance(milliseconds: Self.idleMilliseconds * 3)
            #expect(await isInMemory(stage))
            stage.send(61, .leave)
            await stage.settle()
            _ = await stage.advance(milliseconds: Self.idleMilliseconds * 2)
            #expect(await !isInMemory(stage))
        }
    }

    @Test func `use puts the end of its stay off`() async throws {
        try await withStage { stage in
            _ = try await play(stage)
            await storeSnapshots(stage)
            _ = await stage.advance(milliseconds: Self.idleMilliseconds - 1000)
            stage.manage(60, .readCampaign)
            _ = await stage.advance(milliseconds: 2000)
            #expect(await isInMemory(stage))
            _ = await stage.advance(milliseconds: Self.idleMilliseconds)
            #expect(await !isInMemory(stage))
        }
    }

    @Test func `a snapshot that is not what was left behind is not taken for it`() async throws {
        try await withStage { stage in
            _ = try await play(stage)
            await passivate(stage)
            stage.journal.state.withLock { state in
                for (id, stored) in state.stored {
                    state.stored[id] = RecoveredSnapshot(campaign: id, lsn: stored.lsn - 1, state: stored.state)
                }
            }
            stage.manage(60, .readCampaign)
            var messages = await stage.settle()
            while messages.refusals.isEmpty { messages += await stage.settle() }
            #expect(messages.refusals == [60: .unavailable])
            #expect(await !isInMemory(stage))
        }
    }

    @Test func `a fenced slot answers who waits for a campaign that is being read`() async throws {
        try await withStage { stage in
            _ = try await play(stage)
            await passivate(stage)
            let other = IdempotencyMark(key: Hash128(high: 1, low: 2), body: Hash128(high: 3, low: 4))
            stage.toShard.post(
                .road(
                    .create(
                        CreationCommand(
                            slot: stage.slot, principal: .openMode, draft: CampaignDraft(name: "New", description: nil),
                            mark: other, ticket: stage.ticket(60), receivedAt: stage.clock.now()))))
            await stage.settle()
            stage.journal.answer(.fenced)
            stage.manage(61, .readCampaign)
            var messages = await stage.settle()
            while messages.refusals[61] == nil { messages += await stage.settle() }
            #expect(messages.refusals == [60: .timeout, 61: .unavailable])
        }
    }

    @Test func `a creation that is asked for again wakes the campaign that it made`() async throws {
        try await withStage { stage in
            let mark = IdempotencyMark(key: Hash128(high: 1, low: 2), body: Hash128(high: 3, low: 4))
            func create(_ number: Int64) {
                stage.toShard.post(
                    .road(
                        .create(
                            CreationCommand(
                                slot: stage.slot, principal: .openMode,
                                draft: CampaignDraft(name: "New", description: nil), mark: mark,
                                ticket: stage.ticket(number), receivedAt: stage.clock.now()))))
            }
            create(1)
            await stage.settle()
            stage.journal.answer(.committed)
            let first = try #require(await stage.settle().documents[1])
            _ = await stage.advance(milliseconds: 61_000)
            await passivate(stage)
            #expect(await stage.shard.hostedCount < 2)
            create(2)
            var messages = await stage.settle()
            while messages.documents[2] == nil { messages += await stage.settle() }
            #expect(messages.documents[2]?.json == first.json)
        }
    }

    @Test func `what a snapshot holds whole takes no memory at the start`() async throws {
        let stage = await Stage()
        let new = try NewCampaign(id: stage.campaign, ownerId: "gm", name: "Old", description: nil)
        let state = try Campaign(created: Campaign.decideCreate(new, at: stage.clock.now()))
        var bytes: [UInt8] = []
        state.encodeSnapshot(into: &bytes)
        let stored = RecoveredSnapshot(campaign: stage.campaign, lsn: 3, state: bytes)
        stage.journal.state.withLock { $0.stored[stage.campaign] = stored }
        let recovered = RecoveredCampaign(state: state, lsn: 3, snapshotBytes: bytes.count, journalBytes: 0)
        let claim = SlotClaim(slot: stage.slot, epoch: 7, tail: 3)
        await stage.shard.expect([stage.slot])
        stage.toShard.post(.opened(stage.slot, .success(OpenedSlot(claim: claim, campaigns: [recovered]))))
        await stage.settle()
        #expect(await !isInMemory(stage))
        stage.manage(1, .readCampaign)
        var messages = await stage.settle()
        while messages.documents.isEmpty { messages += await stage.settle() }
        #expect(messages.documents[1]?.status == 200)
        await stage.stop()
    }
}
