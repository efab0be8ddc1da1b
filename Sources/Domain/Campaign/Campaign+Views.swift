// What readers see. Views are made from whatever state they are asked of; showing only what is committed is the
// shell's duty.

public import Protocol

extension Campaign {
    /// The campaign as its readers see it. Of a tombstone nothing is left to show: ask `isDeleted` first.
    public var view: CampaignView {
        CampaignView(
            id: id, ownerId: ownerId, name: name, description: description, createdAt: createdAt,
            runningPoll: runningPoll)
    }

    /// The running poll's counts, `nil` when none runs.
    public var tally: TallyView? { running.map { $0.tally.view(of: $0.definition.id) } }

    /// Votes in all polls that the state knows, running and final.
    public var countedVotes: UInt64 {
        history.reduce(tally?.totalVotes ?? 0) { $0 + $1.tally.votes.reduce(0, +) }
    }

    /// One poll, running or final, stamped with a position; `nil` where it is unknown.
    public func pollView(_ poll: PollID, position: Position) -> PollView? {
        poll == runningPoll ? runningView(position) : finished(poll)?.view(in: id, position: position)
    }

    /// The running poll, or the one that ended last, or none.
    public func latestPoll(position: Position) -> PollView? {
        runningView(position) ?? history.last?.view(in: id, position: position)
    }

    /// Up to `limit` polls, the newest first; a running poll is the newest.
    public func history(limit: Int, position: Position) -> [PollView] {
        let current = limit > 0 ? runningView(position) : nil
        let past = history.suffix(max(0, limit - (current == nil ? 0 : 1))).reversed()
        return (current.map { [$0] } ?? []) + past.map { $0.view(in: id, position: position) }
    }

    private func runningView(_ position: Position) -> PollView? {
        running.map {
            $0.definition.view(in: id, tally: $0.tally, status: .running, endedAt: nil, position: position)
        }
    }
}
