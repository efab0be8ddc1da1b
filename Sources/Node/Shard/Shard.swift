// The shard of one loop: the registry of its slots and campaigns, their journal buffers, and the clock that wakes them.
//
//   edges ─► inbox ─► campaigns, in batches ─► rows sealed ─► journal
//                         ▲                                      │
//                         └──────────── committed ◄──────────────┘
//
// One pump takes one batch at a time, so that whatever a turn has gathered is applied together, sealed together and
// committed together. A slot has one row in flight; what comes meanwhile fills the next row. That is the whole of
// group commit: no timer takes part in it.

import Cluster
import Domain
import Journal
import Platform
import Protocol

actor Shard {
    nonisolated let index: Int
    nonisolated let loop: EventLoop
    nonisolated let inbox: Inbox<ShardMessage>
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    let context: ShardContext
    let campaignContext: CampaignContext

    var slots: [Slot: SlotState] = [:]
    var campaigns: [CampaignID: HostedCampaign] = [:]
    var touched: [HostedCampaign] = []
    /// Slots with something to seal or to send.
    var busySlots: [OpenSlot] = []
    /// Slots whose row failed and waits for its pause to end.
    var pausing: [OpenSlot] = []
    var deadlines = MinHeap<Deadline>()
    /// When to look whether a campaign is still used.
    var idles = MinHeap<Deadline>()
    /// Monotonic nanoseconds at the start of this turn.
    var turnStartedAt: UInt64 = 0
    /// The node's lease had lapsed then.
    var isSuspended = false
    /// Reads of dormant campaigns that are going on.
    var activations: [CampaignID: Task<Void, Never>] = [:]
    /// The journal refused or failed the last row: commands that write are refused until a row commits.
    var isJournalFailing = false
    var uncommittedBytes = 0
    var outgoing: [[EdgeMessage]]
    var verifications: [UInt64: Task<Void, Never>] = [:]
    var nextVerification: UInt64 = 0
    /// Slots that were fenced and may be opened again: their followers have to be told then.
    var fencedSlots: Set<Slot> = []
    /// Slots that are being given away.
    var leaving: [OpenSlot] = []
    /// Of everything that waits for its slot or campaign to be opened.
    var waitingBytes = 0
    /// When the first of the commands that wait for something to be opened may have waited for too long, monotonic
    /// nanoseconds.
    var overdueAt: UInt64 = .max
    private var timer: LoopTimer?
    private var timerAt: UInt64 = .max
    private var pump: Task<Void, Never>?

    /// Can transition to: `opening` → `open` or `refused`. `open` → `refused` when the slot was fenced.
    enum SlotState {
        /// Its content is being read; what comes meanwhile waits, bounded.
        case opening(waiting: [ShardMessage])
        case open(OpenSlot)
        /// Not served, for the reason given.
        case refused(String)
    }

    init(index: Int, loop: EventLoop, inbox: Inbox<ShardMessage>, context: ShardContext) {
        self.index = index
        self.loop = loop
        self.inbox = inbox
        self.context = context
        campaignContext = CampaignContext(
            executor: loop, clock: context.clock, random: context.random, transport: context.transport,
            metrics: context.metrics)
        outgoing = Array(repeating: [], count: context.transport.edgeCount)
    }

    // MARK: - Life

    /// Starts the pump; call once.
    func start() {
        timer = LoopTimer(on: loop) { [inbox] in inbox.postUnbounded(.tick) }
        pump = Task(executorPreference: loop) { await self.run() }
    }

    /// Ends the pump once everything that was posted is handled, and every verification with it.
    func stop() async {
        inbox.finish()
        await pump?.value
        timer?.close()
        let tasks = Array(verifications.values) + Array(activations.values)
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    private func run() async {
        var recycled: [ShardMessage] = []
        while let batch = await inbox.next(recycling: recycled) {
            turnStartedAt = context.clock.monotonic().nanoseconds
            isSuspended = turnStartedAt >= context.leaseDeadline()
            for message in batch { await take(message) }
            await applyCommands()
            await sealAndSubmit()
            await releaseSettled()
            sendOutgoing()
            armTimer()
            recycled = batch
            recycled.removeAll(keepingCapacity: true)
        }
    }

    func take(_ message: ShardMessage) async {
        switch message {
        case .road(let message) where isSuspended: suspend(message)
        case .road(.commands(let campaign, let commands)): route(commands, to: campaign)
        case .road(.create(let creation)): await create(creation)
        case .rows(let outcomes): for outcome in outcomes { await answered(outcome) }
        case .snapshotStored(let outcome): await snapshotAnswered(outcome)
        case .opened(let slot, let result): await opened(slot, result)
        case .slotLost(let slot): if case .open(let open)? = slots[slot] { await fenced(open) }
        case .activated(let campaign, let result): await activated(campaign, result)
        case .verified(let number, let ticket, let reply):
            verifications[number] = nil
            post(.reply(ticket, reply), to: ticket.edge)
        case .release(let slots, let completion): release(slots, completion)
        case .released(let slot):
            if case .refused? = slots[slot] { slots[slot] = nil }
            tellFollowers(of: slot)
        case .tick: await wakeDue()
        case .snapshotWanted(let campaigns): await wantSnapshots(campaigns)
        }
    }

    // MARK: - Commands

    func route(_ commands: [Command], to campaign: CampaignID) {
        guard let entry = campaigns[campaign] else { return routeElsewhere(commands, campaign) }
        guard entry.slot.leaving == nil else { return handBack(commands) }
        entry.usedAt = turnStartedAt
        var taken = commands
        if isJournalFailing || uncommittedBytes > ShardLimits.uncommittedBytesLimit {
            taken = commands.filter { command in
                guard let refusal = refusal(of: command.body) else { return true }
                refuse(command, refusal)
                return false
            }
            guard !taken.isEmpty else { return }
        }
        if entry.commands.isEmpty {
            touched.append(entry)
            entry.commands = taken
        } else {
            entry.commands.append(contentsOf: taken)
        }
    }

    /// The campaign is not in memory: its slot is still opening, is not served, or there is no such campaign.
    private func routeElsewhere(_ commands: [Command], _ campaign: CampaignID) {
        let slot = Slot(of: campaign)
        let error: ClientError
        switch slots[slot] {
        case .opening(var waiting)?:
            let message = ShardMessage.road(.commands(campaign, commands))
            if admits(message, behind: waiting.count) {
                slots[slot] = nil  // so that the queue is changed in place
                waiting.append(message)
                slots[slot] = .opening(waiting: waiting)
                return
            }
            error = ClientError(.overloaded, "the slot is still opening", retryAfterMilliseconds: 1000)
        case .open(let open)?:
            guard open.leaving == nil else { return handBack(commands) }
            if wake(campaign, in: open, for: .road(.commands(campaign, commands))) { return }
            error = ClientError(.notFound, "no such campaign")
        case .refused(let reason)?: error = ClientError(.unavailable, reason, retryAfterMilliseconds: 5000)
        case nil: return handBack(commands)
        }
        for command in commands { refuse(command, error) }
    }

    /// While the journal fails nothing is applied that would need it; what is already applied keeps waiting for it.
    private func refusal(of body: CommandBody) -> ClientError? {
        switch body {
        case .subscribe, .leave, .verify, .manage(.readCampaign, _), .manage(.readPolls, _), .manage(.readPoll, _),
            .manage(.signal, nil):
            return nil
        case .vote, .manage: return refusalOfWrites
        }
    }

    /// Why nothing may be applied that would need the journal; `nil` where all is well.
    private var refusalOfWrites: ClientError? {
        if isJournalFailing {
            return ClientError(.unavailable, "the journal cannot be written now", retryAfterMilliseconds: 2000)
        }
        guard uncommittedBytes > ShardLimits.uncommittedBytesLimit else { return nil }
        return ClientError(.overloaded, "too much waits for the journal", retryAfterMilliseconds: 1000)
    }

    func refuse(_ command: Command, _ error: ClientError) {
        switch command.body {
        case .leave: break
        case .subscribe: post(.joinFailed(command.ticket, command.campaign, error), to: command.ticket.edge)
        case .vote, .manage, .verify: post(.reply(command.ticket, .failure(error)), to: command.ticket.edge)
        }
    }

    private func applyCommands() async {
        guard !touched.isEmpty else { return }
        let entries = touched
        touched.removeAll(keepingCapacity: true)
        for entry in entries {
            let commands = entry.commands
            entry.commands = []
            guard !entry.slot.isFenced else {
                let error = ClientError(.unavailable, "the slot has moved", retryAfterMilliseconds: 1000)
                for command in commands { refuse(command, error) }
                continue
            }
            noteTurn(entry, await entry.actor.handle(commands))
        }
    }

    // MARK: - Creation

    private func create(_ creation: CreationCommand) async {
        let ticket = creation.ticket
        guard case .open(let slot)? = slots[creation.slot] else {
            return createElsewhere(creation)
        }
        guard slot.leaving == nil else { return post(.again(.create(creation)), to: ticket.edge) }
        if let mark = creation.mark, let known = slot.creation(under: mark.key, at: creation.receivedAt) {
            if let entry = slot.campaigns[known] {
                return noteTurn(entry, await entry.actor.repeatCreation(mark, at: creation.receivedAt, ticket))
            }
            if wake(known, in: slot, for: .road(.create(creation))) { return }
        }
        if let refusal = refusalOfWrites { return post(.reply(ticket, .failure(refusal)), to: ticket.edge) }
        let id = CampaignID.draw(in: creation.slot, at: creation.receivedAt, random: context.random)
        do {
            let new = try NewCampaign(
                id: id, ownerId: creation.principal.owner, name: creation.draft.name,
                description: creation.draft.description, creationKey: creation.mark?.key,
                creationBody: creation.mark?.body)
            let event = Campaign.decideCreate(new, at: creation.receivedAt)
            let actor = CampaignActor(
                state: try Campaign(created: event), position: Position(epoch: slot.ledger.epoch, seq: 0), lsn: 0,
                snapshotBytes: nil, journalBytes: 0, context: campaignContext)
            let entry = register(actor, id, slot)
            if let mark = creation.mark { slot.creations[mark.key] = id }
            context.metrics.campaignsCreated.increment()
            noteTurn(entry, await actor.begin(event, creation.mark, ticket))
        } catch let error as ClientError {
            post(.reply(ticket, .failure(error)), to: ticket.edge)
        } catch {
            preconditionFailure("a campaign cannot begin with its own creation: \(error)")
        }
    }

    private func createElsewhere(_ creation: CreationCommand) {
        let ticket = creation.ticket
        if case .opening(var waiting)? = slots[creation.slot], admits(.road(.create(creation)), behind: waiting.count) {
            slots[creation.slot] = nil
            waiting.append(.road(.create(creation)))
            slots[creation.slot] = .opening(waiting: waiting)
            return
        }
        guard slots[creation.slot] != nil else { return post(.again(.create(creation)), to: ticket.edge) }
        let error = ClientError(.unavailable, "the slot is not served now", retryAfterMilliseconds: 1000)
        post(.reply(ticket, .failure(error)), to: ticket.edge)
    }

    func register(_ actor: CampaignActor, _ id: CampaignID, _ slot: OpenSlot) -> HostedCampaign {
        let entry = HostedCampaign(id: id, slot: slot, actor: actor, now: turnStartedAt)
        idles.push(Deadline(at: turnStartedAt + context.idleNanoseconds, campaign: id))
        slot.campaigns[id] = entry
        campaigns[id] = entry
        context.metrics.campaigns.add(1)
        return entry
    }

    // MARK: - Turns

    /// Takes in what a campaign says after a call: effects to seal, captures to hand on, when to wake it.
    func noteTurn(_ entry: HostedCampaign, _ turn: CampaignActor.Turn) {
        let slot = entry.slot
        guard !slot.isFenced else { return }
        if turn.isDirty {
            entry.usedAt = turnStartedAt
            if !entry.isInOpenRow {
                entry.isInOpenRow = true
                slot.openRow.append(entry)
            }
            queue(slot)
        }
        uncommittedBytes += turn.openBytes - entry.openBytes
        slot.openBytes += turn.openBytes - entry.openBytes
        slot.openVotes += turn.openVotes - entry.openVotes
        entry.openBytes = turn.openBytes
        entry.openVotes = turn.openVotes
        if let capture = turn.capture { take(capture, entry, lsn: slot.ledger.committedThrough) }
        guard let delay = turn.wakeAfter else {
            entry.wakeAt = nil
            return
        }
        let at = context.clock.monotonic().nanoseconds + delay
        if let known = entry.wakeAt, known <= at { return }
        entry.wakeAt = at
        deadlines.push(Deadline(at: at, campaign: entry.id))
    }

    func queue(_ slot: OpenSlot) {
        guard !slot.isQueued else { return }
        slot.isQueued = true
        busySlots.append(slot)
    }

    // MARK: - Time

    private func wakeDue() async {
        timerAt = .max
        let monotonic = context.clock.monotonic().nanoseconds
        let now = context.clock.now()
        await keepOverdue(at: monotonic)
        while let first = deadlines.first, first.at <= monotonic {
            _ = deadlines.pop()
            guard let entry = campaigns[first.campaign], entry.wakeAt == first.at else { continue }
            entry.wakeAt = nil
            // The next owner applies what is due by then; who waits for an answer is told in time all the same.
            let isLeaving = entry.slot.leaving != nil
            noteTurn(entry, isLeaving ? await entry.actor.wakeFrozen() : await entry.actor.wake(at: now))
        }
        refuseOverdue(at: monotonic)
        await passivateIdle(at: monotonic)
        for slot in pausing where slot.ledger.retryAt.map({ $0 <= monotonic }) ?? false { queue(slot) }
    }

    private func armTimer() {
        pausing.removeAll { $0.ledger.retryAt == nil }
        var next = min(deadlines.first?.at ?? .max, idles.first?.at ?? .max)
        for slot in pausing { next = min(next, slot.ledger.retryAt ?? .max) }
        for slot in leaving { next = min(next, slot.frozenAt + ShardLimits.releaseNanoseconds) }
        next = min(next, overdueAt)
        if outgoing.contains(where: { !$0.isEmpty }) {
            // An edge's queue was full: what it did not take is offered again.
            next = min(next, context.clock.monotonic().nanoseconds + ShardLimits.offerAgainNanoseconds)
        }
        guard next < timerAt else { return }
        timerAt = next
        let now = context.clock.monotonic().nanoseconds
        timer?.schedule(afterNanoseconds: next > now ? next - now : 0)
    }

    // MARK: - Answers

    func post(_ message: EdgeMessage, to edge: UInt16) {
        outgoing[Int(edge)].append(message)
    }

    private func sendOutgoing() {
        for edge in outgoing.indices where !outgoing[edge].isEmpty {
            context.transport.deliver(&outgoing[edge], to: UInt16(edge))
        }
    }
}

enum ShardLimits {
    /// Batches of commands that may wait for one opening slot.
    static let waitingMessagesLimit = 10_000
    /// Bytes of commands that may wait for all slots and campaigns that one shard opens.
    static let waitingBytesLimit = 64 * 1024 * 1024
    /// Bytes of effects of one shard that may wait for the journal.
    static let uncommittedBytesLimit = 64 * 1024 * 1024
    /// After how long a full edge is offered its messages again.
    static let offerAgainNanoseconds: UInt64 = 10_000_000
    /// How long a slot may take to come to rest before it is given away; after it, it is served here again.
    static let releaseNanoseconds: UInt64 = 2_000_000_000
    /// Between two looks for commands that wait for their slot or campaign to be opened for too long.
    static let overduePauseNanoseconds: UInt64 = 100_000_000
    /// Dormant campaigns of one shard that may be read back at once.
    static let activationsLimit = 64
    /// Comparisons with the journal that may run at once in one shard.
    static let verificationsLimit = 4
    /// Votes and bytes after which a row is sealed even while another is in flight.
    static let rowVotesLimit = 4096
    static let rowBytesLimit = 256 * 1024
}
