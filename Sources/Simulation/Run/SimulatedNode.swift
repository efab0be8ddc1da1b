// One of the cluster's nodes over all its lives: the shipped `NodeServer` on a host that can crash, stand still, be
// stopped in good order and come back.

import Cluster
import Node
import Platform
import Postgres
import Protocol
import Redis

/// `@unchecked Sendable`: a world lives on one thread.
final class SimulatedNode: @unchecked Sendable {
    enum Phase { case down, starting, running, stopping }

    static let httpPort: UInt16 = 8080
    static let linkPort: UInt16 = 9000
    static let adminToken = "simulated-admin-token-0123456789"

    let scenario: Scenario
    let machine: Int
    private(set) var phase = Phase.down
    private(set) var host: Host?
    private var server: NodeServer?
    private var life: UInt64 = 0
    /// By the wall clock, of this life.
    private(set) var startedAt = Timestamp(milliseconds: 0)
    /// When it last crashed, or was declared dead.
    private(set) var crashedAt: UInt64?
    /// For how long it has stood still, in all its lives.
    var pausedNanoseconds: UInt64 { pausedBefore + (pausedSince.map { scenario.world.time - $0 } ?? 0) }
    private var pausedBefore: UInt64 = 0
    private var pausedSince: UInt64?

    init(_ scenario: Scenario, machine: Int) {
        self.scenario = scenario
        self.machine = machine
    }

    var name: String { "node-\(machine)" }
    var isServing: Bool { phase == .running && !(host?.isPaused ?? true) }
    var http: TCPAddress { TCPAddress(bytes: [10, 0, 0, UInt8(machine + 1)], port: Self.httpPort) }

    // MARK: - Life

    func start() {
        guard phase == .down else { return }
        life += 1
        let world = scenario.world
        let host = Host(world, scenario.network, machine: machine)
        self.host = host
        phase = .starting
        startedAt = world.wall
        let dice = Dice(seed: scenario.seed, use: 1_000 + UInt64(machine) * 100 + life)
        let beside = LoopGroup(count: 1, name: "beside", driver: host).loops[0]
        var surroundings = NodeSurroundings()
        surroundings.clock = host
        surroundings.random = dice
        surroundings.loopDriver = host
        surroundings.beside = beside
        surroundings.placement = TableStore(
            scenario.table, of: host, at: scenario.redis, on: beside, Dice(seed: dice.next(), use: 5))
        let life = life
        let log = Log(level: scenario.options.isVerbose ? .debug : .info, format: .text, clock: host) { [self] line in
            guard host.isAlive else { return }
            let text = String(decoding: line.dropLast(), as: UTF8.self)
            scenario.world.note("\(name): " + text)
            if text.contains("cluster.hand_over_differs") {
                scenario.checker.violation("\(name): what it was handed over is not what it read: \(text)")
            }
        }
        do {
            let server = try NodeServer(configuration(host), surroundings, log: log) { [self] in declaredDead(life) }
            self.server = server
            _ = Task(executorPreference: beside) {
                do { try await server.start() } catch { return self.failed(life, "\(error)") }
                self.started(life)
            }
        } catch {
            preconditionFailure("a node cannot be made: \(error)")
        }
    }

    private func configuration(_ host: Host) throws -> NodeConfiguration {
        var configuration = NodeConfiguration()
        configuration.http = http
        configuration.nodeName = name
        configuration.isOpenEverywhere = true
        configuration.adminToken = Array(Self.adminToken.utf8)
        configuration.database = PostgresConfiguration(server: scenario.database.server(for: host))
        configuration.loopCount = scenario.loopCount
        configuration.cluster = ClusterConfiguration(
            listen: TCPAddress(bytes: host.address, port: Self.linkPort),
            advertise: "\(http.host):\(Self.linkPort)", redis: try RedisConfiguration("redis://10.0.0.103:6379"),
            secret: Array("a secret that all simulated nodes share".utf8))
        return configuration
    }

    private func started(_ life: UInt64) {
        guard life == self.life, phase == .starting else { return }
        phase = .running
        scenario.world.note("\(name) is ready")
    }

    private func failed(_ life: UInt64, _ reason: String) {
        guard life == self.life, phase == .starting else { return }
        scenario.world.note("\(name) did not start: \(reason)")
        crash()
        restart(after: Span.seconds(1))
    }

    /// Others may own its slots: it ends, and its supervisor starts it again.
    private func declaredDead(_ life: UInt64) {
        guard life == self.life, phase != .down else { return }
        scenario.world.note("\(name) was declared dead")
        scenario.world.after(Span.milliseconds(1)) { [self] in
            guard life == self.life, phase != .down else { return }
            crash()
            restart(after: Span.milliseconds(500))
        }
    }

    func crash() {
        guard phase != .down, let host else { return }
        scenario.world.note("\(name) crashes")
        phase = .down
        endPause()
        crashedAt = scenario.world.time
        host.crash()
        self.host = nil
        server = nil
    }

    func restart(after nanoseconds: UInt64) {
        scenario.world.after(nanoseconds) { [self] in start() }
    }

    func pause() {
        guard phase == .running else { return }
        scenario.world.note("\(name) stands still")
        pausedSince = scenario.world.time
        host?.pause()
    }

    private func endPause() {
        pausedBefore = pausedNanoseconds
        pausedSince = nil
    }

    func resume() {
        guard let host, host.isPaused else { return }
        scenario.world.note("\(name) goes on")
        endPause()
        host.resume()
    }

    /// Stops in good order, and starts again after a while.
    func stop(restartingAfter nanoseconds: UInt64) {
        guard phase == .running, let server, let host else { return }
        scenario.world.note("\(name) stops")
        phase = .stopping
        let life = life
        let beside = LoopGroup(count: 1, name: "stopping", driver: host).loops[0]
        _ = Task(executorPreference: beside) {
            await server.stop()
            self.stopped(life, nanoseconds)
        }
    }

    private func stopped(_ life: UInt64, _ nanoseconds: UInt64) {
        guard life == self.life, phase == .stopping else { return }
        scenario.world.note("\(name) has stopped")
        phase = .down
        host?.crash()
        host = nil
        server = nil
        restart(after: nanoseconds)
    }
}
