// Which loops of this node follow what a peer owns, as the loop sees it that holds their one subscription: the loop
// `slot % loops`. It asks the owner once for all who wish the same at a time, passes each event to the loops that
// follow, and ends the subscription when the last one has left. Between two requests for the same wish there is a rest: a
// crowd that arrives costs so many requests a second, however large it is.
//
//   edge, loop 0 ─┐ wish, leave                              ┌─► edge, loop 0
//   edge, loop 1 ─┴──► loop slot % loops ══ link ══► owner ══┴─► edge, loop 1    (one event frame, the same object)

import Cluster
import Protocol

/// A pure machine for one peer and loop.
struct Following {
    /// After an answer, until the same wish is asked for again.
    static let restNanoseconds: UInt64 = 10_000_000

    /// A wish: those of several clients that are alike are one.
    struct Wish: Hashable, Sendable {
        let campaign: CampaignID
        let after: Position?
    }

    private struct Entry {
        /// Loops that have been answered and have not left.
        var loops: [UInt16] = []
        /// Requests to the owner without an outcome, and rests after one.
        var underway = 0
        /// Whether the owner sends the campaign's events.
        var isSubscribed = false
        /// How many clients the owner was told of.
        var told: Int?
    }

    private var entries: [CampaignID: Entry] = [:]
    /// Who waits for the answer after the one that is under way: a wish is answered by what was asked after it came.
    private var waiting: [Wish: [Command]] = [:]
    /// Campaigns of which the owner has not been told since they were subscribed to; some may have gone since.
    private var untold: [CampaignID] = []

    /// Commands that wait for their turn to be asked for.
    var waitingCount: Int { waiting.values.reduce(0) { $0 + $1.count } }

    // MARK: - Wishes

    /// A client wishes to follow. The commands to ask for now; empty where an answer to the same wish is under way.
    mutating func wished(_ command: Command, after: Position?) -> [Command] {
        let wish = Wish(campaign: command.campaign, after: after)
        guard waiting[wish] == nil else {
            waiting[wish]?.append(command)
            return []
        }
        begin(wish)
        return [command]
    }

    private mutating func begin(_ wish: Wish) {
        waiting[wish] = []
        entries[wish.campaign, default: Entry()].underway += 1
    }

    /// The owner has answered: events come from now on, to the loops of these edges too. A rest follows.
    mutating func joined(_ wish: Wish, by edges: [UInt16]) {
        if !(entries[wish.campaign]?.isSubscribed ?? false) { untold.append(wish.campaign) }
        entries[wish.campaign]?.isSubscribed = true
        for edge in edges where !(entries[wish.campaign]?.loops.contains(edge) ?? true) {
            entries[wish.campaign]?.loops.append(edge)
        }
    }

    /// The rest is over. The commands that have come meanwhile and are to be asked for now.
    mutating func rested(_ wish: Wish) -> [Command] { end(wish) }

    /// There is no answer, or a refusal. The commands that are to be asked for now.
    mutating func failed(_ wish: Wish) -> [Command] { end(wish) }

    private mutating func end(_ wish: Wish) -> [Command] {
        let next = waiting.removeValue(forKey: wish) ?? []
        entries[wish.campaign]?.underway -= 1
        if !next.isEmpty { begin(wish) }
        return next
    }

    // MARK: - Events

    /// The loops that get a campaign's events.
    func loops(of campaign: CampaignID) -> [UInt16] { entries[campaign]?.loops ?? [] }

    /// The clients of a loop have all left.
    mutating func left(_ campaign: CampaignID, _ edge: UInt16) { entries[campaign]?.loops.removeAll { $0 == edge } }

    /// Forgets a campaign that no loop follows. Whether the owner is to be told: it still sends events.
    mutating func retire(_ campaign: CampaignID) -> Bool {
        guard let entry = entries[campaign], entry.loops.isEmpty, entry.underway == 0 else { return false }
        entries[campaign] = nil
        return entry.isSubscribed
    }

    /// The campaigns of a slot come from this owner no more: the loops that have to ask anew.
    mutating func moved(_ slot: Slot) -> [UInt16] {
        var loops: Set<UInt16> = []
        for (campaign, entry) in entries where Slot(of: campaign) == slot {
            loops.formUnion(entry.loops)
            entries[campaign] = entry.underway == 0 ? nil : Entry(underway: entry.underway)
        }
        return loops.sorted()
    }

    /// The link is gone, and every subscription with it: which loops have to ask anew for the campaigns of which slots.
    mutating func closed() -> [(slot: Slot, loops: [UInt16])] {
        var loops: [Slot: Set<UInt16>] = [:]
        for (campaign, entry) in entries where !entry.loops.isEmpty {
            loops[Slot(of: campaign), default: []].formUnion(entry.loops)
        }
        entries = entries.filter { $0.value.underway > 0 }.mapValues { Entry(underway: $0.underway) }
        return loops.sorted { $0.key.index < $1.key.index }.map { ($0.key, $0.value.sorted()) }
    }

    // MARK: - Clients

    /// The campaigns of which the owner may have to be told: those among `changed` that come from it, and new ones.
    mutating func takeUntold(_ changed: [CampaignID]) -> [CampaignID] {
        let new = untold
        untold = []
        return new + changed.filter { entries[$0]?.isSubscribed ?? false }
    }

    /// The clients of this node now: whether the owner knows another number.
    func isNews(_ clients: Int, of campaign: CampaignID) -> Bool {
        guard let entry = entries[campaign], entry.isSubscribed else { return false }
        return entry.told != clients
    }

    /// The owner is being told.
    mutating func told(_ clients: Int, of campaign: CampaignID) { entries[campaign]?.told = clients }

    /// The owner could not be told now.
    mutating func owes(_ campaign: CampaignID) { untold.append(campaign) }
}
