// A busy poll out of the journal: packed votes read back, checked, decoded and counted anew. Prints the rate, which
// means something in a release build; TUMULTE_BENCHMARK makes it a million votes.

import Cluster
import Domain
import Foundation
@testable import Journal
import Platform
import Postgres
import Protocol
import Testing

@testable import Node

@Suite(.serialized, .timeLimit(.minutes(5)))
struct ReplayTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let votes = environment["TUMULTE_BENCHMARK"] == nil ? 50_000 : 1_000_000
    private static let votesPerRow = 4096
    private static let options = 3

    private let slot = Slot(9)
    private let now = Timestamp(milliseconds: 1_800_000_000_000)

    /// A campaign with a poll in which every vote has a voter of its own: its rows, sealed for `epoch`.
    private func rows(_ type: PollType, epoch: UInt64) throws -> (rows: [SealedRow], campaign: Campaign) {
        let random = SeededRandom(seed: 4)
        let id = CampaignID.draw(in: slot, at: now, random: random)
        let created = Campaign.decideCreate(
            try NewCampaign(id: id, ownerId: nil, name: "Replay", description: nil), at: now)
        var campaign = try Campaign(created: created)
        var writer = RecordWriter()
        writer.append(created, campaign: id)
        let pollID = PollID(UUIDv7(at: now, random: 5))
        let poll = try NewPoll(question: "Which?", options: ["a", "b", "c"], durationSeconds: 1800, type: type)
        for event in try campaign.decide(.launch(id: pollID, poll, voterKey: Hash128(high: 1, low: 2)), at: now) {
            campaign.evolve(event)
            writer.append(event, campaign: id)
        }
        var rows: [SealedRow] = []
        for number in 0..<Self.votes {
            let status = try campaign.castVote(
                poll: pollID, option: number % Self.options,
                voter: Hash128(high: random.next(), low: random.next()), key: nil, channel: nil, at: now, into: &writer)
            #expect(status == .counted)
            guard (number + 1) % Self.votesPerRow == 0 || number + 1 == Self.votes else { continue }
            let count = writer.voteCount
            var payload = RowPayload()
            payload.append(writer.take())
            rows.append(
                SealedRow(
                    slot: slot, lsn: UInt64(rows.count + 1), epoch: epoch, flush: random.next128(),
                    count: UInt32(count), campaigns: [id], payload: payload.bytes))
        }
        return (rows, campaign)
    }

    private func replay(_ type: PollType, _ store: String, _ journal: any Journal) async throws {
        let claim = try #require(try await journal.claim([slot]).first)
        let (rows, campaign) = try rows(type, epoch: claim.epoch)
        for row in rows {
            let outcomes = await withCheckedContinuation { continuation in
                if !journal.submit([row], completion: { continuation.resume(returning: $0) }) {
                    continuation.resume(returning: [])
                }
            }
            #expect(outcomes.map(\.outcome) == [.committed])
        }
        let began = MonotonicTime.now.nanoseconds
        let recovery = try await journal.recover(slot)
        let read = MonotonicTime.now.nanoseconds
        let found = try SlotReplay.campaigns(of: recovery, slot: slot)
        let ended = MonotonicTime.now.nanoseconds
        #expect(recovery.rows.count == rows.count)
        #expect(found.map(\.state.stateHash) == [campaign.stateHash])
        let rate = { (from: UInt64) in Double(Self.votes) / Double(ended - from) * 1e3 }
        print(
            "figure: \(Self.votes) packed votes of a \(type) poll recovered from \(store):",
            String(format: "%.1f million votes/s,", rate(began)),
            String(format: "%.1f million votes/s of that replayed in memory", rate(read)))
    }

    @Test(arguments: [PollType.standard, .unique])
    func `a poll comes back from SQLite vote by vote`(type: PollType) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("replay-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let journal = try SQLiteJournal(
            folder: folder.path, now: { SystemClock().now() },
            nanoseconds: { MonotonicTime.now.nanoseconds })
        try await replay(type, "SQLite", journal)
        await journal.close()
    }

    @Test(.needsServer, arguments: [PollType.standard, .unique])
    func `a poll comes back from PostgreSQL vote by vote`(type: PollType) async throws {
        let url = try await makeDatabase()
        var options = PostgresJournalOptions()
        options.leaseNanoseconds = 120_000_000_000
        options.flushNanoseconds = 60_000_000_000
        let journal = PostgresJournal(
            try PostgresConfiguration(url),
            identity: NodeIdentity(incarnation: SystemRandom().next128(), name: "replay"), options: options)
        try await journal.open()
        try await replay(type, "PostgreSQL", journal)
        await journal.close()
    }
}
