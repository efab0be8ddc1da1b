// Commands on their way to the owner.

import Protocol

extension RoadCodec {
    /// The form of a request's body.
    static func form(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> Form {
        guard let form = Form(rawValue: try cursor.byte(bytes)) else { throw .unknownKind }
        return form
    }

    /// What the commands before have named, and need not be named again.
    private struct Named {
        var poll: PollID?
        var request: String?
    }

    /// What a command's kind has beside the kind itself. Neither bit stands where a command came by WebSocket.
    private enum KindBits {
        /// The command came in the HTTP request that was named last.
        static let sameRequest: UInt8 = 0x40
        /// The command came in an HTTP request, whose id follows the age.
        static let request: UInt8 = 0x80
        static let all = sameRequest | request
    }

    // MARK: - Writing

    /// Writes as many of the commands as one request takes, from `start` on.
    ///
    /// - Precondition: none of them is a `subscribe` or a `leave`: those have frames of their own.
    /// - Returns: the index of the first one that did not go in.
    static func append(
        _ commands: [Command], from start: Int, at now: Timestamp, to output: inout [UInt8]
    ) -> Int {
        let campaign = commands[start].campaign
        var body: [UInt8] = []
        var count = 0
        var last = Named()
        while start + count < commands.count, count < commandsLimit, body.count < requestBytesTarget {
            append(commands[start + count], after: &last, at: now, to: &body)
            count += 1
        }
        output.append(Form.commands.rawValue)
        BinaryWriter.uuid(campaign.uuid, to: &output)
        BinaryWriter.count(count, to: &output)
        output.append(contentsOf: body)
        return start + count
    }

    private static func append(
        _ command: Command, after last: inout Named, at now: Timestamp, to output: inout [UInt8]
    ) {
        let age = age(of: command.receivedAt, at: now)
        let request = command.ticket.httpRequest
        func open(_ kind: Kind) {
            guard let request else {
                output.append(kind.rawValue)
                return BinaryWriter.unsigned(age, to: &output)
            }
            let isSame = request == last.request
            output.append(kind.rawValue | (isSame ? KindBits.sameRequest : KindBits.request))
            BinaryWriter.unsigned(age, to: &output)
            if !isSame { BinaryWriter.string(request, to: &output) }
        }
        defer { if let request { last.request = request } }
        switch command.body {
        case .vote(let vote):
            open(vote.poll == last.poll ? .voteInSamePoll : .vote)
            if vote.poll != last.poll { BinaryWriter.uuid(vote.poll.uuid, to: &output) }
            last.poll = vote.poll
            BinaryWriter.signed(Int64(vote.option), to: &output)
            append(vote.voter, to: &output)
            append(vote.channel, to: &output)
            append(vote.key, to: &output)
        case .verify: open(.verify)
        case .manage(let management, let mark):
            open(kind(of: management))
            append(management, to: &output)
            append(mark, to: &output)
        case .subscribe, .leave: preconditionFailure("subscriptions have frames of their own")
        }
    }

    private static func kind(of management: ManagementCommand) -> Kind {
        switch management {
        case .create: preconditionFailure("a creation has a form of its own")
        case .update: .update
        case .delete: .delete
        case .launch: .launch
        case .cancel: .cancel
        case .signal: .signal
        case .readCampaign: .readCampaign
        case .readPolls: .readPolls
        case .readPoll: .readPoll
        }
    }

    private static func append(_ management: ManagementCommand, to output: inout [UInt8]) {
        switch management {
        case .create, .readCampaign: break
        case .update(let principal, let patch):
            append(principal, to: &output)
            append(patch.name, to: &output)
            switch patch.description {
            case .keep: output.append(0)
            case .clear: output.append(1)
            case .set(let text):
                output.append(2)
                BinaryWriter.string(text, to: &output)
            }
        case .delete(let principal): append(principal, to: &output)
        case .launch(let principal, let draft):
            append(principal, to: &output)
            BinaryWriter.string(draft.question, to: &output)
            BinaryWriter.count(draft.options.count, to: &output)
            for option in draft.options { BinaryWriter.string(option, to: &output) }
            BinaryWriter.unsigned(UInt64(draft.durationSeconds), to: &output)
            output.append(draft.type.rawValue)
        case .cancel(let principal, let poll):
            append(principal, to: &output)
            BinaryWriter.uuid(poll.uuid, to: &output)
        case .signal(let principal, let name, let data):
            append(principal, to: &output)
            BinaryWriter.string(name, to: &output)
            BinaryWriter.bytes(data, to: &output)
        case .readPolls(let limit): BinaryWriter.unsigned(UInt64(limit), to: &output)
        case .readPoll(let poll): BinaryWriter.uuid(poll.uuid, to: &output)
        }
    }

    /// Writes a creation.
    static func append(_ creation: CreationCommand, at now: Timestamp, to output: inout [UInt8]) {
        output.append(Form.creation.rawValue)
        BinaryWriter.unsigned(UInt64(creation.slot.index), to: &output)
        BinaryWriter.unsigned(age(of: creation.receivedAt, at: now), to: &output)
        append(creation.principal, to: &output)
        BinaryWriter.string(creation.draft.name, to: &output)
        append(creation.draft.description, to: &output)
        append(creation.mark, to: &output)
        append(creation.ticket.httpRequest, to: &output)
    }

    // MARK: - Reading

    /// Reads the commands behind their form.
    static func commands(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>, at now: Timestamp
    ) throws(BinaryError) -> (campaign: CampaignID, commands: [Received], traces: [RequestTrace]) {
        let campaign = CampaignID(try cursor.uuid(bytes, "campaign"))
        let count = try cursor.count(bytes, limit: commandsLimit, "commands")
        guard count > 0 else { throw .field("commands", "must not be empty") }
        var commands: [Received] = []
        commands.reserveCapacity(count)
        var traces: [RequestTrace] = []
        var poll: PollID?
        for place in 0..<count {
            let byte = try cursor.byte(bytes)
            guard let kind = Kind(rawValue: byte & ~KindBits.all) else { throw .unknownKind }
            let receivedAt = try time(ofAge: &cursor, bytes, at: now)
            if byte & KindBits.all != 0 { try trace(place, byte & KindBits.all, in: &traces, &cursor, bytes) }
            commands.append(Received(receivedAt: receivedAt, body: try body(kind, &poll, &cursor, bytes)))
        }
        return (campaign, commands, traces)
    }

    /// Notes the HTTP request that the command at `place` came in.
    private static func trace(
        _ place: Int, _ bits: UInt8, in traces: inout [RequestTrace], _ cursor: inout BinaryCursor,
        _ bytes: Span<UInt8>
    ) throws(BinaryError) {
        guard bits == KindBits.sameRequest else {
            guard bits == KindBits.request else { throw .badFlags }
            let id = try httpRequest(&cursor, bytes)
            return traces.append(RequestTrace(id: id, commands: place..<(place + 1)))
        }
        guard let last = traces.last else { throw .badFlags }
        if last.commands.upperBound == place {
            traces[traces.count - 1].commands = last.commands.lowerBound..<(place + 1)
        } else {
            traces.append(RequestTrace(id: last.id, commands: place..<(place + 1)))
        }
    }

    private static func httpRequest(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> String {
        let id = try cursor.string(bytes, "request", HTTPRequestID.bytes)
        guard HTTPRequestID.isFit(id) else { throw .field("request", "must be one word of visible ASCII") }
        return id
    }

    private static func body(
        _ kind: Kind, _ poll: inout PollID?, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> CommandBody {
        switch kind {
        case .vote:
            let named = PollID(try cursor.uuid(bytes, "poll"))
            poll = named
            return .vote(try vote(in: named, &cursor, bytes))
        case .voteInSamePoll:
            guard let poll else { throw .badFlags }
            return .vote(try vote(in: poll, &cursor, bytes))
        case .verify: return .verify
        case .update, .delete, .launch, .cancel, .signal, .readCampaign, .readPolls, .readPoll:
            let management = try management(kind, &cursor, bytes)
            return .manage(management, try mark(&cursor, bytes))
        }
    }

    private static func vote(
        in poll: PollID, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> VoteCommand {
        VoteCommand(
            poll: poll, option: Int(try cursor.signed(bytes)),
            voter: try optionalText(&cursor, bytes, "voter", Limits.voterBytesLimit),
            channel: try optionalText(&cursor, bytes, "channel", Limits.channelBytesLimit),
            key: try optionalText(&cursor, bytes, "key", keyBytesLimit))
    }

    /// A vote's key with the place in its batch.
    private static let keyBytesLimit = Limits.keyBytesLimit + 8

    private static func management(
        _ kind: Kind, _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> ManagementCommand {
        switch kind {
        case .readCampaign: return .readCampaign
        case .readPolls: return .readPolls(limit: Int(try bounded(&cursor, bytes, "limit", 1...1000)))
        case .readPoll: return .readPoll(PollID(try cursor.uuid(bytes, "poll")))
        case .update:
            let principal = try principal(&cursor, bytes)
            let name = try optionalText(&cursor, bytes, "name", nameBytesLimit)
            return .update(principal, CampaignPatch(name: name, description: try change(&cursor, bytes)))
        case .delete: return .delete(try principal(&cursor, bytes))
        case .launch: return .launch(try principal(&cursor, bytes), try draft(&cursor, bytes))
        case .cancel: return .cancel(try principal(&cursor, bytes), PollID(try cursor.uuid(bytes, "poll")))
        case .signal:
            let principal = try principal(&cursor, bytes)
            let name = try cursor.string(bytes, "name", 1...Limits.signalNameBytesLimit)
            let data = bytes.extracting(try cursor.blob(bytes))
            guard data.count <= Limits.signalDataBytesLimit else { throw .signalTooLarge }
            return .signal(principal, name: name, data: Array(copying: data))
        case .vote, .voteInSamePoll, .verify: throw .unknownKind
        }
    }

    /// Four bytes a character at most.
    private static let nameBytesLimit = 4 * Limits.campaignNameCharacters.upperBound
    private static let descriptionBytesLimit = 4 * Limits.campaignDescriptionCharactersLimit

    private static func change(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>
    ) throws(BinaryError) -> CampaignPatch.DescriptionChange {
        switch try cursor.byte(bytes) {
        case 0: return .keep
        case 1: return .clear
        case 2: return .set(try cursor.string(bytes, "description", 0...descriptionBytesLimit))
        default: throw .badFlags
        }
    }

    private static func draft(_ cursor: inout BinaryCursor, _ bytes: Span<UInt8>) throws(BinaryError) -> PollDraft {
        let question = try cursor.string(bytes, "question", 0...4 * Limits.pollQuestionCharacters.upperBound)
        var options: [String] = []
        for _ in 0..<(try cursor.count(bytes, limit: Limits.pollOptions.upperBound, "options")) {
            options.append(try cursor.string(bytes, "option", 0...4 * Limits.pollOptionCharacters.upperBound))
        }
        let seconds = try bounded(&cursor, bytes, "durationSeconds", 0...UInt64(UInt16.max))
        guard let type = PollType(rawValue: try cursor.byte(bytes)) else {
            throw .field("type", "has an unknown value")
        }
        return PollDraft(question: question, options: options, durationSeconds: Int(seconds), type: type)
    }

    static func bounded(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>, _ name: StaticString, _ bounds: ClosedRange<UInt64>
    ) throws(BinaryError) -> UInt64 {
        let value = try cursor.unsigned(bytes)
        guard bounds.contains(value) else { throw .field(name.description, "is out of bounds") }
        return value
    }

    /// Reads the creation behind its form.
    static func creation(
        _ cursor: inout BinaryCursor, _ bytes: Span<UInt8>, at now: Timestamp, ticket: ReplyTicket
    ) throws(BinaryError) -> CreationCommand {
        let slot = try bounded(&cursor, bytes, "slot", 0...UInt64(Slot.count - 1))
        let receivedAt = try time(ofAge: &cursor, bytes, at: now)
        let principal = try principal(&cursor, bytes)
        let name = try cursor.string(bytes, "name", 0...nameBytesLimit)
        let description = try optionalText(&cursor, bytes, "description", descriptionBytesLimit)
        let mark = try mark(&cursor, bytes)
        let request = try flag(&cursor, bytes) ? try httpRequest(&cursor, bytes) : nil
        return CreationCommand(
            slot: Slot(UInt16(slot)), principal: principal, draft: CampaignDraft(name: name, description: description),
            mark: mark, ticket: ticket.with(httpRequest: request), receivedAt: receivedAt)
    }
}
