// How a link comes to its socket, how it loses it, and how it ends: the one task of a link, and what wakes it.

public import Platform

extension Link {
    /// Starts dialling; call once.
    public func open() {
        precondition(dialing == nil && !isClosing, "a link was opened twice")
        shared.assumeIsolated { $0.add(self) }
        // The link is held until it is closed.
        dialing = Task(executorPreference: shared.loop) { await self.dial() }
    }

    /// Closes the link for good: what was gathered leaves, where the socket takes it; requests without an answer are
    /// told of. Returns once nothing of the link is left on the loop but its socket's end. Safe to repeat.
    public func close() async {
        isClosing = true
        attempt?.cancel()
        detour.probe?.cancel()
        endPause()
        end(.local)
        await dialing?.value
        leaveLoop()
    }

    private func leaveLoop() { shared.assumeIsolated { $0.remove(self) } }

    private func dial() async {
        while !isClosing {
            await attemptOnce()
            guard !isClosing else { return }
            let nanoseconds = backoff.failed(random: shared.configuration.random.next())
            await pause(nanoseconds)
        }
    }

    /// Connects and stays until the connection is over. A path on which words vanished is not tried first.
    private func attemptOnce() async {
        let isBroken = detour.takeBroken()
        if isBroken, await stayThroughRelay() { return }
        if await stayDirectly() || isBroken { return }
        _ = await stayThroughRelay()
    }

    /// - Returns: whether there was a connection.
    private func stayDirectly() async -> Bool {
        let deadline = MonotonicTime(nanoseconds: shared.loop.monotonic.nanoseconds + Self.connectTimeout)
        let addresses: [TCPAddress]
        do throws(ResolveError) {
            addresses = try await shared.resolver.resolve(host, deadline: deadline)
        } catch {
            note("\(error)")
            return false
        }
        for address in addresses {
            guard !isClosing else { return false }
            let now = shared.loop.monotonic
            guard now < deadline else {
                note("connecting took too long")
                return false
            }
            let place = TCPAddress(bytes: address.bytes, port: port)
            detour.directAddress = place
            switch await connect(place, timeout: deadline.nanoseconds - now.nanoseconds) {
            case .failure(let error): note("\(error)")
            case .success(let stream):
                await stay(stream)
                return true
            }
        }
        return false
    }

    func connect(_ address: TCPAddress, timeout: UInt64) async -> Result<TCPStream, SystemError> {
        let outcome: Result<TCPStream, SystemError> = await withCheckedContinuation { continuation in
            attempt = TCPConnectAttempt(to: address, on: shared.loop, timeoutNanoseconds: timeout) { outcome in
                continuation.resume(returning: outcome)
            }
        }
        attempt = nil
        return outcome
    }

    func stay(_ stream: TCPStream) async {
        guard !isClosing else { return stream.close() }
        await withCheckedContinuation { continuation in
            whileConnected = continuation
            stream.handler = self
            pipe = LinkPipe(stream, shared.counters)
            stream.startReading()
            shakeHands(with: detour.isAtRelay ? nil : expectedName)
        }
    }

    func shakeHands(with name: String?) {
        let configuration = shared.configuration
        var handshake = LinkHandshake(
            .dialer, as: configuration.identity, versions: configuration.versions, key: configuration.key,
            expectedName: name, random: configuration.random, now: shared.now)
        let actions = handshake.connected()
        phase = .shakingHands(handshake)
        run(actions)
    }

    // MARK: - The end of a connection

    /// A connection that never became a link.
    func endAttempt(_ failure: String) {
        note(failure)
        release()
    }

    /// The end of whatever there is; where it was an open link, its requests and its handler are told.
    func end(_ reason: LinkCloseReason) {
        switch phase {
        case .away: break
        case .shakingHands, .awaitingRelay: endAttempt("\(reason)")
        case .open(let peer):
            noteRoute(peer, isOpen: false)
            if reason == .silent { detour.isBroken = true }
            shared.configuration.log.info(
                "link.closed",
                [("peer", .string(peer.identity.name)), ("reason", .string("\(reason)"))])
            if shared.now - openedAt >= Self.steadyTime { backoff.succeeded() }
            release()
            for loss in machine.closed() { handler.linkLost(self, loss) }
            handler.linkClosed(self, reason)
        }
    }

    /// Lets go of the socket, and lets the task go on.
    private func release() {
        phase = .away
        pipe?.close()
        pipe = nil
        detour.released()
        let continuation = whileConnected
        whileConnected = nil
        continuation?.resume()
    }

    func note(_ failure: String) {
        // A straight path and ways around it fail in turn, each in its manner.
        guard !isClosing, loggedFailures.count < Self.loggedFailuresLimit, loggedFailures.insert(failure).inserted
        else { return }
        shared.configuration.log.warn(
            "link.failed",
            [
                ("node", .string(expectedName ?? "")), ("address", .string("\(host):\(port)")),
                ("reason", .string(failure)),
            ])
    }

    // MARK: - Pauses

    private func pause(_ nanoseconds: UInt64) async {
        await withCheckedContinuation { continuation in
            guard !isClosing else { return continuation.resume() }
            pause = (shared.now + nanoseconds, continuation)
        }
    }

    /// The pause is over, or cut short.
    func endPause() {
        let paused = pause
        pause = nil
        paused?.continuation.resume()
    }

    // MARK: - The socket

    /// For the stream alone.
    public nonisolated func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer) {
        // Safe: the buffer is the loop's own, valid during this call, and the call stays on the loop's thread.
        nonisolated(unsafe) let bytes = unsafe bytes
        onLoop { unsafe $0.received(stream, bytes) }
    }

    /// For the stream alone.
    public nonisolated func streamDrained(_ stream: TCPStream) { assumeIsolated { $0.drained(stream) } }

    /// For the stream alone.
    public nonisolated func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        assumeIsolated { $0.closed(stream, reason) }
    }

    private func closed(_ stream: TCPStream, _ reason: TCPCloseReason) {
        guard let pipe, pipe.stream === stream else { return }
        pipe.closed()
        switch reason {
        case .local: end(.local)
        case .endOfFile: end(.endOfStream)
        case .failed(let code): end(.broken(code))
        }
    }
}
