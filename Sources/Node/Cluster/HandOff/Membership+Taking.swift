// Taking slots: those that are free and whose home is here are claimed; those that others offer are read beforehand and
// opened as soon as they are handed over; those that were given but not handed over are read from the journal.

import Cluster
import Domain
import Journal
import Platform
import Protocol

extension Membership {
    func take(_ holdings: [SlotHolding], _ nodes: [LeasedNode]) async throws(JournalError) {
        let me = parts.identity
        openAgain()
        var plain = held.given(holdings, to: me.incarnation).filter { !offered.isAwaited($0, at: now) }
        let doubtful = plain.filter {
            held.mustClaim(holdings[Int($0.index)], knownEpoch: parts.directory.epoch(of: $0))
        }
        if !doubtful.isEmpty {
            await serve(try await parts.journal.claim(doubtful))
            plain.removeAll { doubtful.contains($0) }
        }
        if !plain.isEmpty { await serve(try await parts.journal.adopt(plain)) }
        // Of two processes of one name the newer takes; the older one gives.
        guard !homes.free.isEmpty, !isLeaving, members(nodes)[me.name]?.incarnation == me.incarnation else { return }
        let free = held.free(
            holdings, homes: homes.free, named: me.name, living: Set(nodes.map(\.incarnation)))
        guard !free.isEmpty else { return }
        await serve(try await parts.journal.claim(free))
    }

    /// Serves slots that are owned here from now on, and has them read.
    func serve(_ claims: [SlotClaim]) async {
        let claims = claims.filter { !held.served.contains($0.slot) }
        guard !claims.isEmpty else { return }
        let slots = claims.map(\.slot)
        held.serve(slots)
        offered.forget(slots)
        open(claims)
        for (shard, slots) in zip(parts.shards, slots.byShard(of: parts.shards.count)) { await shard.expect(slots) }
        for claim in claims { parts.directory.note(claim.slot, .local, epoch: claim.epoch) }
        isUnpublished = true
        parts.log.info("cluster.slots_taken", [("slots", .integer(slots.count))])
    }

    // MARK: - Offers

    func hearOffers() async {
        while let calls = await parts.offers.next(recycling: []) {
            for call in calls { await heard(call) }
        }
    }

    private func heard(_ call: PeerCall) async {
        // Whoever offered this has kept the slots by now, and offers them again.
        guard !call.isRefusedAsLate(at: now) else { return }
        guard let slots = try? HandOffCodec.offer(call.body.span) else {
            return call.refuse("the offer cannot be read")
        }
        offered.forgetOld(at: now)
        let unread = slots.filter { wants($0) && !offered.isFresh($0, at: now) }
        guard !isStopping, offered.hasRoom(for: unread.count) else {
            return call.refuse("too much is on its way here")
        }
        let read = await readBeforehand(unread, until: min(call.deadline, now + HandOffLimits.readNanoseconds))
        for slot in unread where wants(slot) && read[slot] != nil { offered.keep(read[slot], of: slot) }
        let answers = slots.map { slot in
            let isTaken = wants(slot) && offered.isFresh(slot, at: now)
            return OfferAnswer(slot: slot, through: isTaken ? offered.through(slot) : nil)
        }
        var body: [UInt8] = []
        HandOffCodec.append(answers: answers, to: &body)
        call.answer(body)
    }

    /// Whether this node would have the slot, as far as it knows.
    private func wants(_ slot: Slot) -> Bool {
        !isLeaving && !homes.offered.isEmpty && homes.offered[Int(slot.index)] == parts.identity.name
            && !held.served.contains(slot)
    }

    private func readBeforehand(_ slots: [Slot], until deadline: UInt64) async -> [Slot: Incoming] {
        guard !slots.isEmpty else { return [:] }
        let reader = OfferReader(journal: parts.journal, opener: parts.opener, clock: parts.clock)
        // Replays take a while: they keep no loop.
        return await Task.detached(executorPreference: parts.workers) {
            await reader.read(slots, until: deadline)
        }.value
    }

    // MARK: - Handing over

