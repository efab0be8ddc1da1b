// The running poll: its definition, its counts, who voted what, which keys were seen, and how far its countdown is.
// Voters and keys live here only; when the poll ends they leave the state with this value.

import Protocol

/// The state of the poll that runs.
struct RunningPoll: Sendable {
    let definition: PollDefinition
    /// The random key under which the shell hashes this poll's voters and keys.
    let voterKey: Hash128
    private(set) var tally: PollTally
    /// UNIQUE: each voter with its choice. STANDARD: empty.
    private(set) var voters: HashTable
    /// Pairs of voter and key that were seen.
    private(set) var keys: HashTable
    private(set) var countdown: Countdown
    private var channelIndexes: [String: Int]

    init(definition: PollDefinition, voterKey: Hash128) {
        self.init(
            definition: definition, voterKey: voterKey, tally: PollTally(optionCount: definition.options.count),
            voters: HashTable(hasPayloads: true), keys: HashTable(hasPayloads: false),
            countdown: Countdown(durationSeconds: definition.durationSeconds))
    }

    /// Takes decoded parts; whoever decodes has checked that they agree.
    init(
        definition: PollDefinition, voterKey: Hash128, tally: PollTally, voters: HashTable, keys: HashTable,
        countdown: Countdown
    ) {
        self.definition = definition
        self.voterKey = voterKey
        self.tally = tally
        self.voters = voters
        self.keys = keys
        self.countdown = countdown
        channelIndexes = [:]
        for (index, name) in tally.channels.enumerated() { channelIndexes[name] = index }
    }

    /// The next mark or the end. Mark 0 coincides with the end.
    var nextDeadline: Timestamp {
        definition.endsAt.advanced(byMilliseconds: -1000 * Int64(countdown.nextMark ?? 0))
    }

    func dueEvents(at now: Timestamp) -> [CampaignEvent] {
        guard nextDeadline <= now else { return [] }
        let id = definition.id
        let endsAt = definition.endsAt
        var events: [CampaignEvent] = []
        var skipped: Int?
        var next = countdown.nextMark
        while let mark = next, mark > 0 {
            let late = now.milliseconds(since: endsAt.advanced(byMilliseconds: -1000 * Int64(mark)))
            guard late >= 0 else { break }
            if late < Countdown.latenessLimitMilliseconds {
                events.append(.countdown(poll: id, secondsLeft: mark, at: now))
                skipped = nil
            } else {
                skipped = mark
            }
            next = Countdown.mark(below: mark, durationSeconds: definition.durationSeconds)
        }
        guard endsAt <= now else {
            if let skipped { events.append(.countdownSkipped(poll: id, secondsLeft: skipped)) }
            return events
        }
        if countdown.nextMark != nil, now.milliseconds(since: endsAt) < Countdown.latenessLimitMilliseconds {
            events.append(.countdown(poll: id, secondsLeft: 0, at: now))
        }
        events.append(.pollEnded(poll: id, status: .ended, endedAt: endsAt))
        return events
    }

    mutating func passMark(_ mark: Int) { countdown.pass(mark) }

    mutating func addChannel(_ name: String) {
        channelIndexes[name] = tally.channels.count
        tally.addChannel(name)
    }

    func hasChannel(_ name: String) -> Bool { channelIndexes[name] != nil }

    /// Decides a vote, applies it and appends its record; see `Campaign.castVote`.
    @inline(__always)
    mutating func cast(
        option: Int, voter: Hash128?, key: Hash128?, channel: String?, campaign: CampaignID,
        into journal: inout RecordWriter
    ) throws(ClientError) -> VoteStatus {
        guard option >= 0, option < tally.votes.count else {
            throw ClientError(.invalidOption, "the poll has no such option")
        }
        var channelIndex: Int?
        var newChannel: String?
        if let channel {
            channelIndex = channelIndexes[channel]
            if channelIndex == nil {
                try checkNewChannel(channel)
                newChannel = channel
            }
        }
        let isUnique = definition.type == .unique
        guard !isUnique || voter != nil else { throw ClientError(.badRequest, "this poll needs a voter") }
        let pair = key.map { Hash128.pair(voter: voter, key: $0) }
        let countedVoter = isUnique ? voter?.stored : nil
        if let status = try settledEarly(
            option: option, voter: countedVoter, pair: pair, hasNewChannel: newChannel != nil)
        {
            if status == .same, let pair { remember(pair, option: option, voter: countedVoter, campaign, &journal) }
            return status
        }
        if let newChannel {
            channelIndex = tally.channels.count
            addChannel(newChannel)
            journal.append(.channelAdded(poll: definition.id, channel: newChannel), campaign: campaign)
        }
        let choice = Choice(option: option, channel: channelIndex)
        let status = apply(choice, voter: countedVoter, pair: pair)
        if Self.isJournaled(status, hasKey: pair != nil) {
            journal.appendVote(campaign: campaign, poll: definition.id, choice: choice, voter: countedVoter, pair: pair)
        }
        return status
    }

