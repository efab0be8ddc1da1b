// Reading the slots that this node serves from now on. It takes as long as the journal takes, so it goes on beside the
// rounds: those who die meanwhile are buried, wishes are heard, and a node that ends does not wait for all of it.
//
//   taken ─► openings ─► looked up ─► read, a few at a time ─► shards
//                            ▲            └─► failed: the next round tries again

import Journal
import Platform
import Protocol

extension Membership {
    /// Slots that are read at a time: while one is replayed, another may use the connection.
    static let readsAtOnce = 4

    /// Has slots that are served here opened; what comes for them waits at their shards.
    func open(_ claims: [SlotClaim]) {
        opening.take(claims)
        isBusy = true
        openings.post(())
    }

    /// Tries again what could not be read.
    func openAgain() {
        opening.tryAgain()
        if opening.hasWork { openings.post(()) }
    }

    func hearOpenings() async {
        while await openings.next(recycling: []) != nil {
            while !isStopping, opening.hasWork {
                // What was taken meanwhile comes first: polls may run there.
                let fresh = opening.takeUnplanned()
                if fresh.isEmpty { await readNext() } else { await lookUp(fresh) }
            }
            // How long nobody served them is noted once all are open, so that the notes delay no slot.
            for report in openingReports { reports.postUnbounded(report) }
            openingReports = []
            // The next round sees that all is open. What failed waits for the round that comes by itself.
            if opening.isEmpty { alarm.interrupt() }
        }
    }

    private func lookUp(_ claims: [SlotClaim]) async {
        do throws(JournalError) {
            let plan = SlotOpener.plan(claims: claims, index: try await parts.journal.index(claims.map(\.slot)))
            for item in plan.urgent where item.isEmpty {
                ended(item, .success(OpenedSlot(claim: item.claim, campaigns: [])))
            }
            opening.plan(urgent: plan.urgent.filter { !$0.isEmpty }, rest: plan.rest)
        } catch {
            opening.fail(claims)
            parts.log.warn("cluster.slots_not_opened", [("reason", .string("\(error)"))])
        }
    }

    private func readNext() async {
        let items = opening.next(Self.readsAtOnce)
        // Replays take a while: they keep no loop.
        let reads = items.map { item in
            Task.detached(executorPreference: parts.workers) { [opener = parts.opener] in
                await opener.content(of: item)
            }
        }
        for (item, read) in zip(items, reads) { ended(item, await read.value) }
    }

    private func ended(_ item: SlotOpener.Item, _ result: Result<OpenedSlot, SlotRefusal>) {
        guard opening.isAwaited(item.claim) else { return }
        if case .failure(let refusal) = result, refusal.mayPass {
            opening.fail([item.claim])
        } else {
            opening.opened(item.claim)
        }
        parts.opener.tell(item.claim.slot, result)
        if case .success = result, let report = parts.opener.report(item.claim) { openingReports.append(report) }
    }
}
