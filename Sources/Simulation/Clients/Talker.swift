// A client that stays connected: to one node after another, each request with its one outcome.

import Platform
import Protocol

/// What became of a request.
enum Outcome {
    case ack(VoteStatus?, Position)
    case refused(ClientError)
    /// The connection went: nobody knows.
    case lost
}

/// `@unchecked Sendable`: a world lives on one thread.
final class Talker: @unchecked Sendable {
    /// Until when a request must be answered: the five seconds of the road, and as much again for a commit that does not
    /// come; then the answer's own way.
    static let patience = Span.milliseconds(10_500)

    let scenario: Scenario
    let dice: Dice
    let name: String
    private var client: WebSocketClient?
    private(set) var node: SimulatedNode?
    private var lastID: Int64 = 0
    private var pending: [Int64: (Outcome) -> Void] = [:]
    private var isOver = false
    /// Tells that a connection is there.
    var onOpen: () -> Void = {}
    /// Takes what answers no request of its own.
    var onMessage: (ServerMessage) -> Void = { _ in }
    /// The only node to connect to, where it matters.
    var wanted: SimulatedNode?

    init(_ scenario: Scenario, _ name: String) {
        self.scenario = scenario
        self.name = name
        dice = Dice(seed: scenario.seed, use: Checksum.of(Array(name.utf8)))
    }

    var isOpen: Bool { client != nil }

    func start() { connect() }

    func stop() {
        isOver = true
        client?.close()
    }

    /// Hangs up, and connects again.
    func hangUp() { client?.close() }

    private func connectLater() {
        scenario.world.after(dice.within(Span.milliseconds(20)...Span.milliseconds(400))) { [self] in connect() }
    }

    private func connect() {
        guard !isOver, client == nil else { return }
        let serving = scenario.nodes.filter { $0.isServing && (wanted == nil || wanted === $0) }
        guard !serving.isEmpty else { return connectLater() }
        let node = dice.pick(serving)
        scenario.network.connect(from: scenario.clients, to: node.http, on: nil) { [self] outcome in
            switch outcome {
            case .failure: connectLater()
            case .success(let side):
                guard !isOver, client == nil else { return side.close() }
                self.node = node
                client = WebSocketClient(
                    side, host: "\(node.http)", dice, onOpen: { [self] in onOpen() },
                    onMessage: { [self] in take($0) }, onClosed: { [self] in closed() })
            }
        }
    }

    private func closed() {
        client = nil
        node = nil
        let lost = pending.sorted { $0.key < $1.key }
        pending = [:]
        for (_, completion) in lost { completion(.lost) }
        if !isOver { connectLater() }
    }

    /// Sends what needs no outcome of its own.
    func send(_ message: ClientMessage) { client?.send(message) }

    /// Sends a request; without a connection it is lost at once.
    func request(_ completion: @escaping (Outcome) -> Void, _ message: (RequestID) -> ClientMessage) {
        guard let client, let node else { return completion(.lost) }
        lastID += 1
        let id = lastID
        pending[id] = completion
        client.send(message(.integer(id)))
        watch(id, client, node, pausedBefore: node.pausedNanoseconds, after: Self.patience)
    }

    private func watch(
        _ id: Int64, _ client: WebSocketClient, _ node: SimulatedNode, pausedBefore: UInt64, after nanoseconds: UInt64
    ) {
        scenario.world.after(nanoseconds) { [self] in
            guard self.client === client, pending[id] != nil else { return }
            // A node that stood still answers nobody meanwhile.
            let paused = node.pausedNanoseconds
            guard paused == pausedBefore else {
                return watch(id, client, node, pausedBefore: paused, after: paused - pausedBefore)
            }
            scenario.checker.violation("\(name): request \(id) to \(node.name) was not answered in time")
        }
    }

    private func take(_ message: ServerMessage) {
        switch message {
        case .ack(.integer(let id)?, let status, let position): end(id, .ack(status, position))
        case .error(.integer(let id)?, nil, let error): end(id, .refused(error))
        default: onMessage(message)
        }
    }

    private func end(_ id: Int64, _ outcome: Outcome) {
        guard let completion = pending.removeValue(forKey: id) else {
            return scenario.checker.violation("\(name): a second answer to request \(id)")
        }
        completion(outcome)
    }
}
