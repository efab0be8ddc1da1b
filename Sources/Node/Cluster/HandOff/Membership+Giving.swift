// Giving slots away in good order, batch by batch, those with nothing in memory first.
//
//   offered, read there beforehand ─► frozen, committed, let go of ─► ceded: the commit point ─► handed over, opened there
//
// Up to the commit point whatever fails leaves the slot here; after it the target has it, and reads it from the journal
// if what is handed over does not arrive.

import Cluster
import Journal
import Platform
import Protocol

enum HandOffLimits {
    /// Slots that are under way to one node at a time.
    static let slots = 512
    /// Slots of one batch: nobody waits for those that have nothing in memory; the others come to rest together, and their
    /// clients wait for the slowest of them.
    static let coldSlots = 256
    static let hotSlots = 4
    /// Under way to a node, below which more are begun.
    static let lowSlots = 16
    /// How long a node reads slots that were offered to it, of which it reads one at least.
    static let readNanoseconds: UInt64 = 2_000_000_000
    /// How long what was read serves an offer that is made again.
    static let freshNanoseconds: UInt64 = 15_000_000_000
    /// What another node may take to read slots beforehand, and to open them, in milliseconds.
    static let offerMilliseconds: UInt32 = 10_000
    static let handOverMilliseconds: UInt32 = 5000
    /// How long a slot that did not come to rest is served before it is asked for again.
    static let pauseNanoseconds: UInt64 = 2_000_000_000
    /// How long a slot that was offered is left to whoever offered it, once it is owned here.
    static let graceNanoseconds: UInt64 = 500_000_000
    /// How long what was read of an offered slot is kept.
    static let offerNanoseconds: UInt64 = 30_000_000_000
    /// Offered slots that are kept at a time.
    static let offers = 1024
}

extension Membership {
    /// Begins to give away slots whose home is elsewhere.
    func give(_ nodes: [LeasedNode]) async {
        guard !homes.given.isEmpty else { return }
        let reached = parts.routes.reached
        let takers = members(nodes).mapValues(\.incarnation).filter { _, node in
            // Whom it cannot reach it sends no clients to, unless it must go itself.
            node != parts.identity.incarnation && peers[node] != nil && (isLeaving || reached.contains(node))
                && held.cedingCount(to: node) < HandOffLimits.lowSlots
        }
        for (target, slots) in held.departing(homes: homes.given, to: takers, at: now).sorted(by: { $0.key < $1.key }) {
            // Those that are being opened can be let go of when they are open.
            let (cold, hot) = await byWarmth(slots.filter { !opening.contains($0) })
            var batches = held.begin(cold, to: target, batchesOf: HandOffLimits.coldSlots)
            // Of one shard each: it lets go of all that is at rest at once, and they are ceded by one commit.
            for slots in hot { batches += held.begin(slots, to: target, batchesOf: HandOffLimits.hotSlots) }
            for batch in batches { lanes[giving.begin(to: batch.target)].batches.postUnbounded(batch) }
        }
    }

    /// Slots with nothing in memory, and the others of each shard, those with the fewest campaigns first.
    private func byWarmth(_ slots: [Slot]) async -> (cold: [Slot], hot: [[Slot]]) {
        var cold: [Slot] = []
        var hot: [[Slot]] = []
        for (shard, here) in zip(parts.shards, slots.byShard(of: parts.shards.count)) {
            let ranked = zip(await shard.hostedCounts(here), here).sorted { ($0.0, $0.1.index) < ($1.0, $1.1.index) }
            let first = ranked.prefix { $0.0 == 0 }.map(\.1)
            cold += first
            hot.append(ranked.dropFirst(first.count).map(\.1))
        }
        return (cold, hot)
    }

    // MARK: - A batch

    func hearBatches(_ lane: Lane) async {
        while let batches = await lane.batches.next(recycling: []) {
            for batch in batches {
                await handOff(batch, lane.releases)
                giving.end(to: batch.target)
            }
        }
    }

    /// - Parameter releases: what the shards let go of for this batch, and for no other.
    private func handOff(_ batch: HeldSlots.Batch, _ releases: Inbox<Release>) async {
        // Who is out of reach cannot be asked, and finds in the database what it was given.
        let isReached = parts.routes.reached.contains(batch.target)
        let wanted = isStopping ? [] : isReached ? await offer(batch) : isLeaving ? Set(batch.slots) : []
        for slot in batch.slots where !wanted.contains(slot) { held.keep(slot) }
        // Nothing has changed: the next round comes by itself, not at once and again and again.
        guard !wanted.isEmpty else { return }
        let shards = parts.shardInboxes
        for (shard, slots) in zip(shards, wanted.sorted().byShard(of: shards.count)) where !slots.isEmpty {
            shard.postUnbounded(.release(slots) { told in releases.postUnbounded(contentsOf: told) })
        }
        await cede(wanted.count, of: releases, to: batch.target)
        alarm.interrupt()
    }