    /// Counts a vote; live votes and replayed ones take this same road. The caller has checked option and channel.
    /// - Parameters:
    ///   - voter: set exactly in a UNIQUE poll.
    ///   - pair: the hash of voter and key.
    @inline(__always)
    mutating func apply(_ choice: Choice, voter: Hash128?, pair: Hash128?) -> VoteStatus {
        if let pair, !keys.insert(pair) { return .duplicate }
        guard let voter else {
            tally.add(choice)
            return .counted
        }
        guard let before = voters.choose(choice, voter: voter) else {
            tally.add(choice)
            return .counted
        }
        if before.option == choice.option { return .same }
        tally.remove(before)
        tally.add(choice)
        return .moved
    }

    /// Many journaled votes are about to be applied.
    mutating func beginReplay() {
        voters.beginLoading()
        keys.beginLoading()
    }

    /// No more of them come.
    mutating func endReplay() {
        voters.endLoading()
        keys.endLoading()
    }

    /// Whether a vote left a trace in the state. A `same` with a new key does: its key is remembered, so that a
    /// repeat of it is a `duplicate` even after the voter has moved on.
    @inline(__always)
    static func isJournaled(_ status: VoteStatus, hasKey: Bool) -> Bool {
        switch status {
        case .counted, .moved: true
        case .same: hasKey
        case .duplicate: false
        }
    }

    /// Whether a journaled vote fits the state.
    @inline(__always)
    func allows(_ choice: Choice, voter: Hash128?) -> Bool {
        tally.allows(choice) && (definition.type == .unique) == (voter != nil)
    }

    private func checkNewChannel(_ channel: String) throws(ClientError) {
        guard !channel.isEmpty, channel.utf8.count <= Limits.channelBytesLimit else {
            throw ClientError(.badRequest, "a channel has 1 to \(Limits.channelBytesLimit) bytes")
        }
        guard tally.channels.count < Limits.channelsPerPollLimit else {
            throw ClientError(.badRequest, "a poll has at most \(Limits.channelsPerPollLimit) channels")
        }
    }

    /// The rare cases that must be known before anything changes: a vote that names a new channel but will not count
    /// there, and full tables.
    @inline(__always)
    private func settledEarly(
        option: Int, voter: Hash128?, pair: Hash128?, hasNewChannel: Bool
    ) throws(ClientError) -> VoteStatus? {
        let isFull = voters.count >= HashTable.countLimit || keys.count >= HashTable.countLimit
        guard hasNewChannel || isFull else { return nil }
        if let pair, keys.contains(pair) { return .duplicate }
        let before = voter.flatMap { voters.payload(of: $0) }.map { Choice(bits: $0) }
        let needsPlace = voter != nil && before == nil
        if needsPlace && voters.count >= HashTable.countLimit || pair != nil && keys.count >= HashTable.countLimit {
            throw ClientError(.overloaded, "the poll holds as many voters as it can", retryAfterMilliseconds: 60_000)
        }
        return before?.option == option ? .same : nil
    }

    private mutating func remember(
        _ pair: Hash128, option: Int, voter: Hash128?, _ campaign: CampaignID, _ journal: inout RecordWriter
    ) {
        let choice = Choice(option: option, channel: nil)
        _ = apply(choice, voter: voter, pair: pair)
        journal.appendVote(campaign: campaign, poll: definition.id, choice: choice, voter: voter, pair: pair)
    }
}
