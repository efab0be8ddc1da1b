// A shard on a real loop with a clock that the test holds, a journal that does what the test says, and the messages
// that would go to the edges.

import Cluster
import Domain
@testable import Journal
import Platform
import Protocol

@testable import Node

/// A journal whose outcomes the test gives by hand.
final class ScriptedJournal: Journal {
    struct State {
        var rows: [(rows: [SealedRow], completion: @Sendable ([RowOutcome]) -> Void)] = []
        var snapshots: [(SnapshotJob, @Sendable (SnapshotOutcome) -> Void)] = []
        var isFull = false
        var stored: [CampaignID: RecoveredSnapshot] = [:]
        /// Snapshots that were asked for.
        var committed: [SealedRow] = []
        var reads = 0
        /// Snapshots are not answered for before `endReads`.
        var areReadsHeld = false
        var heldReads: [CheckedContinuation<Void, Never>] = []
        var recovery: [Slot: SlotRecovery] = [:]
    }
    let state = Locked(State())

    func claim(_ slots: [Slot]) async throws(JournalError) -> [SlotClaim] {
        slots.map { SlotClaim(slot: $0, epoch: 7, tail: 0) }
    }
    func submit(_ rows: [SealedRow], completion: @escaping @Sendable ([RowOutcome]) -> Void) -> Bool {
        state.withLock { state in
            guard !state.isFull else { return false }
            state.rows.append((rows, completion))
            return true
        }
    }
    func submitSnapshot(_ job: SnapshotJob, completion: @escaping @Sendable (SnapshotOutcome) -> Void) {
        state.withLock { $0.snapshots.append((job, completion)) }
    }
    func removeCampaign(
        _ campaign: CampaignID, slot: Slot, lsn: UInt64, epoch: UInt64,
        completion: @escaping @Sendable (SnapshotOutcome) -> Void
    ) { completion(.stored) }
    func index(_ slots: [Slot]) async throws(JournalError) -> [SlotIndex] { [] }
    func recover(_ slot: Slot) async throws(JournalError) -> SlotRecovery {
        guard let recovery = state.withLock({ $0.recovery[slot] }) else { throw .io("nothing scripted") }
        return recovery
    }
    func snapshot(of campaign: CampaignID, slot: Slot) async throws(JournalError) -> RecoveredSnapshot? {
        await withCheckedContinuation { continuation in
            let isHeld = state.withLock { state in
                if state.areReadsHeld { state.heldReads.append(continuation) }
                return state.areReadsHeld
            }
            if !isHeld { continuation.resume() }
        }
        return state.withLock { state in
            state.reads += 1
            return state.stored[campaign]
        }
    }
    func repair(_ slot: Slot, keepThrough lsn: UInt64) async throws(JournalError) -> Int { 0 }
    func trimHolders() async throws(JournalError) -> [TrimHolder] { [] }
    func expireVoterData(before limit: Timestamp) async throws(JournalError) -> [TrimHolder] { [] }
    var statistics: JournalStatistics { JournalStatistics() }
    func close() async {}

    /// Answers for snapshots, from now on and for those that were asked for.
    func endReads() {
        let held = state.withLock { state in
            defer { state.heldReads = [] }
            state.areReadsHeld = false
            return state.heldReads
        }
        for continuation in held { continuation.resume() }
    }

    /// The rows that wait for an outcome, oldest first.
    var waiting: [SealedRow] { state.withLock { $0.rows.flatMap(\.rows) } }

    /// The rows that were answered as committed, in that order.
    var committed: [SealedRow] { state.withLock { $0.committed } }

    /// Answers for everything that waits.
    func answer(_ outcome: FlushOutcome) {
        let batches = state.withLock { state in
            defer { state.rows = [] }
            if outcome == .committed { state.committed += state.rows.flatMap(\.rows) }
            return state.rows
        }
        for batch in batches {
            batch.completion(batch.rows.map { RowOutcome(slot: $0.slot, lsn: $0.lsn, outcome: outcome) })
        }
    }
}

/// One shard that serves one slot with one campaign.
final class Stage: Sendable {
    let group = LoopGroup(count: 1, name: "stage")
    let clock = ManualClock(at: Timestamp(milliseconds: 1_800_000_000_000))
    let journal = ScriptedJournal()
    let toShard = Inbox<ShardMessage>(limit: 10_000)
    let toEdge = Inbox<EdgeMessage>(limit: 10_000)
    /// Slots that the shard gave up.
    let fenced = Inbox<Slot>(limit: 10)
    let lease = Lease()

    /// Until when the node may show what it owns.
    final class Lease: Sendable {
        let deadline = Locked<UInt64>(.max)
    }
    let shard: Shard
    let campaign: CampaignID
    let slot: Slot

    init() async {
        let random = SeededRandom(seed: 42)
        let metrics = NodeMetrics(registry: MetricsRegistry())
        let health = NodeHealth(nodeName: "stage", startedAt: 0) { [] }
        let context = ShardContext(
            clock: clock, random: random, journal: journal,
            transport: LoopTransport(shards: [toShard], edges: [toEdge]),
            metrics: metrics, health: health, log: .silent, onFenced: { [fenced] slot in fenced.post(slot) },
            leaseDeadline: { [lease] in lease.deadline.withLock { $0 } })
        shard = Shard(index: 0, loop: group.loops[0], inbox: toShard, context: context)
        campaign = CampaignID(UUIDv7(at: clock.now(), random: 99))
        slot = Slot(of: campaign)
        await shard.start()
    }

