// Load for the journal in PostgreSQL, and for the design that it is compared with: a row per vote, in batches.
//
//   JournalBench packed|unnest URL SECONDS CONNECTIONS BATCHES
//
// Each of so many connections has one transaction under way at a time, of BATCHES times 1000 votes. `packed` goes
// through `PostgresJournal.submit`, one row of a slot for each 1000 votes; `unnest` inserts into the table `vote`.
// It prints one line of JSON; a refused row ends it with a failure. Benchmarks/journal.py runs it.

internal import Foundation
internal import Journal
internal import Platform
internal import Postgres
internal import Protocol

@main
struct JournalBench {
    static let votesPerBatch = 1000
    static let bytesPerVote = 40

    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 6, let seconds = Double(arguments[3]), let connections = Int(arguments[4]),
            let batches = Int(arguments[5]), (1...4).contains(connections), (1...256).contains(batches)
        else {
            FileHandle.standardError.write(
                Data("usage: JournalBench packed|unnest URL SECONDS CONNECTIONS BATCHES\n".utf8))
            exit(2)
        }
        let configuration = try PostgresConfiguration(arguments[2])
        let tally = Tally(seconds: seconds)
        switch arguments[1] {
        case "packed": try await packed(configuration, connections, batches, tally)
        case "unnest": try await unnest(configuration, connections, batches, tally)
        default: exit(2)
        }
        print(tally.report)
    }

    /// The budget that gives so many connections to flushes.
    private static func budget(flushers: Int) -> Int { 2 * max(flushers, 2) }

    // MARK: - This journal

    private static func packed(
        _ configuration: PostgresConfiguration, _ connections: Int, _ batches: Int, _ tally: Tally
    ) async throws {
        try await withPool(configuration, budget: 1) { pool in
            _ = try await PostgresMigration.run(pool, deadline: .now(after: 60))
        }
        var options = PostgresJournalOptions()
        options.budget = budget(flushers: connections)
        let journal = PostgresJournal(
            configuration, identity: NodeIdentity(incarnation: SystemRandom().next128(), name: "bench"),
            options: options)
        try await journal.open()
        let lanes = PoolPlan(budget: options.budget).flushers.count
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<connections {
                // Slots that go by the same connection.
                let slots = (0..<batches).map { Slot(UInt16(lane + $0 * lanes)) }
                let claims = try await journal.claim(slots)
                guard claims.count == slots.count else { throw Refusal(reason: "the slots are another node's") }
                group.addTask { try await feed(journal, claims, tally) }
            }
            try await group.waitForAll()
        }
        await journal.close()
    }

    private static func feed(_ journal: PostgresJournal, _ claims: [SlotClaim], _ tally: Tally) async throws {
        var number: UInt64 = 0
        while !tally.isOver {
            number += 1
            let rows = seal(claims, number)
            let sentAt = MonotonicTime.now.nanoseconds
            let outcomes = await withCheckedContinuation { continuation in
                if !journal.submit(rows, completion: { continuation.resume(returning: $0) }) {
                    continuation.resume(returning: [])
                }
            }
            guard outcomes.count == rows.count, outcomes.allSatisfy({ $0.outcome == .committed }) else {
                throw Refusal(reason: "\(outcomes.first.map { "\($0.outcome)" } ?? "the queue is full")")
            }
            tally.note(votes: rows.count * votesPerBatch, sentAt: sentAt)
        }
    }

    private static let payload = (0..<votesPerBatch * bytesPerVote / 8).flatMap { index in
        let word = mixed(UInt64(index))
        return (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }

    private static func seal(_ claims: [SlotClaim], _ number: UInt64) -> [SealedRow] {
        claims.map { claim in
            let campaign = CampaignID(
                UUIDv7(at: Timestamp(milliseconds: 1), random: UInt128(claim.slot.index)))
            return SealedRow(
                slot: claim.slot, lsn: claim.tail + number, epoch: claim.epoch,
                flush: UInt128(mixed(number)) << 64 | UInt128(claim.slot.index), count: UInt32(votesPerBatch),
                campaigns: [campaign], payload: payload)
        }
    }

    // MARK: - A row per vote

    private static let insert = PostgresStatement(
        "bench.insert", [.uuid, .uuidArray, .int32Array],
        """
        INSERT INTO vote(poll, voter, choice) SELECT $1, v.voter, v.choice FROM unnest($2, $3) AS v(voter, choice)
        ON CONFLICT DO NOTHING
        """)

    private static func unnest(
        _ configuration: PostgresConfiguration, _ connections: Int, _ batches: Int, _ tally: Tally
    ) async throws {
        try await withPool(configuration, budget: budget(flushers: connections)) { pool in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for lane in 0..<connections {
                    group.addTask {
                        var number: UInt64 = 0
                        while !tally.isOver {
                            number += 1
                            let values = votes(lane, number, count: batches * votesPerBatch)
                            let sentAt = MonotonicTime.now.nanoseconds
                            _ = try await pool.execute(.flush(lane), insert, values, deadline: .now(after: 30))
                            tally.note(votes: batches * votesPerBatch, sentAt: sentAt)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    /// Voters that were not there before, spread over the whole range as random ids are.
    private static func votes(_ lane: Int, _ number: UInt64, count: Int) -> [PostgresValue] {
        let first = UInt64(lane) << 56 | number * UInt64(count)
        let voters = (0..<UInt64(count)).map { UInt128(mixed(first + $0)) << 64 | UInt128(mixed(~(first + $0))) }
        return [.uuid(UInt128(lane)), .uuidArray(voters), .int32Array((0..<count).map { Int32($0 % 5) })]
    }

    /// SplitMix64's finalizer: another number for each number.
    private static func mixed(_ number: UInt64) -> UInt64 {
        var bits = number &+ 0x9E37_79B9_7F4A_7C15
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }

    private static func withPool(
        _ configuration: PostgresConfiguration, budget: Int,
        _ body: @Sendable (PostgresPool) async throws -> Void
    ) async throws {
        let loops = LoopGroup(count: 1, name: "bench")
        var options = PostgresPoolOptions()
        options.budget = budget
        let pool = PostgresPool(configuration, options: options, on: loops.loops[0])
        await pool.start()
        try await body(pool)
        await pool.close()
        loops.shutdown()
    }
}

/// A row that was not taken: the figures would mean nothing.
struct Refusal: Error {
    let reason: String
}

/// What was acknowledged between the end of a second of warm-up and the end of the run.
final class Tally: Sendable {
    private let begin: UInt64
    private let end: UInt64
    private let counted = Locked((votes: 0, latencies: [UInt64]()))

    init(seconds: Double) {
        begin = MonotonicTime.now.nanoseconds + 1_500_000_000
        end = begin + UInt64(seconds * 1e9)
    }

    var isOver: Bool { MonotonicTime.now.nanoseconds >= end }

    func note(votes: Int, sentAt: UInt64) {
        let now = MonotonicTime.now.nanoseconds
        guard now >= begin, now < end else { return }
        counted.withLock { counted in
            counted.votes += votes
            counted.latencies.append(now - sentAt)
        }
    }

    var report: String {
        let (votes, unsorted) = counted.withLock { $0 }
        let latencies = unsorted.sorted()
        guard !latencies.isEmpty else { return "{\"votesPerSecond\":0}" }
        let rate = Double(votes) / (Double(end - begin) / 1e9)
        let (p50, p99) = (latencies[latencies.count / 2] / 1000, latencies[latencies.count * 99 / 100] / 1000)
        return "{\"votesPerSecond\":\(Int(rate)),\"p50us\":\(p50),\"p99us\":\(p99)}"
    }
}

extension MonotonicTime {
    static func now(after seconds: UInt64) -> MonotonicTime {
        MonotonicTime(nanoseconds: now.nanoseconds + seconds * 1_000_000_000)
    }
}
