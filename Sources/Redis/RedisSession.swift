// One life of a connection to one server, driven by one loop.
//
//   new ──open──► opening: connect ─► AUTH ─► SELECT ─► ROLE or PING
//                    │ all well               │ refused, broken, too late
//                    ▼                        ▼
//                  open ──deadline, broken, demoted, close──► closed
//
// Commands are pipelined. A passed deadline closes the connection: the replies behind it would be just as late, and
// nobody could tell later which reply belongs to which command.

internal import Platform

/// A connection to one server. It must be closed, also after it broke, or the loop does not end.
actor RedisSession {
    nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private enum State {
        case new
        case opening
        case open
        case closed(RedisError)
    }

    /// What is asked of a server before it is used.
    struct Requirements: Sendable {
        var login: RedisLogin?
        var database: Int32 = 0
        var mustBeMaster = false
        /// With what TLS is spoken, and whose certificate the server is to show; `nil` without TLS.
        var tls: (authorities: HiredisTLS, host: String)?
        /// A Sentinel is asked one question, and has neither roles nor databases.
        var isSentinel = false
    }

    private let options: RedisOptions
    private let meter: RedisMeter
    private let onLost: @Sendable (RedisError) -> Void

    private var state = State.new
    private var context: HiredisContext?
    private var connecting: CheckedContinuation<RedisError?, Never>?
    private var queue = CommandQueue()
    private var timer: LoopTimer?
    private var armedFor: MonotonicTime?
    /// The server said that it is a replica.
    private var isDemoted = false

    /// - Parameter onLost: called on the loop, once, when a session that was open breaks; not after `close`.
    init(
        _ options: RedisOptions, on loop: EventLoop, meter: RedisMeter,
        onLost: @escaping @Sendable (RedisError) -> Void = { _ in }
    ) {
        self.options = options
        self.loop = loop
        self.meter = meter
        self.onLost = onLost
    }

    var isOpen: Bool { if case .open = state { true } else { false } }

    // MARK: - Opening

    /// Connects and sets up the session; call once. An error leaves it closed.
    func open(
        _ address: TCPAddress, _ requirements: Requirements, deadline: MonotonicTime
    ) async throws(RedisError) {
        guard case .new = state else { throw RedisError(.notSent, .connecting, "a session is opened once") }
        state = .opening
        timer = LoopTimer(on: loop) { [self] in assumeIsolated { $0.timerFired() } }
        do throws(RedisError) {
            if let error = await connect(address, deadline: deadline) { throw error }
            if let tls = requirements.tls, let reason = context?.startTLS(tls.authorities, host: tls.host) {
                throw RedisError(.notSent, .connecting, reason)
            }
            try await setUp(requirements, deadline: deadline)
            guard case .opening = state else { throw reasonOfEnd }
            state = .open
        } catch {
            let text = error.message.contains("\(address)") ? error.message : "\(address): \(error.message)"
            let reason: RedisError.Reason = error.reason == .connectionLost ? .connecting : error.reason
            let failure = RedisError(.notSent, reason, code: error.code, text)
            end(failure)
            throw failure
        }
    }

    private var reasonOfEnd: RedisError {
        if case .closed(let error) = state { return error.with(.notSent) }
        return RedisError(.notSent, .closed, "the session is not open")
    }

    private func connect(_ address: TCPAddress, deadline: MonotonicTime) async -> RedisError? {
        await withCheckedContinuation { continuation in
            guard case .opening = state else { return continuation.resume(returning: reasonOfEnd) }
            do throws(RedisError) {
                context = try HiredisContext(address, on: loop) { [self] ready in
                    assumeIsolated { $0.isReady(ready) }
                }
                connecting = continuation
                arm(deadline)
            } catch {
                continuation.resume(returning: error)
            }
        }
    }

    private func endConnecting(_ error: RedisError?) {
        guard let connecting else { return }
        self.connecting = nil
        armedFor = nil
        connecting.resume(returning: error)
    }

    private func setUp(_ requirements: Requirements, deadline: MonotonicTime) async throws(RedisError) {
        if let login = requirements.login {
            let words = (login.user.map { [RedisArgument($0)] } ?? []) + [RedisArgument(login.password)]
            _ = try await step("logging in", "AUTH", words, deadline)
        }
        guard !requirements.isSentinel else { return }
        if requirements.database != 0 {
            let database = requirements.database
            _ = try await step("selecting database \(database)", "SELECT", [RedisArgument(database)], deadline)
        }
        // Either one also shows that no login is missing and that the server has loaded its data.
        guard requirements.mustBeMaster else {
            _ = try await step("greeting the server", "PING", [], deadline)
            return
        }
        do throws(RedisError) {
            let role = try await step("asking for the role", "ROLE", [], deadline).array?.first?.string
            guard role == "master" else {
                throw RedisError(.notSent, .setup, "the server is no master: \(role ?? "it names no role")")
            }
        } catch {
            // Whoever may not ask finds out with the first write.
            guard error.code == "NOPERM" else { throw error }
        }
    }

    private func step(
        _ what: String, _ name: String, _ arguments: [RedisArgument], _ deadline: MonotonicTime
    ) async throws(RedisError) -> RedisValue {
        do throws(RedisError) {
            return try await run(EncodedCommand(name, arguments), deadline: deadline)
        } catch {
            guard error.reason == .server else { throw error }
            throw RedisError(.notSent, .setup, code: error.code, "\(what): \(error.message)")
        }
    }

    // MARK: - Commands

    /// Sends a command and waits for its reply; an error reply is thrown.
    ///
    /// - Parameter deadline: passed, the session is closed and the command fails `unknown`.
    func run(_ command: EncodedCommand, deadline: MonotonicTime) async throws(RedisError) -> RedisValue {
        let answer: Result<RedisValue, RedisError> = await withCheckedContinuation { continuation in
            let now = MonotonicTime.now
            // Looked at here, not before: other calls may have come in between.
            if let refusal = refusal(command, now, deadline) {
                return continuation.resume(returning: .failure(refusal))
            }
            guard let context, context.send(command) else {
                let error = RedisError(.notSent, .connectionLost, context?.failure ?? "the connection broke")
                return continuation.resume(returning: .failure(error))
            }
            queue.append(
                SentCommand(
                    byteCount: command.bytes.count, startedAt: now, deadline: deadline, continuation: continuation))
            meter.update { $0.inFlight += 1 }
            arm(deadline)
        }
        return try answer.get()
    }

    private func refusal(_ command: EncodedCommand, _ now: MonotonicTime, _ deadline: MonotonicTime) -> RedisError? {
        switch state {
        case .new: return RedisError(.notSent, .closed, "the session was never opened")
        case .closed(let error): return error.with(.notSent)
        case .opening, .open: break
        }
        guard now < deadline else { return RedisError(.notSent, .deadline, "the deadline has passed") }
        guard queue.count < options.commandsLimit,
            // One command of any size may go alone.
            queue.count == 0 || queue.byteCount + command.bytes.count <= options.commandBytesLimit
        else { return RedisError(.notSent, .overloaded, "too much is on its way to the server") }
        return nil
    }

    private func isReady(_ ready: Readiness) {
        guard let context else { return }
        context.drive(ready)
        for event in context.takeEvents() {
            switch event {
            case .connected: endConnecting(nil)
            case .reply(let value): answered(value)
            case .unreadable: lose(RedisError(.unknown, .decoding, "a reply is of no kind that was asked for"))
            }
            guard self.context === context else { return }
        }
        if let failure = context.failure {
            lose(RedisError(.unknown, connecting == nil ? .connectionLost : .connecting, failure))
        } else if ready.contains(.failed) {
            lose(RedisError(.unknown, .connectionLost, "the connection broke"))
        } else if isDemoted {
            lose(RedisError(.unknown, .connectionLost, "the server became a replica"))
        } else if context.bufferedByteCount > options.replyBytesLimit {
            lose(RedisError(.unknown, .decoding, "a reply has more than \(options.replyBytesLimit) bytes"))
        }
    }

    private func answered(_ value: RedisValue) {
        guard let command = queue.popFirst() else {
            // Before it hangs up on too many clients the server says so, unasked.
            if case .error(let error) = value {
                return lose(RedisError(.unknown, .connectionLost, code: error.code, error.message))
            }
            return lose(RedisError(.unknown, .decoding, "a reply came that nobody had asked for"))
        }
        let elapsed = command.startedAt.nanoseconds(until: .now)
        var refusal: RedisReplyError?
        if case .error(let error) = value { refusal = error }
        meter.update { figures in
            figures.inFlight -= 1
            figures.commands += 1
            if refusal != nil { figures.refusals += 1 }
            figures.observe(nanoseconds: elapsed)
        }
        guard let refusal else { return command.continuation.resume(returning: .success(value)) }
        if refusal.isFromReplica { isDemoted = true }
        let error = RedisError(.refusedByServer, .server, code: refusal.code, refusal.message)
        command.continuation.resume(returning: .failure(error))
    }

    // MARK: - Deadlines

    /// Makes sure that the timer fires by then.
    private func arm(_ deadline: MonotonicTime) {
        if let armedFor, armedFor <= deadline { return }
        guard let timer else { return }
        armedFor = deadline
        timer.schedule(afterNanoseconds: max(1, MonotonicTime.now.nanoseconds(until: deadline)))
    }

    private func timerFired() {
        guard let due = armedFor else { return }
        armedFor = nil
        let now = MonotonicTime.now
        if connecting != nil {
            if now < due { return arm(due) }
            return lose(RedisError(.unknown, .deadline, "the server did not answer in time"))
        }
        guard let earliest = queue.earliestDeadline else { return }
        if earliest <= now { return lose(RedisError(.unknown, .deadline, "no reply by the deadline")) }
        arm(earliest)
    }

    // MARK: - The end

    /// Closes at once, in any state, safe to repeat: commands in flight fail `unknown`.
    func close() { end(RedisError(.unknown, .closed, "this side closed the connection")) }

    /// The session is of no use any more.
    private func lose(_ error: RedisError) {
        let wasOpen = isOpen
        end(error)
        if wasOpen { onLost(error) }
    }

    private func end(_ error: RedisError) {
        if case .closed = state { return }
        state = .closed(error)
        context?.finish()
        context = nil
        timer?.close()
        timer = nil
        endConnecting(error.with(.notSent))
        let commands = queue.takeAll()
        guard !commands.isEmpty else { return }
        meter.update {
            $0.inFlight -= commands.count
            $0.unknownOutcomes += UInt64(commands.count)
        }
        for command in commands { command.continuation.resume(returning: .failure(error.with(.unknown))) }
    }
}
