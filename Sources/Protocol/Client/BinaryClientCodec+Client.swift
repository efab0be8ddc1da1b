// The client's side of `tumulte.v1.binary`, for clients, tests and load tools written in Swift.

extension BinaryClientCodec {
    /// Appends one message of a client. The `data` of a signal must be valid JSON text.
    public static func encode(_ message: ClientMessage, into output: inout [UInt8]) {
        switch message {
        case .hello(let id, let token, let voter, let subscriptions):
            var flags: Flags = token == nil ? [] : .first
            if voter != nil { flags.insert(.second) }
            if !subscriptions.isEmpty { flags.insert(.third) }
            open(.hello, id, flags, &output)
            if let token { BinaryWriter.string(token, to: &output) }
            if let voter { BinaryWriter.string(voter, to: &output) }
            guard !subscriptions.isEmpty else { return }
            BinaryWriter.count(subscriptions.count, to: &output)
            for request in subscriptions {
                output.append(request.after == nil ? 0 : 1)
                append(request, to: &output)
            }
        case .subscribe(let id, let request):
            open(.subscribe, id, request.after == nil ? [] : .first, &output)
            append(request, to: &output)
        case .unsubscribe(let id, let campaign):
            open(.unsubscribe, id, [], &output)
            BinaryWriter.uuid(campaign.uuid, to: &output)
        case .vote(let id, let vote):
            append(vote, id, to: &output)
        case .signal(let id, let campaign, let name, let data):
            open(.signal, id, [], &output)
            BinaryWriter.uuid(campaign.uuid, to: &output)
            BinaryWriter.string(name, to: &output)
            BinaryWriter.bytes(data, to: &output)
        case .ping(let id):
            open(.ping, id, [], &output)
        }
    }

    private static func append(_ vote: VoteMessage, _ id: RequestID?, to output: inout [UInt8]) {
        var flags: Flags = vote.voter == nil ? [] : .first
        if vote.channel != nil { flags.insert(.second) }
        if vote.key != nil { flags.insert(.third) }
        open(.vote, id, flags, &output)
        BinaryWriter.uuid(vote.campaign.uuid, to: &output)
        BinaryWriter.uuid(vote.poll.uuid, to: &output)
        BinaryWriter.signed(Int64(vote.option), to: &output)
        if let voter = vote.voter { BinaryWriter.string(voter, to: &output) }
        if let channel = vote.channel { BinaryWriter.string(channel, to: &output) }
        if let key = vote.key { BinaryWriter.string(key, to: &output) }
    }

    private static func append(_ request: SubscriptionRequest, to output: inout [UInt8]) {
        BinaryWriter.uuid(request.campaign.uuid, to: &output)
        if let after = request.after { BinaryWriter.position(after, to: &output) }
    }
}