    /// Opens the slot with the campaign in it, as recovery would.
    @discardableResult
    func open(_ events: [CampaignEvent] = []) async throws -> [EdgeMessage] {
        let new = try NewCampaign(id: campaign, ownerId: "gm", name: "Stage", description: nil)
        var state = try Campaign(created: Campaign.decideCreate(new, at: clock.now()))
        for event in events { state.evolve(event) }
        let recovered = RecoveredCampaign(state: state, lsn: 0, snapshotBytes: nil, journalBytes: 0)
        let opened = OpenedSlot(claim: SlotClaim(slot: slot, epoch: 7, tail: 0), campaigns: [recovered])
        await shard.expect([slot])
        toShard.post(.opened(slot, .success(opened)))
        return await settle()
    }

    func stop() async {
        journal.answer(.committed)
        await shard.stop()
        toEdge.finish()
        group.shutdown()
    }

    func ticket(_ number: Int64) -> ReplyTicket {
        ReplyTicket(edge: 0, connection: 0, generation: 1, request: .integer(number))
    }

    func send(_ number: Int64, _ body: CommandBody) {
        toShard.post(
            .road(
                .commands(
                    campaign,
                    [Command(campaign: campaign, ticket: ticket(number), receivedAt: clock.now(), body: body)])))
    }

    func manage(_ number: Int64, _ command: ManagementCommand, _ mark: IdempotencyMark? = nil) {
        send(number, .manage(command, mark))
    }

    func vote(_ number: Int64, _ poll: PollID, option: Int = 0, voter: String? = nil, key: String? = nil) {
        send(number, .vote(VoteCommand(poll: poll, option: option, voter: voter, channel: nil, key: key)))
    }

    /// Waits until the shard has taken everything that was posted before, and returns what the edge got meanwhile.
    @discardableResult
    func settle() async -> [EdgeMessage] {
        var got: [EdgeMessage] = []
        // Two rounds: outcomes that arrive while the first is handled are handled in the second.
        for round in Int64(1)...2 {
            let mark = -round
            toShard.post(.verified(0, ticket(mark), .signal(Position(epoch: 0, seq: 0))))
            var isOver = false
            while !isOver, let batch = await toEdge.next(recycling: []) {
                for message in batch {
                    if case .reply(let ticket, .signal) = message, ticket.request == .integer(mark) {
                        isOver = true
                    } else {
                        got.append(message)
                    }
                }
            }
        }
        return got
    }

    /// Launches a poll, commits it and returns its id.
    func launch(_ type: PollType = .standard, seconds: Int = 60) async throws -> PollID {
        let draft = PollDraft(question: "Q", options: ["a", "b"], durationSeconds: seconds, type: type)
        manage(1000, .launch(.openMode, draft))
        await settle()
        journal.answer(.committed)
        let messages = await settle()
        for case .event(let event) in messages {
            if case .pollStart(let poll) = event.event.body { return poll.tally.id }
        }
        for message in messages { if case .reply(_, .document(_, let json)) = message { return try Self.id(in: json) } }
        throw CancellationError()
    }

    static func id(in json: [UInt8]) throws -> PollID {
        let bytes = json.span
        guard let uuid = try JSONObject.document(bytes)?.member("id", bytes)?.uuid(bytes) else {
            throw CancellationError()
        }
        return PollID(uuid)
    }

    /// Advances the clock and lets the shard wake whom it must.
    func advance(milliseconds: Int64) async -> [EdgeMessage] {
        clock.advance(milliseconds: milliseconds)
        toShard.post(.tick)
        return await settle()
    }
}

extension [EdgeMessage] {
    /// Requests of commands that were not applied, since their slot is not here.
    var handedBack: [Int64] {
        flatMap { message -> [Int64] in
            guard case .again(.commands(_, let commands)) = message else { return [] }
            return commands.compactMap { if case .integer(let id)? = $0.ticket.request { id } else { nil } }
        }
    }

    /// Statuses of votes by request, of those that were answered.
    var votes: [Int64: VoteStatus] {
        var result: [Int64: VoteStatus] = [:]
        for case .votes(let replies, _) in self {
            for reply in replies { if case .integer(let id)? = reply.ticket.request { result[id] = reply.status } }
        }
        return result
    }

    var votePositions: [Position] {
        compactMap { if case .votes(_, let position) = $0 { position } else { nil } }
    }

    /// Codes of refusals by request.
    var refusals: [Int64: ErrorCode] {
        var result: [Int64: ErrorCode] = [:]
        for case .reply(let ticket, .failure(let error)) in self {
            if case .integer(let id)? = ticket.request { result[id] = error.code }
        }
        return result
    }

    /// Status and JSON of documents by request.
    var documents: [Int64: (status: Int, json: [UInt8])] {
        var result: [Int64: (status: Int, json: [UInt8])] = [:]
        for case .reply(let ticket, .document(let status, let json)) in self {
            if case .integer(let id)? = ticket.request { result[id] = (status, json) }
        }
        return result
    }

    var events: [ServerEvent] {
        compactMap { if case .event(let event) = $0 { event.event } else { nil } }
    }

    var joined: [Joined] {
        compactMap { if case .joined(_, let joined) = $0 { joined } else { nil } }
    }
}