    func hearHandOvers() async {
        while let calls = await parts.handOvers.next(recycling: []) {
            // Several nodes may hand over at once: none waits for what another one's takes.
            let taken = calls.map { call in Task(executorPreference: loop) { await self.handedOver(call) } }
            for one in taken { await one.value }
        }
    }

    private func handedOver(_ call: PeerCall) async {
        guard let handed = try? HandOffCodec.handOver(call.body.span) else {
            return call.refuse("what was handed over cannot be read")
        }
        do throws(JournalError) {
            // Asked for before it is known which slots were given: the answers come one behind the other.
            async let late = late(handed)
            let claims = try await parts.journal.adopt(handed.map(\.slot)).filter { !held.served.contains($0.slot) }
            let rows = await late
            // A round may have found meanwhile that they were given.
            await open(claims.filter { !held.served.contains($0.slot) }, handed, rows)
            var body: [UInt8] = []
            HandOffCodec.append(served: claims.map(\.slot), to: &body)
            call.answer(body)
        } catch {
            call.refuse("\(error)")
        }
    }

    /// The rows that came after slots were read beforehand.
    private func late(_ handed: [HandedSlot]) async -> [Slot: [SealedRow]] {
        var places: [Slot: UInt64] = [:]
        for slot in handed {
            if let through = offered.through(slot.slot), through < slot.tail { places[slot.slot] = through }
        }
        return (try? await parts.journal.rows(after: places)) ?? [:]
    }

    /// Opens slots that were read beforehand; what does not fit together is read from the journal.
    private func open(_ claims: [SlotClaim], _ handed: [HandedSlot], _ rows: [Slot: [SealedRow]]) async {
        var told: [Slot: HandedSlot] = [:]
        for slot in handed { told[slot.slot] = slot }
        var ready: [(SlotClaim, Incoming, HandedSlot)] = []
        var rest: [SlotClaim] = []
        for claim in claims {
            if let offer = offered.take(claim.slot), let slot = told[claim.slot],
                slot.tail == claim.tail, slot.epoch == claim.epoch, offer.through <= slot.tail
            {
                ready.append((claim, offer, slot))
            } else {
                rest.append(claim)
            }
        }
        held.serve(ready.map { $0.0.slot })
        var unproved: [SlotClaim] = []
        while let (claim, offer, slot) = ready.popLast() {
            let late = rows[claim.slot] ?? []
            guard (late.last?.lsn ?? offer.through) == claim.tail else {
                // The database did not give them in time.
                parts.log.warn("cluster.hand_over_incomplete", [("slot", .integer(Int(claim.slot.index)))])
                unproved.append(claim)
                continue
            }
            if let content = Self.content(claim, offer, late, slot) {
                await parts.opener.open(content)
                parts.directory.note(claim.slot, .local, epoch: claim.epoch)
            } else {
                parts.log.error("cluster.hand_over_differs", [("slot", .integer(Int(claim.slot.index)))])
                unproved.append(claim)
            }
        }
        held.unserve(unproved.map(\.slot))
        rest += unproved
        isUnpublished = true
        parts.log.info("cluster.slots_handed_over", [("slots", .integer(claims.count - rest.count))])
        await serve(rest)
    }

    /// A slot as its owner before left it, all its rows read; `nil` where that is another state than the owner said.
    private static func content(
        _ claim: SlotClaim, _ offer: consuming Incoming, _ rows: [SealedRow], _ handed: HandedSlot
    ) -> OpenedSlot? {
        let read = offer.campaigns
        offer.campaigns = []
        guard let campaigns = try? SlotReplay.campaigns(read, andRows: rows, slot: claim.slot) else { return nil }
        var hashes: [CampaignID: UInt64] = [:]
        for campaign in handed.campaigns { hashes[campaign.id] = campaign.stateHash }
        var proved = 0
        for campaign in campaigns {
            guard let hash = hashes[campaign.state.id] else { continue }
            guard hash == campaign.state.stateHash else { return nil }
            proved += 1
        }
        guard proved == hashes.count else { return nil }
        var pasts: [CampaignID: StreamPast] = [:]
        for campaign in handed.campaigns { pasts[campaign.id] = campaign.past }
        return OpenedSlot(claim: claim, campaigns: campaigns, pasts: pasts)
    }
}
