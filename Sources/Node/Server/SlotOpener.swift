// The order in which slots come back: those with polls that run, or that ran when the node stopped, first; the rest
// after the node is ready. Reading and replaying happen here, off the loops; the shards get finished states.

import Journal
import Platform
import Protocol

struct SlotOpener: Sendable {
    let journal: any Journal
    let shards: [Inbox<ShardMessage>]
    let clock: any Clock
    let log: Log

    struct Item: Sendable {
        let claim: SlotClaim
        /// Whether the journal holds anything of this slot.
        let isEmpty: Bool
    }

    /// What became of slots that were to be opened.
    struct Outcome: Sendable {
        /// Those whose content could not be read now; they are refused until somebody opens them again.
        var failed: [Item] = []
        /// Of those that were taken from a node that was dead, how long nobody served them.
        var reports: [HandOffReport] = []
    }

    /// Splits the slots into those that must be served before the node is ready and the others.
    static func plan(claims: [SlotClaim], index: [SlotIndex]) -> (urgent: [Item], rest: [Item]) {
        var known: [Slot: SlotIndex] = [:]
        for entry in index { known[entry.slot] = entry }
        var urgent: [Item] = []
        var rest: [Item] = []
        for claim in claims {
            let campaigns = known[claim.slot]?.campaigns ?? []
            let item = Item(claim: claim, isEmpty: campaigns.isEmpty && claim.tail == 0)
            // Empty slots cost nothing and open at once, so that new campaigns find a home everywhere.
            let isUrgent = item.isEmpty || campaigns.contains { $0.wakeAt != nil || $0.hasRowsAfter }
            if isUrgent { urgent.append(item) } else { rest.append(item) }
        }
        return (urgent, rest)
    }

    /// Opens slots at their shards, in order.
    @discardableResult
    func open(_ items: [Item]) async -> Outcome {
        var outcome = Outcome()
        for item in items {
            let slot = item.claim.slot
            let result = await content(of: item)
            if case .failure(let refusal) = result, refusal.mayPass { outcome.failed.append(item) }
            while !shards[shardOf: slot].post(.opened(slot, result)) {
                await Task.yield()  // the shard is behind; it takes its queue as fast as it can
            }
            if case .success = result, let report = report(item.claim) { outcome.reports.append(report) }
        }
        return outcome
    }

    /// Of a slot that is open now.
    func report(_ claim: SlotClaim) -> HandOffReport? {
        guard let since = claim.unservedSince else { return nil }
        let pause = Int64(clock.monotonic().nanoseconds) - since
        return HandOffReport(
            slot: claim.slot, epoch: claim.epoch, pauseMilliseconds: Double(max(0, pause)) / 1_000_000,
            tail: claim.tail)
    }

    func content(of item: Item) async -> Result<OpenedSlot, SlotRefusal> {
        if item.isEmpty { return .success(OpenedSlot(claim: item.claim, campaigns: [])) }
        return await read(item.claim.slot).map { OpenedSlot(claim: item.claim, campaigns: $0.campaigns) }
    }

    /// A slot's campaigns up to its newest row, whoever owns it.
    func read(_ slot: Slot) async -> Result<(through: UInt64, campaigns: [RecoveredCampaign]), SlotRefusal> {
        do {
            let recovery = try await journal.recover(slot)
            for notice in recovery.notices {
                log.error("journal.notice", [("slot", .integer(Int(slot.index))), ("notice", .string(notice))])
            }
            // Of a slot that is being written there may be rows behind the tail that was read first.
            let through = max(recovery.tail, recovery.rows.last?.lsn ?? 0)
            return .success((through, try SlotReplay.campaigns(of: recovery, slot: slot)))
        } catch let error as JournalError {
            return .failure(SlotRefusal(reason: "\(error)", mayPass: error.isTransient))
        } catch {
            return .failure(SlotRefusal(reason: "\(error)"))
        }
    }

    /// Hands a slot's content, or why it could not be had, to its shard.
    func tell(_ slot: Slot, _ result: Result<OpenedSlot, SlotRefusal>) {
        shards[shardOf: slot].postUnbounded(.opened(slot, result))
    }

    /// Opens a slot whose content is at hand.
    func open(_ content: OpenedSlot) async {
        let slot = content.claim.slot
        while !shards[shardOf: slot].post(.opened(slot, .success(content))) { await Task.yield() }
    }
}
