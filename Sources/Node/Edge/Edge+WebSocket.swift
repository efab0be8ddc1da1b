// WebSocket connections: the upgrade, frames in, messages to commands.

import Platform
import Protocol
import Web

extension Edge {
    // MARK: - Upgrade

    func upgrade(_ connection: Connection, _ request: HTTPRequest) throws(ClientError) {
        let accepted: WebSocketAcceptance
        do {
            accepted = try WebSocketHandshake.accept(
                request, subprotocols: [JSONClientCodec.subprotocol, BinaryClientCodec.subprotocol],
                allowsCompression: true)
        } catch {
            return respond(
                connection, status: error.status,
                json: ReplyDocuments.errorEnvelope(
                    ClientError(.badRequest, error.message), requestID: connection.exchange?.requestID ?? ""),
                headers: ResponseHeaders.known(error.headers))
        }
        var principal: Principal?
        if context.tokens == nil {
            principal = .openMode
        } else if request.header("authorization") != nil || HTTPQuery(request.query)?["token"] != nil {
            principal = try self.principal(of: request, allowsQuery: true)
        }
        if let exchange = connection.exchange { noteAnswer(of: exchange, status: 101) }
        context.metrics.webSockets.add(1)
        append(connection) { accepted.append(into: &$0) }
        connection.exchange = nil
        connection.phase = .webSocket
        let state = WebSocketState(
            parser: WebSocketFrameParser(
                messageBytesLimit: Limits.webSocketMessageBytesLimit, allowsCompression: accepted.compresses),
            isBinary: accepted.subprotocol == BinaryClientCodec.subprotocol, deflates: accepted.compresses,
            now: seconds)
        connection.webSocket = state
        if let principal {
            identified(connection, state, principal)
        } else {
            setDeadline(connection, .hello, after: EdgeTimeouts.helloSeconds)
        }
    }

    private func identified(_ connection: Connection, _ state: WebSocketState, _ principal: Principal) {
        connection.principal = principal
        state.limiter = MessageRateLimiter(for: principal, at: context.clock.monotonic().nanoseconds)
        connection.expiresAt = principal.expiresAt
        setDeadline(connection, .heartbeat, after: nextHeartbeat(connection, state))
    }

    // MARK: - Frames

    func receivedWebSocket(_ connection: Connection, _ bytes: UnsafeMutableRawBufferPointer) {
        guard let state = connection.webSocket else { return }
        var offset = 0
        while connection.phase == .webSocket {
            switch unsafe state.parser.next(in: bytes, at: &offset, inflater: inflater) {
            case .needMore: return
            case .text(let payload):
                unsafe payload.withBytes(in: bytes) { unsafe message(connection, state, $0, isText: true) }
            case .binary(let payload):
                unsafe payload.withBytes(in: bytes) { unsafe message(connection, state, $0, isText: false) }
            case .ping(let payload):
                unsafe payload.withBytes(in: bytes) { payload in
                    append(connection) { unsafe WebSocketFrame.append(.pong, payload, into: &$0) }
                }
            case .pong: break
            case .close(let code, _): peerCloses(connection, state, code)
            case .violation(let code, let reason): closeWebSocket(connection, code, reason)
            }
        }
    }

    private func message(
        _ connection: Connection, _ state: WebSocketState, _ payload: UnsafeRawBufferPointer, isText: Bool
    ) {
        guard isText != state.isBinary else {
            return closeWebSocket(connection, 4400, "this subprotocol has the other kind of frame")
        }
        let bytes = unsafe Span<UInt8>(_unsafeBytes: payload)
        do {
            let message =
                isText ? try JSONClientCodec.decode(bytes) : try BinaryClientCodec.decode(bytes)
            handle(connection, state, message)
        } catch {
            switch error {
            case .malformed(let reason): closeWebSocket(connection, 4400, reason)
            case .invalid(let id, let fault): sendMessage(connection, .error(id: id, campaign: nil, fault))
            }
        }
    }

    // MARK: - Messages

    private func handle(_ connection: Connection, _ state: WebSocketState, _ message: ClientMessage) {
        if case .hello(let id, let token, let voter, let subscriptions) = message {
            return hello(connection, state, id, token, voter, subscriptions)
        }
        guard let principal = connection.principal else {
            let error = ClientError(.unauthorized, "say hello with a token first")
            return sendMessage(connection, .error(id: message.id, campaign: nil, error))
        }
        guard admit(connection, state, message) else { return }
        switch message {
        case .vote(let id, let vote): cast(connection, state, principal, id, vote)
        case .subscribe(let id, let request): subscribe(connection, id, request)
        case .unsubscribe(let id, let campaign):
            unsubscribe(connection, campaign)
            sendMessage(connection, .unsubscribed(id: id, campaign: campaign))
        case .signal(let id, let campaign, let name, let data):
            send(connection, campaign, .manage(.signal(principal, name: name, data: data), nil), request: id)
        case .ping(let id): sendMessage(connection, .pong(id: id))
        case .hello: break
        }
    }

    private func hello(
        _ connection: Connection, _ state: WebSocketState, _ id: RequestID?, _ token: String?, _ voter: String?,
        _ subscriptions: [SubscriptionRequest]
    ) {
        do throws(ClientError) {
            if let token, let tokens = context.tokens {
                identified(connection, state, try tokens.verify(token, at: context.clock.now()))
            }
            guard let principal = connection.principal else {
                throw ClientError(.unauthorized, "a token is needed")
            }
            if let voter {
                guard principal.role == .service || voter == principal.subject else {
                    throw ClientError(.forbidden, "only a service may name another voter")
                }
                state.voter = voter
            }
            sendMessage(connection, .hello(id: id, helloReply(connection, state, principal)))
            for subscription in subscriptions { subscribe(connection, nil, subscription) }
        } catch {
            sendMessage(connection, .error(id: id, campaign: nil, error))
            if error.code == .unauthorized { closeWebSocket(connection, 4401, error.message) }
        }
    }

