// Campaigns that nobody uses leave memory and come back when somebody asks.
//
//   hosted ─► dormant     nobody subscribes, no poll runs, the newest snapshot holds everything, a while has passed
//   dormant ─► activating ─► hosted     on the first command; what comes meanwhile waits, in order
//
// A dormant campaign keeps its place in its stream: positions go on where they were, and none is given twice.

import Cluster
import Domain
import Journal
import Platform
import Protocol

/// What stays in memory of a campaign that left it.
struct DormantCampaign {
    /// Where its stream stands in the slot's epoch.
    let seq: UInt64
    /// The newest row that concerns it: a snapshot that reaches less far is not the one that it left behind.
    let lsn: UInt64
}

/// A campaign on its way back.
struct Activation {
    let dormant: DormantCampaign
    var waiting: [ShardMessage]
}

extension Shard {
    /// Campaigns in memory.
    var hostedCount: Int { campaigns.count }

    /// Lets go of campaigns that were not used for long enough; who is not at rest is looked at again later.
    func passivateIdle(at now: UInt64) async {
        while let first = idles.first, first.at <= now {
            _ = idles.pop()
            guard let entry = campaigns[first.campaign] else { continue }
            let due = entry.usedAt + context.idleNanoseconds
            guard due <= now, entry.commands.isEmpty, let dormant = await entry.actor.rest() else {
                idles.push(Deadline(at: max(due, now + context.idleNanoseconds / 8), campaign: entry.id))
                continue
            }
            campaigns[entry.id] = nil
            entry.slot.campaigns[entry.id] = nil
            entry.slot.dormant[entry.id] = dormant
            context.metrics.campaigns.add(-1)
            context.metrics.campaignsPassivated.increment()
        }
    }

    /// Has a message wait for a dormant campaign, which is read back. `false`: there is no such campaign.
    func wake(_ campaign: CampaignID, in slot: OpenSlot, for message: ShardMessage) -> Bool {
        if var activation = slot.activating.removeValue(forKey: campaign) {
            if admits(message, behind: activation.waiting.count) {
                activation.waiting.append(message)
            } else {
                refuse([message], Self.tooManyWait)
            }
            slot.activating[campaign] = activation
            return true
        }
        guard let dormant = slot.dormant[campaign] else { return false }
        guard activations.count < ShardLimits.activationsLimit, admits(message, behind: 0) else {
            refuse([message], Self.tooManyWait)
            return true
        }
        slot.dormant[campaign] = nil
        slot.activating[campaign] = Activation(dormant: dormant, waiting: [message])
        let (journal, inbox, index) = (context.journal, inbox, slot.ledger.slot)
        activations[campaign] = Task.detached(executorPreference: context.beside) {
            let result = await Self.read(campaign, slot: index, through: dormant.lsn, journal)
            inbox.postUnbounded(.activated(campaign, result))
        }
        return true
    }

    private static let tooManyWait = ClientError(
        .overloaded, "too many campaigns are being read back", retryAfterMilliseconds: 1000)

    /// Reads a campaign from its newest snapshot; where that one is not what was left behind, from the whole slot.
    private static func read(
        _ campaign: CampaignID, slot: Slot, through lsn: UInt64, _ journal: any Journal
    ) async -> Result<RecoveredCampaign, SlotRefusal> {
        do {
            if let snapshot = try await journal.snapshot(of: campaign, slot: slot), snapshot.lsn >= lsn {
                let stored = snapshot.state
                let state = try Campaign(snapshot: stored.span)
                return .success(
                    RecoveredCampaign(
                        state: state, lsn: snapshot.lsn, snapshotBytes: stored.count, journalBytes: 0))
            }
            let recovered = try SlotReplay.campaigns(of: try await journal.recover(slot), slot: slot)
            guard let found = recovered.first(where: { $0.state.id == campaign }), found.lsn >= lsn else {
                return .failure(SlotRefusal(reason: "campaign \(campaign): rows up to \(lsn) are not in the journal"))
            }
            return .success(found)
        } catch {
            return .failure(SlotRefusal(reason: "\(error)"))
        }
    }

    func activated(_ campaign: CampaignID, _ result: Result<RecoveredCampaign, SlotRefusal>) async {
        activations[campaign] = nil
        guard case .open(let slot)? = slots[Slot(of: campaign)],
            let activation = slot.activating.removeValue(forKey: campaign)
        else { return }
        endWait(of: activation.waiting)
        switch result {
        case .failure(let refusal):
            slot.dormant[campaign] = activation.dormant
            context.log.error(
                "campaign.unreadable",
                [("campaign", .string("\(campaign)")), ("reason", .string(refusal.reason))])
            let error = ClientError(
                .unavailable, "the campaign cannot be read now", retryAfterMilliseconds: 5000)
            refuse(activation.waiting, error)
        case .success(let recovered):
            context.metrics.campaignsActivated.increment()
            let position = Position(epoch: slot.ledger.epoch, seq: activation.dormant.seq)
            let entry = register(actor(of: recovered, at: position), campaign, slot)
            noteTurn(entry, await entry.actor.wake(at: context.clock.now()))
            for message in activation.waiting.compactMap({ stillAwaited($0) }) { await take(message) }
        }
    }

    /// Answers what waited in vain.
    func refuse(_ messages: [ShardMessage], _ error: ClientError) {
        for message in messages {
            switch message {
            case .road(.commands(_, let commands)): for command in commands { refuse(command, error) }
            case .road(.create(let creation)): post(.reply(creation.ticket, .failure(error)), to: creation.ticket.edge)
            case .rows, .snapshotStored, .opened, .slotLost, .activated, .verified, .tick, .snapshotWanted, .released:
                break
            case .release(let slots, let completion): completion(slots.map { Release(slot: $0, content: nil) })
            }
        }
    }
}

extension CampaignActor {
    /// What stays of this campaign where it may leave memory; `nil` while somebody or something needs it.
    func rest() -> DormantCampaign? {
        let isQuiet = pending.isEmpty && subscribedEdges.isEmpty && verifications.isEmpty
        let isSent = outgoing.allSatisfy(\.isEmpty) && settledVotes.allSatisfy(\.isEmpty)
        guard isQuiet, isSent, state.nextDeadline == nil, snapshots.isClean else { return nil }
        return DormantCampaign(seq: position.seq, lsn: newestLSN)
    }
}
