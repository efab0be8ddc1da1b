// Giving a slot away: no further command is applied, what was applied is committed and answered, then the slot is let go
// of and whoever moves it is told. Commands that come meanwhile go back to their edges, which find the next owner.

import Journal
import Platform
import Protocol

/// A slot that its shard has let go of.
struct ReleasedSlot: Sendable {
    let slot: Slot
    let epoch: UInt64
    /// Its newest row.
    let tail: UInt64
    /// When it stopped to take commands, monotonic nanoseconds.
    let frozenAt: UInt64
    /// Its campaigns that were in memory, ascending.
    let campaigns: [HandedCampaign]
}

/// What became of a slot that was to be let go of; without content where it was not open or did not come to rest.
struct Release: Sendable {
    let slot: Slot
    let content: ReleasedSlot?
}

/// Slots that are to be let go of together. Who asked is told of all that came to rest in one turn at once, so that they
/// change hands by one commit.
final class Leave {
    private let completion: @Sendable ([Release]) -> Void
    private var releases: [Release] = []

    init(_ completion: @escaping @Sendable ([Release]) -> Void) { self.completion = completion }

    func note(_ slot: Slot, _ content: ReleasedSlot?) { releases.append(Release(slot: slot, content: content)) }

    func tell() {
        guard !releases.isEmpty else { return }
        completion(releases)
        releases = []
    }
}

extension Shard {
    /// How many campaigns each of these slots has in memory: those with none are the first to move.
    func hostedCounts(_ asked: [Slot]) -> [Int] {
        asked.map { if case .open(let open)? = slots[$0] { open.campaigns.count } else { 0 } }
    }

    /// Begins to let go of slots.
    ///
    /// - Parameter completion: gets what is handed over of each once nothing of it is left here, a turn's all at once.
    func release(_ asked: [Slot], _ completion: @escaping @Sendable ([Release]) -> Void) {
        let leave = Leave(completion)
        for slot in asked {
            guard case .open(let open)? = slots[slot], open.leaving == nil else {
                leave.note(slot, nil)
                continue
            }
            open.leaving = leave
            open.frozenAt = turnStartedAt
            leaving.append(open)
        }
        leave.tell()
    }

    /// Lets go of slots at the end of a turn, once nothing of them is under way.
    func releaseSettled() async {
        guard !leaving.isEmpty else { return }
        let asked = leaving
        var rest: [OpenSlot] = []
        for slot in asked {
            guard !slot.isFenced else {
                slot.leaving?.note(slot.ledger.slot, nil)
                continue
            }
            if await isSettled(slot) { await letGo(slot) } else { rest.append(slot) }
        }
        leaving = rest
        for slot in asked { slot.leaving?.tell() }
    }

    /// Keeps slots that do not come to rest, because the journal does not answer or an edge takes nothing: they would be
    /// served by nobody for as long as that lasts.
    func keepOverdue(at now: UInt64) async {
        let overdue = leaving.filter { !$0.isFenced && $0.frozenAt + ShardLimits.releaseNanoseconds <= now }
        guard !overdue.isEmpty else { return }
        let time = context.clock.now()
        for slot in overdue {
            let leave = slot.leaving
            slot.leaving = nil
            leaving.removeAll { $0 === slot }
            leave?.note(slot.ledger.slot, nil)
            leave?.tell()
            context.log.warn("slot.not_released", [("slot", .integer(Int(slot.ledger.slot.index)))])
            // What fell due meanwhile was left to the next owner.
            for entry in slot.campaigns.values.sorted(by: { $0.id < $1.id }) {
                noteTurn(entry, await entry.actor.wake(at: time))
            }
        }
    }

    private func isSettled(_ slot: OpenSlot) async -> Bool {
        guard slot.openRow.isEmpty, slot.ledger.isQuiet, slot.activating.isEmpty else { return false }
        for entry in slot.campaigns.values where !(await entry.actor.isSettled) { return false }
        return true
    }

    private func letGo(_ slot: OpenSlot) async {
        let index = slot.ledger.slot
        var handed: [HandedCampaign] = []
        for (_, entry) in slot.campaigns.sorted(by: { $0.key < $1.key }) {
            if let campaign = await entry.actor.handOver() { handed.append(campaign) }
        }
        for id in slot.campaigns.keys {
            campaigns[id] = nil
            context.metrics.campaigns.add(-1)
        }
        uncommittedBytes -= slot.openBytes
        slot.abandon()
        slots[index] = nil
        slot.leaving?.note(
            index,
            ReleasedSlot(
                slot: index, epoch: slot.ledger.epoch, tail: slot.ledger.committedThrough, frozenAt: slot.frozenAt,
                campaigns: handed))
        context.log.debug("slot.released", [("slot", .integer(Int(index.index)))])
    }

    /// The slot has another owner now: its followers at every edge ask there.
    func tellFollowers(of slot: Slot) {
        for edge in 0..<context.transport.edgeCount { post(.resync(slot), to: UInt16(edge)) }
    }

    /// Commands that were not applied, since their slot is going or gone.
    func handBack(_ commands: [Command]) {
        var byEdge: [UInt16: [Command]] = [:]
        for command in commands { byEdge[command.ticket.edge, default: []].append(command) }
        for (edge, commands) in byEdge.sorted(by: { $0.key < $1.key }) {
            post(.again(.commands(commands[0].campaign, commands)), to: edge)
        }
    }
}
