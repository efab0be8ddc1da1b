// Answers on their way back to the client that asked.

import Platform
import Protocol
import Web

extension Edge {
    /// Counts an answer to an HTTP request, and logs it for those who look for one.
    func noteAnswer(of exchange: Exchange, status: Int) {
        let route = exchange.route?.label ?? "none"
        context.metrics.countHTTP(route, status: status)
        context.log.debug(
            "http.answered",
            [
                ("request_id", .string(exchange.requestID)), ("method", .string("\(exchange.method)".uppercased())),
                ("route", .string("\(route)")), ("status", .integer(status)),
            ])
    }

    /// Votes that one commit settled.
    func votesSettled(_ replies: [VoteReply], _ position: Position) {
        for index in replies.indices {
            let reply = replies[index]
            guard let connection = connection(reply.ticket) else { continue }
            connection.outstanding -= 1
            switch connection.phase {
            case .webSocket: sendAck(connection, reply.ticket.request, reply.status, position)
            case .http:
                noteVote(connection, Int(reply.ticket.item), .success((status: reply.status, position: position)))
            case .eventStream, .closing: break
            }
            if connection.isReadingPaused { resumeReading(connection) }
        }
    }

    func replyArrived(_ ticket: ReplyTicket, _ reply: Reply) {
        guard let connection = connection(ticket) else { return }
        connection.outstanding -= 1
        var reply = reply
        if ticket.isRepeated, case .failure(let error) = reply { reply = .failure(error.afterRepetition) }
        switch connection.phase {
        case .webSocket: replyToWebSocket(connection, ticket.request, reply)
        case .http: replyToHTTP(connection, Int(ticket.item), reply)
        case .eventStream, .closing: break
        }
        if connection.isReadingPaused { resumeReading(connection) }
    }

    private func replyToHTTP(_ connection: Connection, _ item: Int, _ reply: Reply) {
        guard let exchange = connection.exchange else { return }
        switch reply {
        case .signal(let position):
            respond(
                connection, status: 202, json: ReplyDocuments.dataEnvelope(ReplyDocuments.position(position)))
        case .document(let status, let json):
            let body =
                status < 400
                ? ReplyDocuments.dataEnvelope(json) : ReplyDocuments.errorEnvelope(json, requestID: exchange.requestID)
            respond(connection, status: status, json: status == 204 ? [] : body)
        case .failure(let error):
            if exchange.votes != nil {
                noteVote(connection, item, .failure(error))
            } else {
                fail(connection, error)
            }
        }
    }

    private func replyToWebSocket(_ connection: Connection, _ id: RequestID?, _ reply: Reply) {
        switch reply {
        case .signal(let position): sendAck(connection, id, nil, position)
        case .failure(let error): sendMessage(connection, .error(id: id, campaign: nil, error))
        case .document: break  // no WebSocket message asks for one
        }
    }
}
