// From a configuration to a session that may be used: each server in turn, each with its share of the time that is
// left, so that one which never answers does not take the others' turn.

public import Platform

extension PostgresConnection {
    /// Opens a new connection; call once. The first server that suits is taken.
    ///
    /// Throws `connecting` with what each server said, or `unsuitableServer`; the connection is then closed.
    public func open(deadline: MonotonicTime) async throws(PostgresError) {
        guard case .new = state else {
            throw PostgresError(.notSent, .connecting, "a connection is opened once")
        }
        state = .opening
        timer = LoopTimer(on: loop) { [self] in assumeIsolated { $0.timerFired() } }
        if let server = configuration.server { return try await open(server, deadline: deadline) }
        var failures: [PostgresError] = []
        for (index, host) in configuration.hosts.enumerated() {
            let share = deadline.share(among: configuration.hosts.count - index, at: loop.monotonic)
            do throws(PostgresError) {
                try await open(host, deadline: share)
                try stillOpening()
                state = .open
                meter.update {
                    $0.connects += 1
                    $0.connected += 1
                    $0.lastError = nil
                }
                return
            } catch {
                abandonSession(error)
                if case .closed(let reason) = state { throw reason.with(.notSent) }
                failures.append(error)
            }
        }
        let error = Self.summary(failures)
        end(error)
        close()
        meter.update {
            $0.failedConnects += 1
            $0.lastError = error
        }
        throw error
    }

    private func stillOpening() throws(PostgresError) {
        if case .closed(let error) = state { throw error.with(.notSent) }
    }

    private static func summary(_ failures: [PostgresError]) -> PostgresError {
        // What an operator must act on comes before what may pass by itself.
        let first = failures.first { $0.reason == .unsuitableServer } ?? failures.first
        guard let first, failures.count > 1 else {
            return first ?? PostgresError(.notSent, .connecting, "no server to connect to")
        }
        return PostgresError(
            .notSent, first.reason, sqlState: first.sqlState, failures.map(\.message).joined(separator: "; "))
    }

    private func open(_ host: PostgresConfiguration.Host, deadline: MonotonicTime) async throws(PostgresError) {
        var candidates = [host]
        if host.needsResolving {
            do throws(ResolveError) {
                let addresses = try await resolver.resolve(host.name, deadline: deadline)
                candidates = addresses.map { address in
                    var candidate = host
                    candidate.address = address.host
                    return candidate
                }
            } catch {
                throw PostgresError(.notSent, .connecting, error.description)
            }
        }
        var failures: [PostgresError] = []
        for (index, candidate) in candidates.enumerated() {
            try stillOpening()
            let share = deadline.share(among: candidates.count - index, at: loop.monotonic)
            do throws(PostgresError) {
                if let error = await shakeHands(candidate, deadline: share) {
                    guard error.reason == .deadline else { throw error }
                    throw PostgresError(.notSent, .deadline, "\(candidate.description) did not answer in time")
                }
                return try await setUp(candidate, deadline: share)
            } catch {
                abandonSession(error)
                failures.append(error)
            }
        }
        throw Self.summary(failures)
    }

    // MARK: - Handshake

    private func shakeHands(
        _ host: PostgresConfiguration.Host, deadline: MonotonicTime
    ) async -> PostgresError? {
        await withCheckedContinuation { continuation in
            if case .closed(let error) = state { return continuation.resume(returning: error) }
            handshake = continuation
            let sink = NoticeSink(options.onNotice)
            guard let session = PQSession(configuration.parameters(for: host), notices: sink) else {
                return endHandshake(PostgresError(.notSent, .connecting, "no memory for a connection"))
            }
            self.session = session
            self.sink = sink
            guard !session.isBad else { return handshakeFailed() }
            arm(deadline, replacing: true)
            // libpq wants to be polled first when the socket can be written.
            watchHandshake(.writable)
        }
    }

    /// Each step gets a watch of its own: libpq may have closed the socket and opened another one under its number,
    /// of which the system's event queue would know nothing.
    private func watchHandshake(_ events: Readiness) {
        guard let descriptor = session?.descriptor else { return handshakeFailed() }
        do throws(SystemError) {
            let poll = try PollHandle(descriptor: descriptor, on: loop) { [self] ready in
                assumeIsolated { $0.isReady(ready) }
            }
            poll.watch(events)
            self.poll = poll
        } catch {
            endHandshake(PostgresError(.notSent, .connecting, error.description))
        }
    }

    func advanceHandshake() {
        poll?.close()
        poll = nil
        guard let session else { return }
        switch session.poll() {
        case .reading: watchHandshake(.readable)
        case .writing: watchHandshake(.writable)
        case .failed: handshakeFailed()
        case .connected:
            guard session.becomeNonBlocking() else { return handshakeFailed() }
            watchHandshake(.readable)
            endHandshake(nil)
        }
    }

    private func handshakeFailed() {
        endHandshake(PostgresError(.notSent, .connecting, session?.errorMessage ?? "no connection"))
    }

    func endHandshake(_ error: PostgresError?) {
        guard let handshake else { return }
        self.handshake = nil
        if error != nil {
            poll?.close()
            poll = nil
            session?.finish()
            session = nil
        }
        handshake.resume(returning: error)
    }

    // MARK: - Session

    private func setUp(_ host: PostgresConfiguration.Host, deadline: MonotonicTime) async throws(PostgresError) {
        let version = serverVersion
        guard version >= PostgresSession.oldestServerVersion else {
            throw PostgresError(
                .notSent, .unsuitableServer,
                "\(host.description) is of version \(version / 10_000), older than "
                    + "\(PostgresSession.oldestServerVersion / 10_000)")
        }
        let statement = PostgresSession.setUp(options, serverVersion: version)
        let answer: PostgresResult
        do throws(PostgresError) {
            answer = try await run(statement, [], transaction: nil, deadline: deadline)
        } catch {
            let text = "setting up the session at \(host.description): \(error.message)"
            throw PostgresError(.notSent, .connecting, sqlState: error.sqlState, text)
        }
        if let objection = try PostgresSession.objection(answer) {
            throw PostgresError(.notSent, .unsuitableServer, "\(host.description): \(objection.message)")
        }
    }
}
