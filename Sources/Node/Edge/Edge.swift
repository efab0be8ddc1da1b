// The edge of one loop: its connections and their subscriptions. Bytes come in from the sockets and leave as commands
// to the owners of campaigns; answers and events come back and leave as bytes.
//
//   socket ─► received ─► HTTP or WebSocket machine ─► commands ─┐ one batch per owner and turn
//                                                                ▼
//   socket ◄─ one gathered write per connection and turn ◄─ replies, events
//
// An edge decides nothing about campaigns. It knows tokens, limits and wire forms.

import Cluster
import Platform
import Protocol
import Web

actor Edge {
    nonisolated let index: UInt16
    nonisolated let loop: EventLoop
    nonisolated let inbox: Inbox<EdgeMessage>
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    let context: EdgeContext

    // Connections
    var connections: [Connection?] = []
    var generations: [UInt32] = []
    var freeIndexes: [UInt32] = []
    var connectionCount = 0
    var dirty: [Connection] = []
    var wheel: ConnectionWheel
    var seconds: UInt32

    // Subscriptions
    var topics: [CampaignID: Topic] = [:]
    var touchedTopics: [Topic] = []

    // Commands of this turn, by their lane
    var outboxes: [[OwnerMessage]]
    /// The slot of the last campaign that was routed; a hash is saved where commands come in runs.
    var lastSlot: (campaign: CampaignID, slot: Slot)?
    /// Commands in a row for one campaign, not in an outbox yet.
    var run: [Command] = []
    /// What waits for an owner.
    var parked: [OwnerMessage] = []
    /// Of everything that is parked.
    var parkedBytes = 0
    /// When the bytes at hand were read.
    var receivedAt: Timestamp

    // Reused buffers
    var scratch: [UInt8] = []
    var tails: [[UInt8]] = []
    let inflater = MessageInflater()
    /// The current `Date` header, made once a second.
    var date: [UInt8]

    var isDraining = false
    var drainRetryMilliseconds = 1000
    private var ticker: LoopTimer?
    private(set) var parkTimer: LoopTimer?
    private var pump: Task<Void, Never>?

    init(index: Int, loop: EventLoop, inbox: Inbox<EdgeMessage>, context: EdgeContext) {
        self.index = UInt16(index)
        self.loop = loop
        self.inbox = inbox
        self.context = context
        outboxes = Array(repeating: [], count: context.transport.laneCount)
        receivedAt = context.clock.now()
        seconds = UInt32(truncatingIfNeeded: context.clock.monotonic().nanoseconds / 1_000_000_000)
        wheel = ConnectionWheel(now: seconds)
        date = HTTPDate.format(unixSeconds: context.clock.now().milliseconds / 1000)
    }

    // MARK: - Life

    /// Starts the pump and the clock; call once.
    func start() {
        loop.onTurnEnd { [weak self] in
            self?.assumeIsolated { $0.turnEnded() }
        }
        let ticker = LoopTimer(on: loop) { [weak self] in
            self?.assumeIsolated { $0.tick() }
        }
        ticker.schedule(afterNanoseconds: 1_000_000_000, repeatingNanoseconds: 1_000_000_000)
        self.ticker = ticker
        parkTimer = LoopTimer(on: loop) { [weak self] in
            self?.assumeIsolated { $0.unpark() }
        }
        pump = Task(executorPreference: loop) { await self.run() }
    }

    /// Closes every connection and ends the pump.
    func stop() async {
        ticker?.close()
        parkTimer?.close()
        for connection in connections { connection?.stream.close() }
        inbox.finish()
        await pump?.value
    }

    private func run() async {
        var recycled: [EdgeMessage] = []
        while let batch = await inbox.next(recycling: recycled) {
            for message in batch { deliver(message) }
            flushTopics()
            recycled = batch
            recycled.removeAll(keepingCapacity: true)
        }
    }

    private func deliver(_ message: EdgeMessage) {
        switch message {
        case .event(let event): eventArrived(event)
        case .resync(let slot):
            resync(slot)
            unparkSoon()
        case .again(let message): park(message)
        case .admitted(let campaign, let ticket, let body):
            enqueue(Command(campaign: campaign, ticket: ticket, receivedAt: context.clock.now(), body: body))
        case .votes(let replies, let position): votesSettled(replies, position)
        case .reply(let ticket, let reply): replyArrived(ticket, reply)
        case .joined(let ticket, let joined): joinedArrived(ticket, joined)
        case .joinFailed(let ticket, let campaign, let error): joinFailed(ticket, campaign, error)
        }
    }

    /// The end of a loop's turn: commands leave in one batch per shard, bytes in one write per connection.
    func turnEnded() {
        closeRun()
        for lane in outboxes.indices where !outboxes[lane].isEmpty {
            if !context.transport.send(&outboxes[lane], lane: lane, from: index) { refuseOverload(lane) }
        }
        guard !dirty.isEmpty else { return }
        let batch = dirty
        dirty.removeAll(keepingCapacity: true)
        for connection in batch {
            connection.isDirty = false
            flush(connection)
        }
    }

    /// The lane is full: nothing of the batch was taken, and each sender is told.
    private func refuseOverload(_ lane: Int) {
        let refused = outboxes[lane]
        outboxes[lane].removeAll(keepingCapacity: true)
        let error = ClientError(.overloaded, "too many commands are waiting", retryAfterMilliseconds: 1000)
        context.metrics.overloads.add(UInt64(refused.count))
        for message in refused {
            switch message {
            case .commands(let campaign, let commands):
                for command in commands {
                    guard case .leave = command.body else { refuse(command, error); continue }
                    outboxes[lane].append(.commands(campaign, [command]))  // said again later
                }
            case .create(let creation): replyArrived(creation.ticket, .failure(error))
            }
        }
    }

    /// Answers a command that was not sent.
    func refuse(_ command: Command, _ error: ClientError) {
        switch command.body {
        case .subscribe: joinFailed(command.ticket, command.campaign, error)
        case .leave: break  // nobody is there to be left
        case .vote, .manage, .verify: replyArrived(command.ticket, .failure(error))
        }
    }

    // MARK: - Connections

    /// Takes over an accepted socket.
    func accept(_ stream: TCPStream) {
        guard connectionCount < context.connectionLimit else {
            context.metrics.connectionsRefused.increment()
            stream.close()
            return
        }
        let index: UInt32
        if let free = freeIndexes.popLast() {
            index = free
        } else {
            index = UInt32(connections.count)
            connections.append(nil)
            generations.append(0)
        }
        generations[Int(index)] &+= 1
        let connection = Connection(
            stream: stream, index: index, generation: generations[Int(index)], now: seconds,
            limits: context.httpLimits)
        connection.isLate = isDraining
        connections[Int(index)] = connection
        connectionCount += 1
        context.metrics.connections.add(1)
        stream.token = Int(index)
        stream.handler = self
        setDeadline(connection, .head, after: EdgeTimeouts.headSeconds)
        stream.startReading()
    }

    func connection(_ ticket: ReplyTicket) -> Connection? {
        let place = Int(ticket.connection)
        guard place < connections.count, let connection = connections[place],
            connection.generation == ticket.generation
        else { return nil }
        return connection
    }

    func ticket(_ connection: Connection, _ request: RequestID? = nil, item: Int = 0) -> ReplyTicket {
        let ticket = ReplyTicket(
            edge: index, item: UInt16(item), connection: connection.index, generation: connection.generation,
            request: request)
        return connection.phase == .http ? ticket.with(httpRequest: connection.exchange?.requestID) : ticket
    }

    func received(_ token: Int, _ bytes: UnsafeMutableRawBufferPointer) {
        guard let connection = connections[token] else { return }
        connection.lastHeard = seconds
        receivedAt = context.clock.now()
        switch connection.phase {
        case .http: unsafe receivedHTTP(connection, bytes)
        case .webSocket: unsafe receivedWebSocket(connection, bytes)
        case .eventStream, .closing: break  // nothing more is expected; the bytes are dropped
        }
    }

    /// The client sends nothing more. An HTTP client that has shut its side down still reads the answer that it waits
    /// for; everybody else is gone.
    func peerFinished(_ token: Int) {
        guard let connection = connections[token] else { return }
        let isOwed = connection.exchange != nil || connection.stream.isBlocked || !connection.tail.isEmpty
        guard connection.phase == .http || connection.phase == .closing, isOwed else {
            return connection.stream.closeAfterEnd()
        }
        connection.hasPeerFinished = true
        if connection.unread.isEmpty { connection.exchange?.keepAlive = false }
        if connection.exchange == nil, connection.phase == .http { closeAfterWriting(connection) }
    }

    func closed(_ token: Int) {
        guard let connection = connections[token] else { return }
        connections[token] = nil
        freeIndexes.append(UInt32(token))
        connectionCount -= 1
        context.metrics.connections.add(-1)
        if connection.phase == .webSocket || connection.webSocket != nil { context.metrics.webSockets.add(-1) }
        unsubscribeAll(connection)
    }

    // MARK: - Writing

    /// Appends bytes that this turn's write will carry.
    func append(_ connection: Connection, _ body: (inout [UInt8]) -> Void) {
        if connection.tail.capacity == 0, let buffer = tails.popLast() { connection.tail = buffer }
        body(&connection.tail)
        markDirty(connection)
    }

    func markDirty(_ connection: Connection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        dirty.append(connection)
    }

    /// Writes the turn's bytes, or lets them wait in the lane where the socket takes nothing.
    func flush(_ connection: Connection) {
        guard !connection.tail.isEmpty else { return finishIfDrained(connection) }
        if connection.stream.isBlocked {
            let bytes = SharedBytes(connection.tail)
            releaseTail(connection)
            if !connection.lane.push(bytes) { cutSlowConsumer(connection) }
            return
        }
        unsafe connection.tail.withUnsafeBytes { unsafe connection.stream.write($0) }
        releaseTail(connection)
        noteBlocked(connection)
        finishIfDrained(connection)
    }

    func releaseTail(_ connection: Connection) {
        var buffer: [UInt8] = []
        swap(&buffer, &connection.tail)
        // An idle connection owns no buffer; a few are kept for the next turn.
        guard buffer.capacity <= EdgeBuffers.keptBytesLimit, tails.count < EdgeBuffers.keptCountLimit else { return }
        buffer.removeAll(keepingCapacity: true)
        tails.append(buffer)
    }

    /// Backpressure: what a peer does not read, it may not ask for more of.
    func noteBlocked(_ connection: Connection) {
        guard connection.stream.isBlocked, !connection.isReadingPaused else { return }
        connection.isReadingPaused = true
        connection.stream.stopReading()
    }

    func drained(_ token: Int) {
        guard let connection = connections[token] else { return }
        if !connection.lane.isEmpty {
            connection.stream.write(connection.lane.drain())
        }
        guard !connection.stream.isBlocked else { return }
        finishIfDrained(connection)
        resumeReading(connection)
    }

    func resumeReading(_ connection: Connection) {
        guard !connection.isLeaving else { return sayGoodbyeIfAnswered(connection) }
        guard connection.isReadingPaused, !connection.stream.isBlocked, connection.phase != .closing,
            connection.outstanding < EdgeBuffers.outstandingLimit
        else { return }
        connection.isReadingPaused = false
        connection.stream.startReading()
    }

    private func finishIfDrained(_ connection: Connection) {
        guard connection.closesWhenDrained, !connection.stream.isBlocked, connection.lane.isEmpty else { return }
        connection.stream.finishWriting()
    }

    /// Lets queued bytes leave, then closes; a peer that takes nothing is cut when the time is over.
    func closeAfterWriting(_ connection: Connection) {
        connection.phase = .closing
        connection.closesWhenDrained = true
        setDeadline(connection, .closing, after: EdgeTimeouts.closingSeconds)
        markDirty(connection)
    }

    // MARK: - Deadlines

    func setDeadline(_ connection: Connection, _ meaning: Connection.DeadlineMeaning, after delay: UInt32) {
        connection.deadlineMeaning = meaning
        connection.deadline = seconds &+ delay
        // A later deadline waits for the old place in the wheel to come round; only an earlier one is filed anew.
        if let filed = connection.filedUnder, filed <= connection.deadline { return }
        file(connection)
    }

    private func file(_ connection: Connection) {
        connection.filedUnder = wheel.schedule(
            .init(connection: connection.index, generation: connection.generation), at: connection.deadline)
    }

    private func tick() {
        seconds = UInt32(truncatingIfNeeded: context.clock.monotonic().nanoseconds / 1_000_000_000)
        date = HTTPDate.format(unixSeconds: context.clock.now().milliseconds / 1000)
        var due: [ConnectionWheel.Entry] = []
        wheel.advance(to: seconds) { due.append($0) }
        for entry in due {
            guard let connection = connections[Int(entry.connection)], connection.generation == entry.generation,
                connection.filedUnder == entry.second
            else { continue }
            connection.filedUnder = nil
            if connection.deadline > seconds { file(connection) } else { deadlinePassed(connection) }
        }
        turnEnded()
    }
}
