// Decisions: what a command would change. Nothing changes here.

public import Protocol

extension Campaign {
    /// The event that creates a campaign.
    public static func decideCreate(_ draft: NewCampaign, at now: Timestamp) -> CampaignEvent {
        .created(
            CampaignCreated(
                id: draft.id, ownerId: draft.ownerId, name: draft.name, description: draft.description,
                creationKey: draft.creationKey, creationBody: draft.creationBody, at: now))
    }

    /// The countdown marks and the end that are due, in order; apply them before anything else at this time.
    ///
    /// A mark whose moment is 1 s past or more, because nobody served, is skipped (`countdownSkipped`). An end carries
    /// `endedAt` = `endsAt`, however late.
    public func dueEvents(at now: Timestamp) -> [CampaignEvent] { running?.dueEvents(at: now) ?? [] }

    /// What a command changes: no event where it changes nothing.
    /// - Precondition: nothing is due at `now`.
    /// - Throws: `poll_running` (with the running poll in `details`), `poll_closed`, `not_found`, `conflict` (a poll
    ///   id that is taken) or `bad_request`.
    public func decide(_ command: CampaignCommand, at now: Timestamp) throws(ClientError) -> [CampaignEvent] {
        precondition(nextDeadline.map { $0 > now } ?? true, "events of campaign \(id) were due before a command")
        guard !isDeleted else { throw Self.unknownCampaign }
        switch command {
        case .launch(let poll, let draft, let voterKey):
            if let runningPoll {
                throw ClientError(
                    .pollRunning, "a poll is running in this campaign",
                    details: [ClientError.Detail(field: "poll", message: runningPoll.description)])
            }
            guard finished(poll) == nil else { throw ClientError(.conflict, "this poll id is taken") }
            let definition = PollDefinition(
                id: poll, question: draft.question, options: draft.options, type: draft.type,
                durationSeconds: draft.durationSeconds, startedAt: now)
            return [.pollStarted(definition, voterKey: voterKey)]
        case .cancel(let poll):
            guard poll == runningPoll else {
                throw finished(poll) == nil
                    ? ClientError(.notFound, "there is no such poll") : ClientError(.pollClosed, "the poll is over")
            }
            return [cancellation(of: poll, at: now)]
        case .update(let name, let description):
            return try decideUpdate(name: name ?? self.name, description: description ?? self.description, at: now)
        case .delete:
            let end = runningPoll.map { [cancellation(of: $0, at: now)] } ?? []
            return end + [.deleted(at: now)]
        }
    }

    private func decideUpdate(
        name: String, description: String?, at now: Timestamp
    ) throws(ClientError) -> [CampaignEvent] {
        try FieldFaults.check { faults in
            faults.checkName(name)
            faults.checkDescription(description)
        }
        guard name != self.name || description != self.description else { return [] }
        return [.updated(name: name, description: description, at: now)]
    }

    private func cancellation(of poll: PollID, at now: Timestamp) -> CampaignEvent {
        .pollEnded(poll: poll, status: .cancelled, endedAt: max(now, running?.definition.startedAt ?? now))
    }

    /// A poll of the history, searched from the newest.
    func finished(_ poll: PollID) -> FinishedPoll? {
        history.lastIndex { $0.definition.id == poll }.map { history[$0] }
    }

    static var unknownCampaign: ClientError { ClientError(.notFound, "there is no such campaign") }
}
