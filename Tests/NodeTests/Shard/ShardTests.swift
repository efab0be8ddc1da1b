// The road of a vote through shard, campaign and gate, with a journal that answers when the test says so.

import Domain
import Journal
import Platform
import Protocol
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5)))
struct ShardTests {
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

    @Test func `an answer waits for the commit of its row`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            let before = await stage.settle()
            #expect(before.votes.isEmpty && before.events.isEmpty)
            #expect(stage.journal.waiting.count == 1)
            stage.journal.answer(.committed)
            let after = await stage.settle()
            #expect(after.votes == [1: .counted])
        }
    }

    @Test func `a refusal waits too, since it may rest on what is not committed`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.manage(1, .cancel(.openMode, poll))
            stage.vote(2, poll)
            let before = await stage.settle()
            #expect(before.refusals.isEmpty && before.documents.isEmpty)
            stage.journal.answer(.committed)
            let after = await stage.settle()
            #expect(after.refusals == [2: .pollClosed])
            #expect(after.documents[1]?.status == 200)
        }
    }

    @Test func `reads and newcomers see what is committed, and nothing else`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            stage.send(2, .subscribe(after: nil))
            stage.manage(3, .readPoll(poll))
            stage.manage(4, .readPolls(limit: 5))
            let before = await stage.settle()
            #expect(before.joined.first?.subscribed.poll?.tally.totalVotes == 0)
            let read = before.documents[3].map { String(decoding: $0.json, as: UTF8.self) }
            #expect(read?.contains(#""totalVotes":0"#) == true)
            let list = before.documents[4].map { String(decoding: $0.json, as: UTF8.self) }
            #expect(list?.contains(#""totalVotes":0"#) == true)
            stage.journal.answer(.committed)
            let after = await stage.settle()
            #expect(after.votes == [1: .counted])
            let update = after.events.first
            #expect(update?.body.name.description == "poll:update")
            stage.manage(5, .readPoll(poll))
            let late = await stage.settle()
            #expect(
                late.documents[5].map { String(decoding: $0.json, as: UTF8.self) }?.contains(#""totalVotes":1"#) == true
            )
        }
    }

    @Test func `a poll that is not committed is not shown`() async throws {
        try await withStage { stage in
            let draft = PollDraft(question: "Q", options: ["a", "b"], durationSeconds: 60, type: .standard)
            stage.manage(1, .launch(.openMode, draft))
            stage.manage(2, .readPolls(limit: 5))
            stage.manage(3, .readCampaign)
            let before = await stage.settle()
            #expect(before.documents[1] == nil)
            #expect(before.documents[2].map { String(decoding: $0.json, as: UTF8.self) } == "[]")
            #expect(
                before.documents[3].map { String(decoding: $0.json, as: UTF8.self) }?.contains(#""runningPoll":null"#)
                    == true)
            stage.journal.answer(.committed)
            #expect(await stage.settle().documents[1]?.status == 201)
        }
    }

    @Test func `what comes while a row is in flight goes into the next one, together`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            for number in 2...50 {
                stage.vote(Int64(number), poll)
                await stage.settle()
            }
            #expect(stage.journal.waiting.map(\.count) == [1])
            stage.journal.answer(.committed)
            let first = await stage.settle()
            #expect(first.votes == [1: .counted])
            #expect(stage.journal.waiting.map(\.count) == [49])
            let lsns = stage.journal.waiting.map(\.lsn)
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes.count == 49)
            #expect(lsns == [3])
        }
    }

    @Test func `a failed row is sent again as it was, and new votes are refused meanwhile`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            let sealed = stage.journal.waiting
            stage.journal.answer(.failed(.full("no space")))
            await stage.settle()
            stage.vote(2, poll)
            let refused = await stage.settle()
            #expect(refused.refusals == [2: .unavailable])
            #expect(stage.journal.waiting.isEmpty)
            _ = await stage.advance(milliseconds: 60)
            #expect(stage.journal.waiting == sealed)
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes == [1: .counted])
            stage.vote(3, poll)
            await stage.settle()
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes == [3: .counted])
        }
    }

    @Test func `a commit that does not come in time leaves the outcome unknown, and still counts once it came`()
        async throws
    {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll, voter: "ann", key: "k")
            await stage.settle()
            #expect(await stage.advance(milliseconds: 4_900).refusals.isEmpty)
            #expect(await stage.advance(milliseconds: 200).refusals == [1: .timeout])
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes.isEmpty)
            stage.vote(2, poll, voter: "ann", key: "k")
            #expect(await stage.settle().votes == [2: .duplicate])
        }
    }

    @Test func `rows that the journal has no room for are handed over again`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.journal.state.withLock { $0.isFull = true }
            stage.vote(1, poll)
            await stage.settle()
            #expect(stage.journal.waiting.isEmpty)
            stage.journal.state.withLock { $0.isFull = false }
            _ = await stage.advance(milliseconds: 60)
            #expect(stage.journal.waiting.count == 1)
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes == [1: .counted])
        }
    }

    @Test func `a fenced slot answers what waited and is served no more`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            stage.journal.answer(.fenced)
            let answers = await stage.settle()
            #expect(answers.refusals == [1: .timeout])
            stage.vote(2, poll)
            #expect(await stage.settle().refusals == [2: .unavailable])
        }
    }

    @Test func `a slot that was given up is opened again, and its followers are told to ask anew`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            stage.toShard.post(.slotLost(stage.slot))
            #expect(await stage.settle().refusals == [1: .timeout])
            #expect(await stage.fenced.next(recycling: []) == [stage.slot])
            await stage.shard.reopen(stage.slot)
            stage.manage(2, .readCampaign)
            #expect(await stage.settle().documents.isEmpty)
            let claim = SlotClaim(slot: stage.slot, epoch: 8, tail: 0)
            stage.toShard.post(.opened(stage.slot, .success(OpenedSlot(claim: claim, campaigns: []))))
            let messages = await stage.settle()
            #expect(messages.refusals == [2: .notFound])
            let resyncs = messages.compactMap { if case .resync(let slot) = $0 { slot } else { nil } }
            #expect(resyncs == [stage.slot])
        }
    }

    @Test func `a slot that is given away is let go of once its last vote is committed and answered`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            stage.vote(1, poll)
            await stage.settle()
            let epochs = Locked<[UInt64?]>([])
            stage.toShard.post(.release([stage.slot]) { told in epochs.withLock { $0 += told.map(\.content?.epoch) } })
            stage.vote(2, poll)
            #expect(await stage.settle().handedBack == [2])
            #expect(epochs.withLock { $0.isEmpty })
            stage.journal.answer(.committed)
            #expect(await stage.settle().votes == [1: .counted])
            #expect(epochs.withLock { $0 } == [7])
            stage.vote(3, poll)
            #expect(await stage.settle().handedBack == [3])
            stage.toShard.post(.released(stage.slot))
            let resyncs = await stage.settle().compactMap { if case .resync(let slot) = $0 { slot } else { nil } }
            #expect(resyncs == [stage.slot])
            stage.toShard.post(.release([stage.slot]) { told in epochs.withLock { $0 += told.map(\.content?.epoch) } })
            await stage.settle()
            #expect(epochs.withLock { $0 } == [7, nil])
        }
    }

    @Test func `slots that come to rest in one turn are told of together, others when they do`() async throws {
        try await withStage { stage in
            let poll = try await stage.launch()
            let index = Int(stage.slot.index)
            let slots = (0...2).map { Slot(UInt16((index + $0) % Slot.count)) }
            let claim = SlotClaim(slot: slots[1], epoch: 9, tail: 0)
            await stage.shard.expect([slots[1]])
            stage.toShard.post(.opened(slots[1], .success(OpenedSlot(claim: claim, campaigns: []))))
            await stage.settle()
            let told = Locked<[[UInt64?]]>([])
            stage.vote(1, poll)
            await stage.settle()
            stage.toShard.post(
                .release(slots) { releases in told.withLock { $0.append(releases.map(\.content?.epoch)) } })
            await stage.settle()
            #expect(told.withLock { $0 } == [[nil], [9]])
            stage.journal.answer(.committed)
            await stage.settle()
            #expect(told.withLock { $0 } == [[nil], [9], [7]])
        }
    }

    @Test func `slots that are at rest are let go of at once, by one message`() async throws {
        try await withStage { stage in
            let other = Slot(UInt16((Int(stage.slot.index) + 1) % Slot.count))
            await stage.shard.expect([other])
            let claim = SlotClaim(slot: other, epoch: 9, tail: 0)
            stage.toShard.post(.opened(other, .success(OpenedSlot(claim: claim, campaigns: []))))
            await stage.settle()
            let told = Locked<[[UInt64?]]>([])
            stage.toShard.post(
                .release([stage.slot, other]) { releases in
                    told.withLock { $0.append(releases.map(\.content?.epoch)) }
                })
            await stage.settle()
            #expect(told.withLock { $0 } == [[7, 9]])
        }
    }

    @Test func `commands for an opening slot wait for it`() async throws {
        let stage = await Stage()
        await stage.shard.expect([stage.slot])
        stage.manage(1, .readCampaign)
        #expect(await stage.settle().documents.isEmpty)
        #expect(try await stage.open().documents[1]?.status == 200)
        await stage.stop()
    }

    @Test func `a slot that is not here is told apart from one that cannot be read`() async throws {
        let stage = await Stage()
        stage.manage(1, .readCampaign)
        let messages = await stage.settle()
        #expect(messages.refusals.isEmpty)
        #expect(messages.handedBack == [1])
        await stage.shard.expect([stage.slot])
        stage.toShard.post(.opened(stage.slot, .failure(SlotRefusal(reason: "damaged"))))
        stage.manage(2, .readCampaign)
        #expect(await stage.settle().refusals == [2: .unavailable])
        await stage.stop()
    }

    @Test func `a keyed creation happens once and is answered alike`() async throws {
        try await withStage { stage in
            let mark = IdempotencyMark(key: Hash128(high: 1, low: 2), body: Hash128(high: 3, low: 4))
            func create(_ number: Int64, _ mark: IdempotencyMark) {
                stage.toShard.post(
                    .road(
                        .create(
                            CreationCommand(
                                slot: stage.slot, principal: .openMode,
                                draft: CampaignDraft(name: "New", description: nil), mark: mark,
                                ticket: stage.ticket(number), receivedAt: stage.clock.now()))))
            }
            create(1, mark)
            create(2, mark)
            create(3, IdempotencyMark(key: mark.key, body: Hash128(high: 9, low: 9)))
            #expect(await stage.settle().documents.isEmpty)
            stage.journal.answer(.committed)
            let answers = await stage.settle()
            #expect(answers.documents[1]?.json == answers.documents[2]?.json && answers.documents[1] != nil)
            #expect(answers.refusals == [3: .conflict])
        }
    }

    @Test func `a poll that ended while nobody served ends with its true time, in the journal once`() async throws {
        let stage = await Stage()
        let started = stage.clock.now()
        let poll = PollID(UUIDv7(at: started, random: 5))
        let definition = PollDefinition(
            id: poll, question: "Q", options: ["a", "b"], type: .standard, durationSeconds: 15, startedAt: started)
        stage.clock.advance(milliseconds: 100_000)
        try await stage.open([.pollStarted(definition, voterKey: Hash128(high: 1, low: 1))])
        #expect(stage.journal.waiting.count == 1)
        stage.journal.answer(.committed)
        await stage.settle()
        stage.manage(1, .readPoll(poll))
        let json = String(decoding: await stage.settle().documents[1]?.json ?? [], as: UTF8.self)
        #expect(json.contains(#""status":"ENDED""#))
        #expect(json.contains("\"endedAt\":\"\(started.advanced(byMilliseconds: 15_000))\""))
        _ = await stage.advance(milliseconds: 5_000)
        #expect(stage.journal.waiting.isEmpty)
        await stage.stop()
    }
}
