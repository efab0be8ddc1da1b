// Statements on their way: the queue's front goes out, the socket's readiness moves bytes, libpq's results come back,
// the timer ends what takes too long.

internal import Platform

extension PostgresConnection {
    // MARK: - Out

    /// Sends what is next, unless something is in flight.
    func startNext() {
        while inFlight == nil, hasSession, let request = queue.next() {
            meter.update { $0.queued -= 1 }
            let now = loop.monotonic
            guard now < request.deadline else {
                release(request.id)
                request.continuation.resume(returning: .failure(Self.expired(.notSent)))
                continue
            }
            if case .reservation = request.command {
                request.continuation.resume(returning: .success(nil))
                continue
            }
            start(request, now)
        }
    }

    /// Ends a transaction's hold. What it left in the queue unawaited is not sent.
    func release(_ transaction: UInt64) {
        let left = queue.release(transaction)
        guard !left.isEmpty else { return }
        meter.update { $0.queued -= left.count }
        for request in left { request.continuation.resume(returning: .failure(Self.transactionIsOver)) }
    }

    private func start(_ request: Request, _ now: MonotonicTime) {
        var current = InFlight(request: request, startedAt: now, isPreparing: false)
        if let backend { return start(current, backend) }
        guard let session else { return }
        sink?.hasLostStandby = false
        let isSent: Bool
        switch request.command {
        case .reservation: return
        case .script(let text): isSent = session.run(script: text)
        case .statement(let statement, let values):
            if let known = prepared[statement.name] {
                precondition(known == statement, "two statements have the name \(statement.name)")
                isSent = session.run(statement, EncodedParameters(values))
            } else {
                current.isPreparing = true
                isSent = session.prepare(statement)
            }
        }
        inFlight = current
        if !current.isPreparing { sentCount += 1 }
        meter.update { $0.inFlight += 1 }
        guard isSent else { return lose(PostgresError(.unknown, .connectionLost, session.errorMessage)) }
        arm(request.deadline)
        flush()
    }

    private func start(_ current: InFlight, _ backend: any PostgresBackend) {
        guard case .statement(let statement, let values) = current.request.command else {
            preconditionFailure("a server inside the process runs statements alone")
        }
        inFlight = current
        sentCount += 1
        meter.update { $0.inFlight += 1 }
        arm(current.request.deadline)
        backend.run(statement, values) { [weak self, id = current.request.id] outcome in
            self?.assumeIsolated { $0.answered(id, outcome) }
        }
    }

    private func flush() {
        guard let session else { return }
        switch session.flush() {
        case 0: poll?.watch(.readable)
        case 1: poll?.watch([.readable, .writable])
        default: broken()
        }
    }

    private func broken() {
        // The server's own last words are better than libpq's.
        let said = inFlight?.error?.outcome == .unknown ? inFlight?.error : nil
        lose(said ?? PostgresError(.unknown, .connectionLost, session?.errorMessage ?? "the connection broke"))
    }

    // MARK: - In

    func isReady(_ events: Readiness) {
        if handshake != nil { return advanceHandshake() }
        guard let session else { return }
        if events.contains(.writable) { flush() }
        guard events.contains(.readable), self.session != nil else { return }
        let isAlive = session.consumeInput()
        // Also from a broken connection: the server may have said why before it hung up.
        takeResults()
        guard self.session === session else { return }
        if inFlight == nil { session.digestIdleInput() }
        if !isAlive || session.isBad || events.contains(.failed) { return broken() }
        // What arrived may have made room for what waits to leave.
        if events == .readable, inFlight != nil { flush() }
    }

    private func takeResults() {
        while let session, inFlight != nil {
            switch session.nextResult() {
            case .busy: return
            case .result(let result): inFlight?.result = result
            case .refusal(let error): if inFlight?.error == nil { inFlight?.error = error }
            case .unexpected(let what):
                return lose(PostgresError(.unknown, .server, "an answer of the kind \(what) was not asked for"))
            case .finished: commandEnded()
            }
        }
    }

    func commandEnded() {
        guard var current = inFlight else { return }
        if let error = current.error {
            // The server is gone, or does not know itself.
            if error.outcome == .unknown { return lose(error) }
            inFlight = nil
            answer(current, .failure(error))
            return startNext()
        }
        if current.isPreparing, case .statement(let statement, let values) = current.request.command {
            prepared[statement.name] = statement
            current.isPreparing = false
            current.result = nil
            inFlight = current
            guard let session else { return }
            sentCount += 1
            guard session.run(statement, EncodedParameters(values)) else { return broken() }
            return flush()
        }
        if sink?.hasLostStandby == true {
            let text = "the server stopped waiting for its standby: committed there, perhaps nowhere else"
            return lose(PostgresError(.unknown, .server, text))
        }
        inFlight = nil
        answer(current, .success(current.result))
        startNext()
    }

    func answer(_ current: InFlight, _ answer: Result<PostgresResult?, PostgresError>) {
        let elapsed = current.startedAt.nanoseconds(until: loop.monotonic)
        meter.update { figures in
            figures.inFlight -= 1
            switch answer {
            case .success:
                figures.queries += 1
                figures.observe(nanoseconds: elapsed)
            case .failure(let error):
                switch error.outcome {
                case .refusedByServer:
                    figures.queries += 1
                    figures.refusals += 1
                    figures.observe(nanoseconds: elapsed)
                case .unknown, .unreadable: figures.unknownOutcomes += 1
                case .notSent: break
                }
            }
        }
        current.request.continuation.resume(returning: answer)
    }

    // MARK: - Deadlines

    /// Makes sure that the timer fires by then.
    func arm(_ deadline: MonotonicTime, replacing: Bool = false) {
        if !replacing, let armedFor, armedFor <= deadline { return }
        guard let timer else { return }
        armedFor = deadline
        timer.schedule(afterNanoseconds: max(1, loop.monotonic.nanoseconds(until: deadline)))
    }

    func timerFired() {
        let due = armedFor
        armedFor = nil
        let now = loop.monotonic
        if handshake != nil {
            if let due, now < due { return arm(due) }
            return endHandshake(PostgresError(.notSent, .deadline, "the server did not answer in time"))
        }
        if let current = inFlight, current.request.deadline <= now {
            return lose(Self.expired(.unknown))
        }
        let expired = queue.takeExpired(now)
        if !expired.isEmpty { meter.update { $0.queued -= expired.count } }
        for request in expired { request.continuation.resume(returning: .failure(Self.expired(.notSent))) }
        let next = [inFlight?.request.deadline, queue.earliestDeadline].compactMap { $0 }.min()
        if let next { arm(next) }
    }

    private static func expired(_ outcome: PostgresError.Outcome) -> PostgresError {
        PostgresError(outcome, .deadline, "no answer by the deadline")
    }
}
