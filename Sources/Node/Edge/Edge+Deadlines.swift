// What happens when a connection's time is over: slow heads, rests, silence, tokens that expired, and the drain.

import Platform
import Protocol
import Web

extension Edge {
    func deadlinePassed(_ connection: Connection) {
        switch connection.deadlineMeaning {
        case .none: break
        case .head: headTookTooLong(connection)
        case .idle: connection.stream.close()
        case .answer: answerTookTooLong(connection)
        case .closing: connection.stream.reset()
        case .hello:
            guard connection.principal == nil else { return }
            closeWebSocket(connection, 4401, "no token within \(EdgeTimeouts.helloSeconds) s")
        case .heartbeat:
            if connection.phase == .eventStream { pingEventStream(connection) } else { heartbeat(connection) }
        }
    }

    /// A request that began must end; a connection that never began one is closed in silence.
    private func headTookTooLong(_ connection: Connection) {
        guard connection.phase == .http, connection.exchange == nil else { return }
        guard !connection.parser.isIdle else { return connection.stream.close() }
        connection.exchange = Exchange(
            requestID: "-", route: nil, keepAlive: false, isHead: false, votes: nil, allowedOrigin: nil)
        let error = ClientError(.badRequest, "the request took too long to arrive")
        respond(connection, status: 408, json: ReplyDocuments.errorEnvelope(error, requestID: "-"))
    }

    private func answerTookTooLong(_ connection: Connection) {
        guard connection.phase == .http, connection.exchange != nil else { return }
        connection.exchange?.keepAlive = false
        fail(connection, ClientError(.timeout, "no answer in time: the outcome is unknown"))
    }

    private func heartbeat(_ connection: Connection) {
        guard let state = connection.webSocket, connection.phase == .webSocket else { return }
        if let expiresAt = connection.expiresAt, context.clock.now() > expiresAt {
            return closeWebSocket(connection, 4401, "the token expired")
        }
        guard seconds &- connection.lastHeard < EdgeTimeouts.silenceSeconds else {
            return closeWebSocket(connection, 4408, "nothing heard for \(EdgeTimeouts.silenceSeconds) s")
        }
        if seconds &- state.lastPing >= EdgeTimeouts.pingSeconds {
            state.lastPing = seconds
            if !connection.stream.isBlocked {
                append(connection) { WebSocketFrame.append(.ping, [], into: &$0) }
            }
        }
        setDeadline(connection, .heartbeat, after: nextHeartbeat(connection, state))
    }

    /// Seconds to the next look: the next ping, the token's end, or the end of patience, whichever comes first.
    func nextHeartbeat(_ connection: Connection, _ state: WebSocketState) -> UInt32 {
        var delay = EdgeTimeouts.pingSeconds - min(EdgeTimeouts.pingSeconds - 1, seconds &- state.lastPing)
        if let expiresAt = connection.expiresAt {
            let left = max(0, expiresAt.milliseconds(since: context.clock.now())) / 1000 + 1
            delay = min(delay, UInt32(clamping: left))
        }
        let patience = EdgeTimeouts.silenceSeconds - min(EdgeTimeouts.silenceSeconds, seconds &- connection.lastHeard)
        return max(1, min(delay, patience))
    }

    // MARK: - Drain

    /// Tells every client of this edge to reconnect elsewhere, each once its answers are out, spread over `slices`.
    ///
    /// Who comes later still gets an answer: nobody knows of a drain before he was told.
    ///
    /// Returns how many of those that were there before have yet to be told, and how many connections are open.
    func drain(slice: Int, of slices: Int) -> (untold: Int, open: Int) {
        isDraining = true
        var untold = 0
        for connection in connections {
            guard let connection else { continue }
            if Int(connection.index) % slices <= slice { drain(connection) }
            if !connection.isLate, connection.phase != .closing { untold += 1 }
        }
        turnEnded()
        return (untold, connectionCount)
    }

    private func drain(_ connection: Connection) {
        switch connection.phase {
        case .webSocket, .eventStream:
            guard !connection.isLeaving else { return }
            connection.isLeaving = true
            pauseReading(connection)
            sayGoodbyeIfAnswered(connection)
        case .http:
            // A request may be under way to a connection that was used a moment ago; its answer says that it is the last.
            guard connection.exchange == nil, connection.parser.isIdle,
                seconds &- connection.lastHeard >= EdgeTimeouts.drainQuietSeconds
            else { return }
            connection.stream.close()
        case .closing: break
        }
    }

    /// What was taken from a client is answered before it is told to leave; what it sends until it knows is not taken.
    func sayGoodbyeIfAnswered(_ connection: Connection) {
        guard connection.outstanding == 0 else { return }
        switch connection.phase {
        case .webSocket: closeWebSocket(connection, 1001, "drain; retry=\(drainRetryMilliseconds)")
        case .eventStream:
            append(connection) { ServerSentEvents.appendRetry(milliseconds: drainRetryMilliseconds, into: &$0) }
            unsubscribeAll(connection)
            closeAfterWriting(connection)
        case .http, .closing: break
        }
        // Bytes that nobody reads would make the kernel reset the connection, and the goodbye be lost.
        guard connection.isReadingPaused, !connection.stream.isBlocked else { return }
        connection.isReadingPaused = false
        connection.stream.startReading()
    }
}
