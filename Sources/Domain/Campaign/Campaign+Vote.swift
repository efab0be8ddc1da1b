// The road of a vote: decide, evolve and record in one pass, with one probe of each table and no allocation.

public import Protocol

extension Campaign {
    /// Decides a vote received at `now`, applies it, and appends its record where it left a trace.
    ///
    /// - Parameters:
    ///   - option: 0-based; may be out of range.
    ///   - voter: the voter's hash; a UNIQUE poll needs it, in a STANDARD one it only scopes the key.
    ///   - key: the hash of the vote's key, remembered with its voter as long as the poll runs.
    ///   - channel: 1–64 bytes; at most 256 of them a poll.
    ///   - now: the time of receipt; a vote at `endsAt` or later is late.
    ///   - journal: gets the record of a `counted` or `moved` vote, and of a `same` with a key that is new.
    /// - Returns: `duplicate` for a key that was seen with this voter before, whatever else the vote says.
    /// - Throws: in the order of the checks `not_found`, `poll_closed` (also counted in `lateVotes`),
    ///   `invalid_option`, `bad_request` (channel, or no voter where one is needed), `overloaded` (2^24 voters or keys
    ///   in this poll). A refused vote changes nothing else and writes nothing.
    /// - Complexity: O(1) expected; the worst insert moves the entries of one segment of the table.
    public mutating func castVote(
        poll: PollID, option: Int, voter: Hash128?, key: Hash128?, channel: String?, at now: Timestamp,
        into journal: inout RecordWriter
    ) throws(ClientError) -> VoteStatus {
        guard poll == running?.definition.id else { throw refusal(of: poll) }
        let id = self.id
        guard
            let status = try running?.castBeforeEnd(
                option: option, voter: voter, key: key, channel: channel, at: now, campaign: id, into: &journal)
        else {
            lateVotes += 1
            throw ClientError(.pollClosed, "the poll is over")
        }
        return status
    }

    private mutating func refusal(of poll: PollID) -> ClientError {
        guard !isDeleted else { return Self.unknownCampaign }
        guard finished(poll) != nil else { return ClientError(.notFound, "there is no such poll") }
        lateVotes += 1
        return ClientError(.pollClosed, "the poll is over")
    }
}

extension RunningPoll {
    /// `nil` where the vote came at the end or after it.
    @inline(__always)
    fileprivate mutating func castBeforeEnd(
        option: Int, voter: Hash128?, key: Hash128?, channel: String?, at now: Timestamp, campaign: CampaignID,
        into journal: inout RecordWriter
    ) throws(ClientError) -> VoteStatus? {
        guard now < definition.endsAt else { return nil }
        return try cast(
            option: option, voter: voter, key: key, channel: channel, campaign: campaign, into: &journal)
    }
}
