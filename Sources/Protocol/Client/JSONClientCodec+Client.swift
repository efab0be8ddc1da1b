// The client's side of `tumulte.v1.json`, for clients, tests and load tools written in Swift: what a client writes.

extension JSONClientCodec {
    /// Appends one message of a client. The `data` of a signal must be valid JSON text.
    public static func encode(_ message: ClientMessage, into output: inout [UInt8]) {
        switch message {
        case .hello(let id, let token, let voter, let subscriptions):
            open("hello", id, &output)
            field("token", token, to: &output)
            field("voter", voter, to: &output)
            if !subscriptions.isEmpty {
                JSONWriter.raw(",\"subscriptions\":", to: &output)
                JSONWriter.array(subscriptions, to: &output) { request, output in
                    output.append(UInt8(ascii: "{"))
                    append(request, to: &output)
                    output.append(UInt8(ascii: "}"))
                }
            }
        case .subscribe(let id, let request):
            open("subscribe", id, &output)
            output.append(UInt8(ascii: ","))
            append(request, to: &output)
        case .unsubscribe(let id, let campaign):
            open("unsubscribe", id, &output)
            JSONWriter.raw(",\"campaign\":", to: &output)
            JSONWriter.uuid(campaign.uuid, to: &output)
        case .vote(let id, let vote):
            open("vote", id, &output)
            JSONWriter.raw(",\"campaign\":", to: &output)
            JSONWriter.uuid(vote.campaign.uuid, to: &output)
            JSONWriter.raw(",\"poll\":", to: &output)
            JSONWriter.uuid(vote.poll.uuid, to: &output)
            JSONWriter.raw(",\"option\":", to: &output)
            JSONWriter.integer(vote.option, to: &output)
            field("voter", vote.voter, to: &output)
            field("channel", vote.channel, to: &output)
            field("key", vote.key, to: &output)
        case .signal(let id, let campaign, let name, let data):
            open("signal", id, &output)
            JSONWriter.raw(",\"campaign\":", to: &output)
            JSONWriter.uuid(campaign.uuid, to: &output)
            field("name", name, to: &output)
            JSONWriter.raw(",\"data\":", to: &output)
            output.append(contentsOf: data)
        case .ping(let id):
            open("ping", id, &output)
        }
        output.append(UInt8(ascii: "}"))
    }

    private static func append(_ request: SubscriptionRequest, to output: inout [UInt8]) {
        JSONWriter.raw("\"campaign\":", to: &output)
        JSONWriter.uuid(request.campaign.uuid, to: &output)
        guard let after = request.after else { return }
        JSONWriter.raw(",\"after\":{", to: &output)
        JSONViews.positionFields(after, to: &output)
        output.append(UInt8(ascii: "}"))
    }

    /// Writes a comma, the name and the text; nothing where there is no text.
    private static func field(_ name: StaticString, _ text: String?, to output: inout [UInt8]) {
        guard let text else { return }
        JSONWriter.raw(",\"", to: &output)
        JSONWriter.raw(name, to: &output)
        JSONWriter.raw("\":", to: &output)
        JSONWriter.string(text, to: &output)
    }
}
