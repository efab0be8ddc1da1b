// How each connection of a pool comes, goes and comes again.

internal import Platform

extension PostgresPool {
    func connect(_ index: Int) {
        guard !isClosed, members[index].phase != .connecting, members[index].phase != .ready else { return }
        members[index].retry?.close()
        members[index].retry = nil
        members[index].phase = .connecting
        members[index].lastAttempt = loop.monotonic
        members[index].generation += 1
        members[index].isLent = false
        let generation = members[index].generation
        let connection = PostgresConnection(
            configuration, options: options.session, on: loop, resolver: resolver, meter: meter
        ) { [weak self] error in
            self?.assumeIsolated { $0.lost(index, generation, error) }
        }
        members[index].connection = connection
        members[index].task = Task(executorPreference: loop) { await self.open(index, generation, connection) }
    }

    private func open(_ index: Int, _ generation: UInt64, _ connection: PostgresConnection) async {
        let timeout = options.connectTimeoutMilliseconds * 1_000_000
        do throws(PostgresError) {
            try await connection.open(deadline: loop.monotonic.advanced(byNanoseconds: timeout))
            try await options.onConnected(index, connection)
            // It may have broken while the hook ran, which `lost` leaves to us.
            guard await connection.isOpen else {
                throw PostgresError(.notSent, .connectionLost, "the connection broke before it was used")
            }
            guard !isClosed, members[index].generation == generation else { throw Self.closed }
            members[index].phase = .ready
            serveWaiters(index)
        } catch {
            await connection.close()
            guard !isClosed, members[index].generation == generation else { return }
            retryLater(index, error)
        }
    }

    private func lost(_ index: Int, _ generation: UInt64, _ error: PostgresError) {
        guard !isClosed, members[index].generation == generation, members[index].phase == .ready else { return }
        // One that lasted has earned a quick return; one that breaks at once has not.
        let age = members[index].lastAttempt.nanoseconds(until: loop.monotonic)
        if age >= members[index].backoff.longestNanoseconds { members[index].backoff.succeeded() }
        retryLater(index, error)
    }

    private func retryLater(_ index: Int, _ error: PostgresError) {
        members[index].phase = .waiting
        members[index].connection = nil
        let delay = members[index].backoff.failed(random: random.next())
        let timer = LoopTimer(on: loop) { [weak self] in self?.assumeIsolated { $0.connect(index) } }
        members[index].retry = timer
        timer.schedule(afterNanoseconds: delay)
        options.onLost(index, error)
    }

    /// Someone wants this connection: an attempt that waits for its turn is made now, unless the last was just now.
    func demand(_ index: Int) {
        guard members[index].phase == .waiting,
            members[index].lastAttempt.nanoseconds(until: loop.monotonic) >= Self.demandAgeNanoseconds
        else { return }
        connect(index)
    }

    /// Ends everything: those who wait and what is queued fail `notSent`, what is in flight `unknown`. Returns when
    /// every handle is closed and no task is left; safe to repeat.
    public func close() async {
        isClosed = true
        await resolver.close()
        let waiting = waiters
        waiters = []
        for waiter in waiting { end(waiter, .failure(Self.closed)) }
        for index in members.indices {
            members[index].retry?.close()
            members[index].retry = nil
            members[index].phase = .idle
            await members[index].connection?.close()
            members[index].connection = nil
        }
        for index in members.indices {
            await members[index].task?.value
            members[index].task = nil
        }
    }
}