    private func helloReply(
        _ connection: Connection, _ state: WebSocketState, _ principal: Principal
    ) -> HelloReply {
        HelloReply(
            node: context.nodeName, voter: state.voter ?? principal.voterByDefault, role: principal.role,
            time: context.clock.now(), pingMilliseconds: Int(EdgeTimeouts.pingSeconds) * 1000,
            maxMessageBytes: Limits.webSocketMessageBytesLimit, jitterMilliseconds: 500)
    }

    /// Applies the connection's rate limit; a client that does not heed the refusals is closed.
    private func admit(_ connection: Connection, _ state: WebSocketState, _ message: ClientMessage) -> Bool {
        guard state.limiter != nil else { return true }
        guard let wait = state.limiter?.refusal(at: context.clock.monotonic().nanoseconds) else {
            state.rateRefusals = 0
            return true
        }
        state.rateRefusals += 1
        context.metrics.rateLimited.increment()
        guard state.rateRefusals <= 100 else {
            closeWebSocket(connection, 4429, "too many messages")
            return false
        }
        let error = ClientError(.rateLimited, "too many messages", retryAfterMilliseconds: wait)
        sendMessage(connection, .error(id: message.id, campaign: nil, error))
        return false
    }

    private func cast(
        _ connection: Connection, _ state: WebSocketState, _ principal: Principal, _ id: RequestID?,
        _ vote: VoteMessage
    ) {
        do throws(ClientError) {
            let identity = try principal.voteIdentity(
                voter: vote.voter, channel: vote.channel, defaultVoter: state.voter)
            let command = VoteCommand(
                poll: vote.poll, option: vote.option, voter: identity.voter, channel: identity.channel, key: vote.key)
            send(connection, vote.campaign, .vote(command), request: id)
        } catch {
            sendMessage(connection, .error(id: id, campaign: nil, error))
        }
    }

    // MARK: - Writing

    func sendAck(_ connection: Connection, _ id: RequestID?, _ status: VoteStatus?, _ position: Position) {
        guard let state = connection.webSocket else { return }
        append(connection) { output in
            // The two bytes of a short frame's head are put down first; an ack with a long id is framed anew.
            let start = output.count
            WebSocketFrame.appendHeader(state.isBinary ? .binary : .text, length: 0, into: &output)
            if state.isBinary {
                BinaryClientCodec.encodeAck(id: id, status: status, position: position, into: &output)
            } else {
                JSONClientCodec.encodeAck(id: id, status: status, position: position, into: &output)
            }
            let length = output.count - start - 2
            if length < 126 {
                output[start + 1] = UInt8(length)
            } else {
                let payload = Array(output[(start + 2)...])
                output.removeSubrange(start...)
                WebSocketFrame.append(state.isBinary ? .binary : .text, payload, into: &output)
            }
        }
    }

    func sendMessage(_ connection: Connection, _ message: ServerMessage) {
        guard let state = connection.webSocket, connection.phase == .webSocket else { return }
        scratch.removeAll(keepingCapacity: true)
        if state.isBinary {
            BinaryClientCodec.encode(message, into: &scratch)
        } else {
            JSONClientCodec.encode(message, into: &scratch)
        }
        appendScratch(connection, isBinary: state.isBinary)
    }

    private func appendScratch(_ connection: Connection, isBinary: Bool) {
        append(connection) { [scratch] output in
            WebSocketFrame.append(isBinary ? .binary : .text, scratch, into: &output)
        }
    }

    // MARK: - Closing

    /// Sends a close frame and ends the connection once it has left.
    func closeWebSocket(_ connection: Connection, _ code: UInt16, _ reason: String) {
        guard connection.phase == .webSocket, let state = connection.webSocket else { return }
        context.metrics.countClose(code)
        state.closeSent = true
        append(connection) { WebSocketFrame.appendClose(code, reason: reason, into: &$0) }
        unsubscribeAll(connection)
        closeAfterWriting(connection)
    }

    private func peerCloses(_ connection: Connection, _ state: WebSocketState, _ code: UInt16?) {
        if !state.closeSent {
            append(connection) { WebSocketFrame.appendClose(code, into: &$0) }
        }
        unsubscribeAll(connection)
        closeAfterWriting(connection)
    }

    /// What waits for this connection outgrew its bound: it is cut with a code that says so, and resumes later.
    func cutSlowConsumer(_ connection: Connection) {
        guard connection.phase != .closing else { return }
        context.metrics.slowConsumers.increment()
        connection.lane.removeAll()
        if connection.phase == .webSocket {
            context.metrics.countClose(4410)
            var frame: [UInt8] = []
            WebSocketFrame.appendClose(4410, reason: "slow consumer", into: &frame)
            _ = connection.lane.push(SharedBytes(frame))
        }
        unsubscribeAll(connection)
        closeAfterWriting(connection)
    }
}

extension ClientMessage {
    /// The client's mark on the message.
    var id: RequestID? {
        switch self {
        case .hello(let id, _, _, _), .subscribe(let id, _), .unsubscribe(let id, _), .vote(let id, _),
            .signal(let id, _, _, _), .ping(let id):
            id
        }
    }
}
