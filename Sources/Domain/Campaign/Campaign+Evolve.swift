// Evolution: what an event changes. Live and in replay the same code, without a decision in it.

import Protocol

extension Campaign {
    /// Applies an event that was decided on this state.
    /// - Precondition: the event fits the state. Records of a journal go through `RecordReader`, which checks that.
    public mutating func evolve(_ event: CampaignEvent) {
        precondition(fits(event), "an event does not fit the state of campaign \(id)")
        switch event {
        case .created:
            preconditionFailure("campaign \(id) exists already")
        case .updated(let name, let description, _):
            self.name = name
            self.description = description
        case .deleted(let at):
            name = ""
            description = nil
            deletedAt = at
            history = []
            historyBytes = 0
        case .pollStarted(let definition, let voterKey):
            running = RunningPoll(definition: definition, voterKey: voterKey)
        case .channelAdded(_, let channel):
            running?.addChannel(channel)
        case .voted(let vote):
            _ = running?.apply(vote.choice, voter: vote.voter, pair: vote.pair)
        case .countdown(_, let secondsLeft, _), .countdownSkipped(_, let secondsLeft):
            running?.passMark(secondsLeft)
        case .pollEnded(_, let status, let endedAt):
            finish(status, at: endedAt)
        case .replyRemembered(let key, let body, let at, let status, let bytes):
            replies.remember(
                ReplyMemory.Entry(key: key, body: body, at: at, reply: RememberedReply(status: status, bytes: bytes)))
        }
    }

    /// Whether an event can follow on this state.
    func fits(_ event: CampaignEvent) -> Bool {
        switch event {
        case .created: false
        case .updated: !isDeleted
        case .deleted: !isDeleted && running == nil
        case .pollStarted(let definition, _):
            !isDeleted && running == nil && finished(definition.id) == nil
                && PollDefinition.decodableOptionCounts.contains(definition.options.count)
                && PollDefinition.decodableDurations.contains(definition.durationSeconds)
        case .channelAdded(let poll, let channel):
            poll == runningPoll
                && (running.map {
                    $0.tally.channels.count < Limits.channelsPerPollLimit && !$0.hasChannel(channel)
                } ?? false)
        case .voted(let vote):
            vote.poll == runningPoll && (running?.allows(vote.choice, voter: vote.voter) ?? false)
        case .countdown(let poll, let secondsLeft, _), .countdownSkipped(let poll, let secondsLeft):
            poll == runningPoll && secondsLeft >= 0 && secondsLeft < (running?.countdown.passedMark ?? 0)
        case .pollEnded(let poll, let status, _): poll == runningPoll && status != .running
        case .replyRemembered: true
        }
    }

    private mutating func finish(_ status: PollStatus, at endedAt: Timestamp) {
        guard let poll = running else { return }
        running = nil
        if history.count >= Self.historyLimit { historyBytes -= history.removeFirst().encodedBytes }
        let finished = FinishedPoll(
            definition: poll.definition, status: status, endedAt: endedAt, tally: poll.tally)
        history.append(finished)
        historyBytes += finished.encodedBytes
    }
}