    /// Takes what the shards let go of, until they have let go of so many slots. What came to rest together is ceded
    /// together and handed over as soon as that is committed; what comes later waits for none of it.
    private func cede(_ count: Int, of releases: Inbox<Release>, to target: UInt128) async {
        var missing = count
        var handing: [Task<Void, Never>] = []
        while missing > 0, let group = await releases.next(recycling: []) {
            missing -= group.count
            // One that was not open, or did not come to rest, is asked for again.
            let again = now + HandOffLimits.pauseNanoseconds
            for release in group where release.content == nil { held.keep(release.slot, until: again) }
            let released = group.compactMap(\.content)
            guard !released.isEmpty else { continue }
            handing.append(
                Task(executorPreference: loop) {
                    await self.handOver(released, await self.ceded(released, to: target), to: target)
                })
        }
        for task in handing { await task.value }
    }

    /// Has the target read the slots beforehand.
    /// - Returns: those that it takes.
    private func offer(_ batch: HeldSlots.Batch) async -> Set<Slot> {
        guard let owner = peers[batch.target]?.owners.first else { return [] }
        var body: [UInt8] = []
        HandOffCodec.append(offer: batch.slots, to: &body)
        switch await owner.ask(body, within: HandOffLimits.offerMilliseconds) {
        case .failure(let error):
            parts.log.warn("cluster.offer_failed", [("reason", .string(error.reason))])
            return []
        case .success(let bytes):
            guard let answers = try? HandOffCodec.answers(bytes.span) else { return [] }
            return Set(answers.filter { $0.through != nil }.map(\.slot)).intersection(batch.slots)
        }
    }

    // MARK: - The commit point

    /// The shards have let go of these slots: they change hands now.
    /// - Returns: those that did, with the epochs that began.
    private func ceded(_ released: [ReleasedSlot], to target: UInt128) async -> [Slot: UInt64] {
        var epochs: [Slot: UInt64] = [:]
        for slot in released { epochs[slot.slot] = slot.epoch }
        do throws(JournalError) {
            let ceded = try await parts.journal.cede(epochs, to: target)
            isUnpublished = isUnpublished || !ceded.isEmpty
            held.doubt(released.map(\.slot).filter { ceded[$0] == nil })
            return ceded
        } catch {
            // The database says what became of them, in the next round.
            held.doubt(released.map(\.slot))
            parts.log.warn(
                "cluster.slots_not_ceded", [("slots", .integer(released.count)), ("reason", .string("\(error)"))])
            return [:]
        }
    }

    /// Hands over what changed hands, and lets go of it.
    private func handOver(_ released: [ReleasedSlot], _ ceded: [Slot: UInt64], to target: UInt128) async {
        await tell(released, ceded, target)
        if let place = peers[target]?.place {
            for (slot, epoch) in ceded { parts.directory.note(slot, .peer(place), epoch: epoch) }
        }
        let servedAt = now
        for slot in released {
            letGo(slot.slot)
            guard let epoch = ceded[slot.slot] else { continue }
            let pause = Double(servedAt - min(servedAt, slot.frozenAt)) / 1_000_000
            givenReports.append(
                HandOffReport(slot: slot.slot, epoch: epoch, pauseMilliseconds: pause, tail: slot.tail))
        }
    }

    /// Has the pauses of what was given away noted. Not before all of it has moved: the others would wait for these commits.
    func reportGiven() {
        for report in givenReports { reports.postUnbounded(report) }
        givenReports = []
    }

    /// Notes how hand-offs went.
    func hearReports() async {
        while let reports = await reports.next(recycling: []) {
            do throws(JournalError) { try await parts.journal.note(reports) } catch {
                parts.log.warn("cluster.hand_offs_not_noted", [("reason", .string("\(error)"))])
            }
        }
    }

    /// Tells the target what the journal does not hold; it serves the slots once it has answered.
    private func tell(_ released: [ReleasedSlot], _ ceded: [Slot: UInt64], _ target: UInt128) async {
        guard let owner = peers[target]?.owners.first else { return }
        let handed = released.compactMap { slot in
            ceded[slot.slot].map {
                HandedSlot(slot: slot.slot, epoch: $0, tail: slot.tail, campaigns: slot.campaigns)
            }
        }
        for message in HandOffCodec.messages(handed) {
            if case .failure(let error) = await owner.ask(message, within: HandOffLimits.handOverMilliseconds) {
                parts.log.warn("cluster.hand_over_failed", [("reason", .string(error.reason))])
            }
        }
    }

    private func letGo(_ slot: Slot) {
        held.letGo(slot)
        departure.interrupt()
        parts.shardInboxes[shardOf: slot].postUnbounded(.released(slot))
    }

    /// A shard was fenced out of a slot: whoever has it now is found in the next round.
    func lost(_ slot: Slot) {
        // One that was on its way out has nothing to give any more.
        guard held.lose(slot) else { return }
        opening.forget(slot)
        isBusy = true
        departure.interrupt()
        parts.directory.note([slot], .moving)
        parts.shardInboxes[shardOf: slot].postUnbounded(.released(slot))
        alarm.interrupt()
    }
}
