// What the server writes in `tumulte.v1.json`, fields in the order of the protocol's description.

extension JSONClientCodec {
    /// Appends one message of the server.
    public static func encode(_ message: ServerMessage, into output: inout [UInt8]) {
        switch message {
        case .hello(let id, let reply):
            open("hello", id, &output)
            append(reply, to: &output)
        case .subscribed(let id, let subscribed):
            open("subscribed", id, &output)
            output.append(UInt8(ascii: ","))
            JSONViews.subscribedFields(subscribed, to: &output)
        case .unsubscribed(let id, let campaign):
            open("unsubscribed", id, &output)
            JSONWriter.raw(",\"campaign\":", to: &output)
            JSONWriter.uuid(campaign.uuid, to: &output)
        case .ack(let id, let status, let position):
            encodeAck(id: id, status: status, position: position, into: &output)
            return
        case .pong(let id):
            open("pong", id, &output)
        case .error(let id, let campaign, let error):
            open("error", id, &output)
            if let campaign {
                JSONWriter.raw(",\"campaign\":", to: &output)
                JSONWriter.uuid(campaign.uuid, to: &output)
            }
            append(error, to: &output)
        case .event(let event):
            append(event, to: &output)
            return
        }
        output.append(UInt8(ascii: "}"))
    }

    /// Appends the `ack` of a vote, or of a signal where there is no status.
    public static func encodeAck(
        id: RequestID?, status: VoteStatus?, position: Position, into output: inout [UInt8]
    ) {
        open("ack", id, &output)
        if let status {
            JSONWriter.raw(",\"status\":\"", to: &output)
            JSONWriter.raw(status.name, to: &output)
            output.append(UInt8(ascii: "\""))
        }
        output.append(UInt8(ascii: ","))
        JSONViews.positionFields(position, to: &output)
        output.append(UInt8(ascii: "}"))
    }

    /// Writes `{"op":"…"` and the id where there is one.
    static func open(_ op: StaticString, _ id: RequestID?, _ output: inout [UInt8]) {
        JSONWriter.raw("{\"op\":\"", to: &output)
        JSONWriter.raw(op, to: &output)
        output.append(UInt8(ascii: "\""))
        switch id {
        case .integer(let number):
            JSONWriter.raw(",\"id\":", to: &output)
            JSONWriter.integer(number, to: &output)
        case .string(let text):
            JSONWriter.raw(",\"id\":", to: &output)
            JSONWriter.string(text, to: &output)
        case nil: break
        }
    }

    private static func append(_ reply: HelloReply, to output: inout [UInt8]) {
        JSONWriter.raw(",\"node\":", to: &output)
        JSONWriter.string(reply.node, to: &output)
        JSONWriter.raw(",\"voter\":", to: &output)
        JSONWriter.string(reply.voter, to: &output)
        JSONWriter.raw(",\"role\":\"", to: &output)
        JSONWriter.raw(reply.role.name, to: &output)
        JSONWriter.raw("\",\"time\":", to: &output)
        JSONWriter.timestamp(reply.time, to: &output)
        JSONWriter.raw(",\"pingMs\":", to: &output)
        JSONWriter.integer(reply.pingMilliseconds, to: &output)
        JSONWriter.raw(",\"maxMessageBytes\":", to: &output)
        JSONWriter.integer(reply.maxMessageBytes, to: &output)
        JSONWriter.raw(",\"jitterMs\":", to: &output)
        JSONWriter.integer(reply.jitterMilliseconds, to: &output)
    }

    private static func append(_ error: ClientError, to output: inout [UInt8]) {
        output.append(UInt8(ascii: ","))
        JSONViews.errorFields(error, to: &output)
        if let pause = error.retryAfterMilliseconds {
            JSONWriter.raw(",\"retryAfterMs\":", to: &output)
            JSONWriter.integer(pause, to: &output)
        }
        JSONViews.errorDetails(error, to: &output)
    }

    private static func append(_ event: ServerEvent, to output: inout [UInt8]) {
        JSONWriter.raw("{\"op\":\"event\",\"campaign\":", to: &output)
        JSONWriter.uuid(event.campaign.uuid, to: &output)
        output.append(UInt8(ascii: ","))
        JSONViews.positionFields(event.position, to: &output)
        JSONWriter.raw(",\"at\":", to: &output)
        JSONWriter.timestamp(event.at, to: &output)
        JSONWriter.raw(",\"event\":\"", to: &output)
        JSONWriter.raw(event.body.name, to: &output)
        JSONWriter.raw("\",\"data\":", to: &output)
        JSONViews.eventData(event.body, to: &output)
        output.append(UInt8(ascii: "}"))
    }
}
