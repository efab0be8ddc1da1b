// HTTP/1.1: requests in the order in which they came, one at a time per connection; what a pipelining client sends
// ahead waits, bounded.

import Platform
import Protocol
import Web

extension Edge {
    func receivedHTTP(_ connection: Connection, _ bytes: UnsafeMutableRawBufferPointer) {
        if connection.exchange != nil || !connection.unread.isEmpty {
            unsafe connection.unread.append(contentsOf: bytes)
            if connection.unread.count > EdgeBuffers.unreadLimit { pauseReading(connection) }
            return
        }
        unsafe feedHTTP(connection, bytes)
    }

    func pauseReading(_ connection: Connection) {
        guard !connection.isReadingPaused else { return }
        connection.isReadingPaused = true
        connection.stream.stopReading()
    }

    private func feedHTTP(_ connection: Connection, _ bytes: UnsafeMutableRawBufferPointer) {
        // Answers that are ready at once are written from within this loop, which then goes on: never by recursion.
        connection.isFeeding = true
        defer { connection.isFeeding = false }
        var offset = 0
        while offset < bytes.count, connection.phase == .http, connection.exchange == nil {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            if connection.deadlineMeaning != .head {
                setDeadline(connection, .head, after: EdgeTimeouts.headSeconds)
            }
            let (consumed, outcome) = unsafe connection.parser.feed(rest)
            offset += consumed
            switch outcome {
            case .needMore: return
            case .wantsContinue: append(connection) { $0.append(contentsOf: HTTPResponseHead.continueResponse) }
            case .request(let request): handle(connection, request)
            case .failed(let failure): refuse(connection, failure)
            }
        }
        guard offset < bytes.count else { return }
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[offset...])
        switch connection.phase {
        case .http: unsafe connection.unread.append(contentsOf: rest)
        case .webSocket: unsafe receivedWebSocket(connection, rest)
        case .eventStream, .closing: break
        }
    }

    /// A request that is not HTTP as it should be: one answer, and the connection ends, for its framing is lost.
    private func refuse(_ connection: Connection, _ failure: HTTPFailure) {
        let exchange = Exchange(
            requestID: makeRequestID(), route: nil, keepAlive: false, isHead: false, votes: nil, allowedOrigin: nil)
        connection.exchange = exchange
        let code: ErrorCode = failure.status == 413 ? .tooLarge : .badRequest
        respond(
            connection, status: failure.status,
            json: ReplyDocuments.errorEnvelope(ClientError(code, failure.message), requestID: exchange.requestID),
            headers: ResponseHeaders.known(failure.headers))
    }

    private func makeRequestID() -> String {
        String(context.random.next(), radix: 16) + String(context.random.next(), radix: 16)
    }

    /// Takes a client's request id where it is fit to be logged and sent back.
    private func requestID(of request: HTTPRequest) -> String {
        guard let given = request.header("x-request-id"), HTTPRequestID.isFit(given) else { return makeRequestID() }
        return given
    }

    // MARK: - Requests

    private func handle(_ connection: Connection, _ request: HTTPRequest) {
        setDeadline(connection, .answer, after: EdgeTimeouts.answerSeconds)
        var exchange = Exchange(
            requestID: requestID(of: request), method: request.method, route: nil,
            keepAlive: request.keepAlive && !isDraining, isHead: request.method == .head,
            minorVersion: request.minorVersion, votes: nil, allowedOrigin: nil)
        let access = context.access.check(request, peer: connection.stream.peer)
        exchange.allowedOrigin = access.allowedOrigin
        connection.exchange = exchange
        if let refusal = access.refusal { return fail(connection, refusal) }
        if request.method == .options { return respondPreflight(connection, request) }
        let route: Route
        switch Routes.match(request.method, request.path) {
        case .success(let found): route = found
        case .failure(let miss): return missed(connection, miss)
        }
        connection.exchange?.route = route
        guard hasFittingType(request) else { return refuseType(connection) }
        do {
            try dispatch(connection, request, route)
        } catch {
            fail(connection, error)
        }
    }

    /// Bodies are JSON. A browser sends that type across origins only after it has asked, so a foreign page cannot
    /// make it send one unasked.
    private func hasFittingType(_ request: HTTPRequest) -> Bool {
        guard request.method == .post || request.method == .patch,
            request.path.hasPrefix("/v1/") || request.path.hasPrefix("/admin/placement/pins/")
        else { return true }
        let type = request.header("content-type") ?? ""
        let essence = type.split(separator: ";", maxSplits: 1).first.map { $0.trimmingBlanks().lowercased() }
        return essence == "application/json"
    }

    private func refuseType(_ connection: Connection) {
        let error = ClientError(.badRequest, "the body must be application/json")
        respond(
            connection, status: 415,
            json: ReplyDocuments.errorEnvelope(error, requestID: connection.exchange?.requestID ?? ""))
    }

    private func missed(_ connection: Connection, _ miss: RouteMiss) {
        switch miss {
        case .notFound: fail(connection, ClientError(.notFound, "no such path"))
        case .badIdentifier:
            fail(connection, ClientError(.badRequest, "an id is a lowercase UUID of version 7"))
        case .badSlot:
            fail(connection, ClientError(.badRequest, "a slot is a number from 0 to \(Slot.count - 1)"))
        case .methodNotAllowed(let allow):
            let error = ClientError(.badRequest, "this path answers \(allow) only")
            respond(
                connection, status: 405,
                json: ReplyDocuments.errorEnvelope(error, requestID: connection.exchange?.requestID ?? ""),
                headers: [("Allow", allow)])
        }
    }

    private func dispatch(_ connection: Connection, _ request: HTTPRequest, _ route: Route) throws(ClientError) {
        switch route {
        case .page(let path): try servePage(connection, request, path)
        case .health(let health): try serveHealth(connection, request, health)
        case .metrics: try serveMetrics(connection, request)
        case .webSocket where isDraining, .events where isDraining:
            throw ClientError(.unavailable, "the node drains", retryAfterMilliseconds: drainRetryMilliseconds)
        case .webSocket: try upgrade(connection, request)
        case .events(let campaign): try openEventStream(connection, request, campaign)
        case .verify(let campaign):
            try context.access.requireAdmin(request, peer: connection.stream.peer)
            send(connection, campaign, .verify)
        case .admin(let admin): try serveAdmin(connection, request, admin)
        case .vote(let campaign, let poll): try serveVotes(connection, request, campaign, poll)
        case .createCampaign, .readCampaign, .updateCampaign, .deleteCampaign, .launchPoll, .readPolls, .readPoll,
            .cancelPoll, .signal:
            try serveManagement(connection, request, route)
        }
    }

    // MARK: - Responses

    func fail(_ connection: Connection, _ error: ClientError) {
        var headers: [(StaticString, String)] = []
        if let wait = error.retryAfterMilliseconds { headers.append(("Retry-After", String((wait + 999) / 1000))) }
        if error.code == .unauthorized { headers.append(("WWW-Authenticate", "Bearer")) }
        respond(
            connection, status: error.code.httpStatus,
            json: ReplyDocuments.errorEnvelope(error, requestID: connection.exchange?.requestID ?? ""),
            headers: headers)
    }

    func respond(
        _ connection: Connection, status: Int, json: [UInt8], headers: [(StaticString, String)] = []
    ) {
        respond(
            connection, status: status, contentType: "application/json", body: json.span, headers: headers,
            policy: ResponseHeaders.apiPolicy)
    }

    /// Writes the answer of the current exchange and goes on to the next request.
    func respond(
        _ connection: Connection, status: Int, contentType: String, body: Span<UInt8>,
        headers: [(StaticString, String)] = [], policy: String
    ) {
        guard let exchange = connection.exchange else { return }
        connection.exchange = nil
        let closes = !exchange.keepAlive || isDraining || connection.hasPeerFinished && connection.unread.isEmpty
        noteAnswer(of: exchange, status: status)
        let node = context.nodeName
        let date = date
        append(connection) { output in
            ResponseHeaders.appendHead(
                status: status, contentType: contentType, bodyBytes: body.count, exchange: exchange, node: node,
                policy: policy, headers: headers, closes: closes, date: date, to: &output)
            if !exchange.isHead, status != 204, status != 304 {
                for index in body.indices { output.append(body[index]) }
            }
        }
        if closes {
            closeAfterWriting(connection)
        } else {
            setDeadline(connection, .idle, after: EdgeTimeouts.idleSeconds)
            continueReading(connection)
        }
    }

    /// Goes on with what a pipelining client sent ahead.
    private func continueReading(_ connection: Connection) {
        guard !connection.isFeeding, !connection.unread.isEmpty else { return }
        var bytes: [UInt8] = []
        swap(&bytes, &connection.unread)
        unsafe bytes.withUnsafeMutableBytes { unsafe feedHTTP(connection, $0) }
        resumeReading(connection)
    }

    private func respondPreflight(_ connection: Connection, _ request: HTTPRequest) {
        guard connection.exchange?.allowedOrigin != nil else {
            return fail(connection, ClientError(.forbidden, "this origin is not allowed"))
        }
        respond(
            connection, status: 204, json: [],
            headers: [
                ("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE"),
                ("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, X-Request-ID"),
                ("Access-Control-Max-Age", "600"),
            ])
    }
}
