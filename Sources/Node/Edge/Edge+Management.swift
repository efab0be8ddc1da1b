// The routes that become commands: who asks, what exactly, and where the answer is awaited.

import Cluster
import Domain
import Platform
import Protocol
import Web

extension Edge {
    /// Who sends this request; in open mode everybody is the service.
    func principal(of request: HTTPRequest, allowsQuery: Bool = false) throws(ClientError) -> Principal {
        guard let tokens = context.tokens else { return .openMode }
        var token = request.header("authorization").flatMap(Self.bearer)
        if token == nil, allowsQuery { token = HTTPQuery(request.query)?["token"] }
        guard let token else { throw ClientError(.unauthorized, "a token is needed: Authorization: Bearer …") }
        return try tokens.verify(token, at: context.clock.now())
    }

    static func bearer(_ header: String) -> String? {
        let parts = header.split(separator: " ", omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1])
    }

    func serveManagement(
        _ connection: Connection, _ request: HTTPRequest, _ route: Route
    ) throws(ClientError) {
        let principal = try principal(of: request)
        let mark = try idempotency(request, principal)
        switch route {
        case .createCampaign:
            try principal.requireCreation()
            let body = request.body
            let draft = try CampaignDraft(body: body.span)
            create(connection, principal, draft, mark)
        case .readCampaign(let campaign): manage(connection, campaign, .readCampaign, nil)
        case .updateCampaign(let campaign):
            let body = request.body
            let patch = try CampaignPatch(body: body.span)
            manage(connection, campaign, .update(principal, patch), nil)
        case .deleteCampaign(let campaign): manage(connection, campaign, .delete(principal), nil)
        case .launchPoll(let campaign):
            let body = request.body
            let draft = try PollDraft(body: body.span)
            launch(connection, campaign, principal, draft, mark)
        case .readPolls(let campaign):
            manage(connection, campaign, .readPolls(limit: try historyLimit(request)), nil)
        case .readPoll(let campaign, let poll): manage(connection, campaign, .readPoll(poll), nil)
        case .cancelPoll(let campaign, let poll):
            manage(connection, campaign, .cancel(principal, poll), mark)
        case .signal(let campaign):
            let body = request.body
            let draft = try SignalDraft(body: body.span)
            manage(connection, campaign, .signal(principal, name: draft.name, data: draft.data), mark)
        case .page, .health, .metrics, .webSocket, .vote, .events, .verify, .admin:
            preconditionFailure("not a management route: \(route)")
        }
    }

    private func manage(
        _ connection: Connection, _ campaign: CampaignID, _ command: ManagementCommand, _ mark: IdempotencyMark?
    ) {
        send(connection, campaign, .manage(command, mark))
    }

    /// Launches of a host are limited, those of a service never; a voter's is refused by the owner.
    private func launch(
        _ connection: Connection, _ campaign: CampaignID, _ principal: Principal, _ draft: PollDraft,
        _ mark: IdempotencyMark?
    ) {
        let launch = ManagementCommand.launch(principal, draft)
        guard principal.role == .host else { return manage(connection, campaign, launch, mark) }
        let ticket = ticket(connection)
        connection.outstanding += 1
        context.launchLimiter.admit(principal.subject, at: context.clock.monotonic().nanoseconds) { [inbox] refusal in
            inbox.postUnbounded(
                refusal.map { .reply(ticket, .failure($0)) } ?? .admitted(campaign, ticket, .manage(launch, mark)))
        }
    }

    /// A new campaign is created by the owner of its slot; a keyed creation by the owner of the key's slot, which
    /// draws an id of that slot, so that key and campaign are committed together.
    private func create(
        _ connection: Connection, _ principal: Principal, _ draft: CampaignDraft, _ mark: IdempotencyMark?
    ) {
        let slot: Slot
        if let mark {
            slot = Slot(ofHash: mark.key.high)
        } else {
            slot = Slot(UInt16(truncatingIfNeeded: context.random.next()) % UInt16(Slot.count))
        }
        let creation = CreationCommand(
            slot: slot, principal: principal, draft: draft, mark: mark, ticket: ticket(connection),
            receivedAt: receivedAt)
        connection.outstanding += 1
        route(.create(creation))
    }

    /// Hands a command to the owner of its campaign at the end of this turn.
    func send(_ connection: Connection, _ campaign: CampaignID, _ body: CommandBody, request: RequestID? = nil) {
        enqueue(Command(campaign: campaign, ticket: ticket(connection, request), receivedAt: receivedAt, body: body))
        connection.outstanding += 1
        if connection.outstanding >= EdgeBuffers.outstandingLimit { pauseReading(connection) }
    }

    /// Commands in a row for one campaign travel as one message.
    func enqueue(_ command: Command) {
        if let first = run.first, first.campaign != command.campaign { closeRun() }
        run.append(command)
    }

    func closeRun() {
        guard let first = run.first else { return }
        let commands = run
        run = []
        route(.commands(first.campaign, commands))
    }

    func slot(of campaign: CampaignID) -> Slot {
        if let lastSlot, lastSlot.campaign == campaign { return lastSlot.slot }
        let slot = Slot(of: campaign)
        lastSlot = (campaign, slot)
        return slot
    }

    // MARK: - Parts of a request

    private func historyLimit(_ request: HTTPRequest) throws(ClientError) -> Int {
        guard let text = HTTPQuery(request.query)?["limit"] else { return 20 }
        guard let limit = Int(text), (1...100).contains(limit) else {
            throw ClientError(
                .badRequest, "limit is a number from 1 to 100",
                details: [.init(field: "limit", message: "a number from 1 to 100")])
        }
        return limit
    }

    func idempotencyKey(_ request: HTTPRequest) throws(ClientError) -> String? {
        guard let key = request.header("idempotency-key") else { return nil }
        guard (1...Limits.keyBytesLimit).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else {
            throw ClientError(
                .badRequest, "Idempotency-Key is 1 to 64 visible ASCII characters",
                details: [.init(field: "Idempotency-Key", message: "1 to 64 visible ASCII characters")])
        }
        return key
    }

    private func idempotency(
        _ request: HTTPRequest, _ principal: Principal
    ) throws(ClientError) -> IdempotencyMark? {
        guard request.method == .post, let key = try idempotencyKey(request) else { return nil }
        return IdempotencyMark(
            key: IdempotencyHash.key(principal: principal, path: request.path, key: key),
            body: IdempotencyHash.body(request.body))
    }
}

extension Substring {
    /// Without spaces and tabs at both ends.
    func trimmingBlanks() -> String {
        var rest = self
        while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        return String(rest)
    }
}
