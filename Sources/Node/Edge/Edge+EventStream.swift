// Server-Sent Events: one campaign, one direction, resumed by `Last-Event-ID`.

import Platform
import Protocol
import Web

extension Edge {
    func openEventStream(
        _ connection: Connection, _ request: HTTPRequest, _ campaign: CampaignID
    ) throws(ClientError) {
        let principal = try principal(of: request, allowsQuery: true)
        // A mark that means nothing here is one that cannot be resumed: the stream begins with a snapshot.
        let mark = request.header("last-event-id").flatMap(ServerSentEvents.parseLastEventID)
        let after = mark.map { Position(epoch: $0.epoch, seq: $0.seq) }
        connection.principal = principal
        // Whatever becomes of it, nothing follows on this connection.
        connection.exchange?.keepAlive = false
        connection.phase = .eventStream
        connection.expiresAt = principal.expiresAt
        setDeadline(connection, .heartbeat, after: EdgeTimeouts.eventStreamPingSeconds)
        follow(connection, campaign, variant: .sse)
        send(connection, campaign, .subscribe(after: after))
    }

    /// The owner answered: head, then the snapshot unless the stream is resumed.
    func beginEventStream(_ connection: Connection, _ joined: Joined) {
        guard let exchange = connection.exchange else { return }
        connection.exchange = nil
        noteAnswer(of: exchange, status: 200)
        let node = context.nodeName
        let date = date
        append(connection) { output in
            ResponseHeaders.appendHead(
                status: 200, contentType: ServerSentEvents.mediaType, bodyBytes: nil, exchange: exchange, node: node,
                policy: ResponseHeaders.apiPolicy, headers: [("X-Accel-Buffering", "no")], closes: true, date: date,
                to: &output)
        }
        if !joined.subscribed.recovered { appendSnapshot(connection, joined.subscribed) }
    }

    func appendSnapshot(_ connection: Connection, _ subscribed: Subscribed) {
        var data: [UInt8] = []
        JSONViews.snapshotData(subscribed, to: &data)
        let position = subscribed.position
        append(connection) { output in
            ServerSentEvents.append(
                event: "snapshot", position: (position.epoch, position.seq), data: data, into: &output)
        }
    }

    /// The campaign cannot be followed: an ordinary answer, since no head was sent yet.
    func failEventStream(_ connection: Connection, _ error: ClientError) {
        connection.phase = .http
        fail(connection, error)
    }

    func pingEventStream(_ connection: Connection) {
        if let expiresAt = connection.expiresAt, context.clock.now() > expiresAt {
            let error = ClientError(.unauthorized, "the token expired")
            append(connection) { output in
                ServerSentEvents.append(
                    event: "error", position: nil, data: ReplyDocuments.failure(error), into: &output)
            }
            unsubscribeAll(connection)
            return closeAfterWriting(connection)
        }
        append(connection) { ServerSentEvents.appendPing(into: &$0) }
        setDeadline(connection, .heartbeat, after: EdgeTimeouts.eventStreamPingSeconds)
    }
}
