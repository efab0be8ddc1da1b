// What must hold in every run, checked as it happens and once more at the end.
//
//   database ─► epochs only grow; rows follow each other; none of an older epoch after a change of hands
//   clients  ─► no ack and no tally ahead of the commits; streams without gaps, never back; every request answered
//   the end  ─► tallies equal what was confirmed, alike on every node and equal to a replay; polls ended when they should

import Cluster
import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class Checker: DatabaseWatcher, @unchecked Sendable {
    private unowned let scenario: Scenario
    private(set) var violations: [String] = []
    private(set) var polls: [PollRecord] = []
    /// Acked signals by campaign, in the order of the acks.
    private(set) var signals: [CampaignID: [(name: String, position: Position)]] = [:]
    private(set) var ackedVotes = 0
    private(set) var committedRows = 0
    private(set) var changesOfHands = 0
    private var committedVotes: [Int32: Int] = [:]
    private var confirmedVotes: [Int32: Int] = [:]
    /// When the end of each poll was first told.
    private(set) var endsTold: [PollID: Timestamp] = [:]

    init(_ scenario: Scenario) { self.scenario = scenario }

    func violation(_ text: String) {
        guard violations.count < 20 else { return }
        violations.append("at \(scenario.world.clockText) s: \(text)")
        scenario.world.note("VIOLATION \(text)")
    }

    // MARK: - The database

    func rowCommitted(_ slot: Int32, _ lsn: UInt64, _ row: JournalRow, _ tables: Tables) {
        committedRows += 1
        committedVotes[slot, default: 0] += Int(row.count)
        let lease = tables.leases[Int(slot)]
        if row.epoch < lease.epoch {
            violation("slot \(slot): row \(lsn) of epoch \(row.epoch) after epoch \(lease.epoch) began")
        }
        if lsn > 1, tables.journal[Int(slot)][lsn - 1] == nil {
            violation("slot \(slot): row \(lsn) does not follow another one")
        }
    }

    func ownerChanged(_ slot: Int32, from: LeaseRow, to: LeaseRow, _ tables: Tables) {
        changesOfHands += 1
        if to.epoch <= from.epoch { violation("slot \(slot): epoch \(to.epoch) after \(from.epoch)") }
    }

    // MARK: - What clients were told

    func launched(_ poll: PollRecord) { polls.append(poll) }

    /// Polls that take votes, or did a moment ago.
    var openPolls: [PollRecord] {
        let limit = scenario.world.wall.advanced(byMilliseconds: -100)
        return polls.filter { $0.endsAt > limit }
    }

    /// A vote was acked.
    func accepted(_ poll: PollRecord, _ status: VoteStatus) {
        ackedVotes += 1
        guard status == .counted || status == .moved else { return }
        let slot = Int32(Slot(of: poll.campaign).index)
        confirmedVotes[slot, default: 0] += 1
        if let confirmed = confirmedVotes[slot], confirmed > committedVotes[slot] ?? 0 {
            violation("slot \(slot): \(confirmed) votes acked, \(committedVotes[slot] ?? 0) committed")
        }
    }

    /// A tally was shown to somebody.
    func shown(_ tally: TallyView, _ campaign: CampaignID, _ who: String) {
        let slot = Int32(Slot(of: campaign).index)
        if tally.totalVotes > UInt64(committedVotes[slot] ?? 0) {
            violation("\(who) is shown \(tally.totalVotes) votes of \(committedVotes[slot] ?? 0) committed")
        }
    }

    func signalled(_ campaign: CampaignID, _ name: String, _ position: Position) {
        signals[campaign, default: []].append((name, position))
    }

    func ended(_ poll: PollView, _ who: String) {
        if endsTold[poll.tally.id] == nil { endsTold[poll.tally.id] = scenario.world.wall }
        guard let known = polls.first(where: { $0.id == poll.tally.id }) else { return }
        final(poll, known, who)
    }

    /// A poll as it ended, told to anybody.
    func final(_ poll: PollView, _ known: PollRecord, _ who: String) {
        if poll.status != .ended { violation("\(who): poll \(poll.tally.id) is \(poll.status), not ended") }
        if poll.endsAt != known.endsAt {
            violation("\(who): poll \(poll.tally.id) ends at \(poll.endsAt), was told \(known.endsAt)")
        }
        if let endedAt = poll.endedAt, endedAt != known.endsAt {
            violation("\(who): poll \(poll.tally.id) ended at \(endedAt), not at \(known.endsAt)")
        }
    }

    // MARK: - The end

    /// Whether a stream holds everything that it must.
    func check(_ follower: Follower) {
        for campaign in follower.campaigns {
            for stretch in follower.stretches[campaign] ?? [] {
                for signal in signals[campaign] ?? []
                where signal.position > stretch.start && signal.position <= stretch.end {
                    guard stretch.signals[signal.position] != signal.name else { continue }
                    violation(
                        "\(follower.name): signal \(signal.name) at \(signal.position) is missing from a stream of "
                            + "\(campaign) that went from \(stretch.start) to \(stretch.end)")
                }
            }
        }
    }
}
