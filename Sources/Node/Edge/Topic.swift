// One campaign as an edge sees it: the connections of this loop that follow it, grouped by the form in which they want
// its events, so that a broadcast is one pass over each group with one buffer.

import Platform
import Protocol

final class Topic {
    let campaign: CampaignID
    /// Subscribers by wire variant; the order means nothing.
    private(set) var members: [[Connection]]
    /// Subscriptions that were asked for and not answered yet.
    var pendingJoins = 0
    /// Up to where its followers have seen everything.
    var position: Position?
    /// Of the owner whose answers and events its followers have had, 0 before the first.
    private var epoch: UInt64 = 0
    /// Since when its followers wait for the campaign to come back.
    var resyncingSince: Timestamp?
    /// Newcomers who were answered meanwhile: they ask again when the others have caught up.
    var waitingJoins: [WaitingJoin] = []
    /// Of the newest event that came.
    private var newestEvent: Position?
    /// Events of this turn that wait to be written, oldest first.
    var turnEvents: [SharedEvent] = []

    struct WaitingJoin {
        let ticket: ReplyTicket
        /// From where it follows.
        let after: Position?
    }

    init(campaign: CampaignID) {
        self.campaign = campaign
        members = Array(repeating: [], count: WireVariant.allCases.count)
    }

    /// Every subscriber, as of now.
    var allMembers: [Connection] { members.flatMap { $0 } }
    var memberCount: Int { members.reduce(0) { $0 + $1.count } }
    var isUnused: Bool { pendingJoins == 0 && members.allSatisfy(\.isEmpty) }

    /// Adds a connection; it finds its place again through its own subscription record.
    func add(_ connection: Connection, _ variant: WireVariant) -> Int {
        members[variant.rawValue].append(connection)
        return members[variant.rawValue].count - 1
    }

    /// Removes the connection at `place`; the last one takes that place and is told so.
    func remove(_ variant: WireVariant, at place: Int) {
        let last = members[variant.rawValue].removeLast()
        guard place < members[variant.rawValue].count else { return }
        members[variant.rawValue][place] = last
        last.moved(in: self, to: place)
    }

    /// Whether more has happened since than an answer tells: it came by another way than what happened, and whoever takes
    /// it for the present would miss what lies between.
    func isPast(_ joined: Joined) -> Bool {
        joined.epoch > 0 && joined.epoch < epoch || newestEvent.map { joined.newest < $0 } ?? false
    }

    /// Whether what an owner under this epoch says is news that the followers have to ask for: they follow an earlier one.
    func isAhead(_ owner: UInt64) -> Bool { memberCount > 0 && owner > epoch }

    /// Followers are led by what this owner says from now on.
    func follow(_ owner: UInt64) { epoch = max(epoch, owner) }

    /// Notes an event; `false` where the followers have been there before.
    func noteEvent(_ place: Position) -> Bool {
        guard noteSeen(place) else { return false }
        newestEvent = place
        follow(place.epoch)
        return true
    }

    /// Notes how far the followers have come; `false` where they had been there before.
    @discardableResult
    func noteSeen(_ newest: Position) -> Bool {
        if let position, newest <= position { return false }
        position = newest
        return true
    }
}

extension Joined {
    /// Up to where the answer shows everything.
    var newest: Position { missed.last?.position ?? subscribed.position }
}
