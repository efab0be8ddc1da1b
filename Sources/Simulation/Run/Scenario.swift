// One run: three nodes, people who vote, follow and speak on all of them, what goes wrong, and the audit at the end.
//
//   0 s ── nodes start ── 4 s ── campaigns, polls, votes ── 7 to 21 s ── faults ── 30 s ── polls over ── audit

import Cluster
import Node
import Platform
import Protocol

/// How a run is made.
struct ScenarioOptions: Sendable {
    var nodeCount = 3
    var campaigns = 5
    var voters = 14
    var followers = 7
    var plant: Plant?
    var isVerbose = false
}

/// What came of a run.
public struct SimulationReport: Sendable {
    /// The seed.
    public let seed: UInt64
    /// A hash of everything that happened, in its order.
    public let trace: UInt64
    /// What was found wrong, with the moment in seconds; empty where nothing was.
    public let violations: [String]
    /// Turns of loops.
    public let turns: UInt64
    /// Votes that were confirmed to their voters.
    public let ackedVotes: Int
    /// Rows that were committed.
    public let rows: Int
    /// Changes of a slot's owner.
    public let changesOfHands: Int
    /// How long after the last fault every campaign was served on every node, in nanoseconds.
    public let servedAfter: UInt64?
}

/// `@unchecked Sendable`: a world lives on one thread.
final class Scenario: @unchecked Sendable {
    static let peopleComeAt = Span.seconds(4)
    static let auditAt = Span.seconds(32)

    let seed: UInt64
    let options: ScenarioOptions
    let world: World
    let network: Network
    let database: Database
    let redis: Host
    let clients: Host
    let table = TableState()
    let loopCount: Int
    private let plan: FaultPlan
    private(set) var nodes: [SimulatedNode] = []
    private(set) var campaigns: [CampaignID] = []
    private var directors: [Director] = []
    private var voters: [Voter] = []
    private var followers: [Follower] = []
    private var audit: Audit?
    private(set) var isOver = false
    /// From when on nothing goes wrong any more.
    private(set) var quietAt = Span.seconds(1)
    private lazy var madeChecker = Checker(self)

    init(seed: UInt64, _ options: ScenarioOptions) {
        self.seed = seed
        self.options = options
        world = World(seed: seed)
        network = Network(world, seed: seed)
        database = Database(world, network, seed: seed, plant: options.plant)
        redis = Host(world, network, machine: Host.redis)
        clients = Host(world, network, machine: Host.clients)
        loopCount = 1 + Int(seed % 2)
        plan = FaultPlan(seed: seed, nodeCount: options.nodeCount)
        nodes = (0..<options.nodeCount).map { SimulatedNode(self, machine: $0) }
        database.watcher = madeChecker
        if options.isVerbose { world.onLine = { print($0) } }
    }

    var checker: Checker { madeChecker }
    var plant: Plant? { options.plant }
    /// Polls that begin later would not end in time.
    var lastLaunchAt: UInt64 { Span.seconds(1) + Self.auditAt - Span.seconds(18) }

    func created(_ campaign: CampaignID) { campaigns.append(campaign) }

    func quiet(from moment: UInt64) { quietAt = max(quietAt, moment) }

    func run() -> SimulationReport {
        let dice = Dice(seed: seed, use: 7)
        for node in nodes { world.after(dice.within(0...Span.milliseconds(400))) { node.start() } }
        world.after(Self.peopleComeAt) { [self] in comeIn() }
        for fault in plan.faults { world.after(fault.at) { [self] in begin(fault) } }
        plantTimer()
        let lastFault = plan.faults.map { $0.at + $0.duration }.max() ?? 0
        world.after(plan.isSingleCrash ? plan.faults[0].at : max(lastFault, Self.peopleComeAt)) { [self] in probe() }
        world.after(Self.auditAt) { [self] in leave() }
        world.run(until: { isOver || checker.violations.count >= 20 })
        return SimulationReport(
            seed: seed, trace: world.trace.hash, violations: checker.violations, turns: world.turns,
            ackedVotes: checker.ackedVotes, rows: checker.committedRows, changesOfHands: checker.changesOfHands,
            servedAfter: probes?.servedAfter)
    }

    // MARK: - People

    private func comeIn() {
        directors = (0..<options.campaigns).map { Director(self, $0) }
        voters = (0..<options.voters).map { Voter(self, $0) }
        for director in directors { director.start() }
        for voter in voters { voter.start() }
        followLater(0)
    }

    /// Followers come once there is something to follow.
    private func followLater(_ number: Int) {
        guard number < options.followers else { return }
        guard !campaigns.isEmpty else { return world.after(Span.milliseconds(100)) { [self] in followLater(number) } }
        let dice = Dice(seed: seed, use: 2_000 + UInt64(number))
        let chosen = Set((0..<2).map { _ in dice.pick(campaigns) }).sorted()
        let follower = Follower(self, number, chosen)
        followers.append(follower)
        follower.start()
        world.after(dice.within(Span.milliseconds(50)...Span.milliseconds(700))) { [self] in followLater(number + 1) }
    }

    // MARK: - Served again

    private var probes: Probes?

    private func probe() {
        // What else went wrong since, such as a process that found itself declared dead.
        let probes = Probes(self)
        self.probes = probes
        probes.start()
    }

    // MARK: - The end

    private func leave() {
        probes?.conclude()
        for voter in voters { voter.stop() }
        for director in directors { director.stop() }
        for follower in followers { checker.check(follower) }
        for follower in followers { follower.stop() }
        let audit = Audit(self) { [self] in isOver = true }
        self.audit = audit
        audit.start()
    }

    // MARK: - The planted timer

    private func plantTimer() {
        guard plant == .lostTimer else { return }
        database.onCession = { [self] target, slots in
            guard world.time > Self.peopleComeAt, slots.contains(where: { !database.tables.journal[Int($0)].isEmpty }),
                let name = database.tables.node(target).map({ database.tables.nodes[$0].name }),
                let host = nodes.first(where: { $0.name == name })?.host
            else { return }
            host.loseNextCampaignTimer(of: loopCount)
        }
    }
}
