// Votes by HTTP: one, or a batch whose results keep its order.

import Platform
import Protocol
import Web

extension Edge {
    func serveVotes(
        _ connection: Connection, _ request: HTTPRequest, _ campaign: CampaignID, _ poll: PollID
    ) throws(ClientError) {
        let principal = try principal(of: request)
        let drafts = try VotesDraft(body: request.body.span)
        let key = try idempotencyKey(request)
        switch drafts {
        case .single(let draft):
            let vote = try vote(draft, poll, principal, key: key, item: nil)
            connection.exchange?.votes = VoteResults(isBatch: false, results: [nil], remaining: 1)
            send(connection, campaign, .vote(vote))
        case .batch(let drafts):
            connection.exchange?.votes = VoteResults(
                isBatch: true, results: Array(repeating: nil, count: drafts.count), remaining: drafts.count)
            sendBatch(connection, campaign, poll, drafts, principal, key)
        }
    }

    private func sendBatch(
        _ connection: Connection, _ campaign: CampaignID, _ poll: PollID,
        _ drafts: [Result<VoteDraft, ClientError>], _ principal: Principal, _ key: String?
    ) {
        guard !drafts.isEmpty else { return answerVotes(connection) }
        for (index, draft) in drafts.enumerated() {
            do throws(ClientError) {
                let vote = try vote(try draft.get(), poll, principal, key: key, item: index)
                enqueue(
                    Command(
                        campaign: campaign, ticket: ticket(connection, item: index), receivedAt: receivedAt,
                        body: .vote(vote)))
                connection.outstanding += 1
            } catch {
                noteVote(connection, index, .failure(error))
            }
        }
    }

    /// An Idempotency-Key is the vote's key; in a batch each vote has its own, made of it and the vote's place.
    private func vote(
        _ draft: VoteDraft, _ poll: PollID, _ principal: Principal, key: String?, item: Int?
    ) throws(ClientError) -> VoteCommand {
        var effective = draft.key
        if let key {
            if let own = draft.key, item == nil, own != key {
                throw ClientError(
                    .badRequest, "key and Idempotency-Key differ",
                    details: [.init(field: "key", message: "must be the Idempotency-Key, or absent")])
            }
            if effective == nil { effective = item.map { "\(key)#\($0)" } ?? key }
        }
        let identity = try principal.voteIdentity(voter: draft.voter, channel: draft.channel, defaultVoter: nil)
        return VoteCommand(
            poll: poll, option: draft.option, voter: identity.voter, channel: identity.channel, key: effective)
    }

    /// Takes in one vote's result; the last one answers the request.
    func noteVote(_ connection: Connection, _ index: Int, _ result: Result<(status: VoteStatus, position: Position), ClientError>) {
        guard var votes = connection.exchange?.votes, index < votes.results.count, votes.results[index] == nil else {
            return
        }
        // Emptied first, so that the results are changed in place.
        connection.exchange?.votes = nil
        votes.results[index] = result
        votes.remaining -= 1
        connection.exchange?.votes = votes
        if votes.remaining == 0 { answerVotes(connection) }
    }

    private func answerVotes(_ connection: Connection) {
        guard let votes = connection.exchange?.votes else { return }
        if votes.isBatch {
            respond(connection, status: 200, json: ReplyDocuments.voteResults(votes.results.compactMap { $0 }))
            return
        }
        switch votes.results.first ?? nil {
        case .success(let vote)?:
            respond(connection, status: 200, json: ReplyDocuments.voteResult(vote.status, vote.position))
        case .failure(let error)?: fail(connection, error)
        case nil: break
        }
    }
}
