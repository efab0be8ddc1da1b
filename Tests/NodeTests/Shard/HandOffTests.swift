// A slot goes from one shard to another: what the first one lets go of and what the second one opens.

import Domain
import Journal
import Platform
import Protocol
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5)))
struct HandOffTests {
    /// Runs `body` with two shards; the first one serves the campaign.
    private func withStages(_ body: (Stage, Stage) async throws -> Void) async throws {
        let (giver, taker) = (await Stage(), await Stage())
        let result: Result<Void, any Error>
        do {
            try await giver.open()
            result = .success(try await body(giver, taker))
        } catch {
            result = .failure(error)
        }
        await giver.stop()
        await taker.stop()
        try result.get()
    }

    /// The giver's slot, once it has let go of it.
    private func released(_ stage: Stage) async throws -> ReleasedSlot {
        let result = Locked<ReleasedSlot?>(nil)
        stage.toShard.post(.release([stage.slot]) { told in result.withLock { $0 = told.first?.content } })
        await stage.settle()
        return try #require(result.withLock { $0 })
    }

    /// The campaign as a node reads it beforehand, up to a row.
    private func read(_ stage: Stage, _ rows: [SealedRow]) throws -> [RecoveredCampaign] {
        let new = try NewCampaign(id: stage.campaign, ownerId: "gm", name: "Stage", description: nil)
        let state = try Campaign(created: Campaign.decideCreate(new, at: stage.clock.now()))
        let start = RecoveredCampaign(state: state, lsn: 0, snapshotBytes: nil, journalBytes: 0)
        return try SlotReplay.campaigns([start], andRows: rows, slot: stage.slot)
    }

    @Test func `what was read beforehand, and the rows since, give the state that was let go of`() async throws {
        try await withStages { giver, taker in
            let poll = try await giver.launch(.unique)
            for (number, voter) in ["ann", "bob", "eve"].enumerated() {
                giver.vote(Int64(number), poll, option: number % 2, voter: voter)
                await giver.settle()
                giver.journal.answer(.committed)
                await giver.settle()
            }
            let content = try await released(giver)
            #expect(content.epoch == 7 && content.tail == 4)
            let rows = giver.journal.committed
            #expect(rows.map(\.lsn) == [1, 2, 3, 4])
            for read in 0...rows.count {
                let before = try self.read(giver, Array(rows[..<read]))
                let campaigns = try SlotReplay.campaigns(before, andRows: Array(rows[read...]), slot: giver.slot)
                #expect(campaigns.map(\.state.stateHash) == content.campaigns.map(\.stateHash), "read up to \(read)")
                #expect(campaigns.map(\.lsn) == [4])
                // Rows that were read already do no harm.
                let again = try self.read(giver, Array(rows[..<read]))
                let overlapping = try SlotReplay.campaigns(again, andRows: rows, slot: giver.slot)
                #expect(overlapping.map(\.state.stateHash) == content.campaigns.map(\.stateHash))
            }
        }
    }

    @Test func `followers go on where they were, with the tally that was still owed`() async throws {
        try await withStages { giver, taker in
            let poll = try await giver.launch()
            giver.send(1, .subscribe(after: nil))
            await giver.settle()
            giver.vote(2, poll, voter: "ann")
            await giver.settle()
            giver.journal.answer(.committed)
            let seen = try #require(await giver.settle().events.last?.position)
            // The interval is not over: the update of this vote is owed when the slot moves.
            giver.vote(3, poll, option: 1, voter: "bob")
            await giver.settle()
            giver.journal.answer(.committed)
            let ack = try #require(await giver.settle().votePositions.last)
            let content = try await released(giver)

            let campaigns = try read(giver, giver.journal.committed)
            var pasts: [CampaignID: StreamPast] = [:]
            for campaign in content.campaigns { pasts[campaign.id] = campaign.past }
            await taker.shard.expect([taker.slot])
            let claim = SlotClaim(slot: taker.slot, epoch: 9, tail: content.tail)
            taker.toShard.post(
                .opened(taker.slot, .success(OpenedSlot(claim: claim, campaigns: campaigns, pasts: pasts))))
            await taker.settle()

            taker.send(4, .subscribe(after: seen))
            let joined = try #require(await taker.settle().joined.first)
            #expect(joined.subscribed.recovered && joined.subscribed.position == seen)
            let update = try #require(joined.missed.last)
            #expect(update.position.epoch == 9 && update.position > ack)
            guard case .pollUpdate(let tally) = update.event.body else { throw CancellationError() }
            #expect(tally.votes == [1, 1])

            // A place that the giver never gave, and one from before its time.
            taker.send(5, .subscribe(after: Position(epoch: 7, seq: ack.seq + 100)))
            #expect(await taker.settle().joined.first?.subscribed.recovered == false)
            taker.send(6, .subscribe(after: Position(epoch: 6, seq: 1)))
            #expect(await taker.settle().joined.first?.subscribed.recovered == false)
        }
    }

    @Test func `the clock of a poll goes on at the next owner`() async throws {
        try await withStages { giver, taker in
            let poll = try await giver.launch(seconds: 30)
            giver.vote(1, poll, voter: "ann")
            await giver.settle()
            giver.journal.answer(.committed)
            await giver.settle()
            let content = try await released(giver)
            let campaigns = try read(giver, giver.journal.committed)
            await taker.shard.expect([taker.slot])
            let claim = SlotClaim(slot: taker.slot, epoch: 9, tail: content.tail)
            taker.toShard.post(
                .opened(
                    taker.slot,
                    .success(
                        OpenedSlot(
                            claim: claim, campaigns: campaigns,
                            pasts: [taker.campaign: try #require(content.campaigns.first).past]))))
            taker.send(1, .subscribe(after: nil))
            await taker.settle()
            _ = await taker.advance(milliseconds: 31_000)
            taker.journal.answer(.committed)
            let events = await taker.settle().events
            let end = try #require(events.last { $0.body.name.description == "poll:end" })
            guard case .pollEnd(let poll) = end.body else { throw CancellationError() }
            #expect(poll.tally.votes == [1, 0])
            #expect(poll.endedAt == poll.endsAt)
        }
    }
}
