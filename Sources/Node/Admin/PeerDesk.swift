// Answers what other nodes ask this one about itself, off the loops: how much it has, what is on its way, what it knows
// of a campaign. It asks nobody in turn, so that two nodes that ask each other never wait for one another.
//
//   [link] ─► remote edge ─► questions ─► desk ─► shards, subscribers, membership
//   [link] ◄─ remote edge ◄──────────────┘ an answer

import Cluster
import Platform
import Protocol

/// What a node knows of itself without asking anybody.
struct NodeInspector: Sendable {
    let shards: [Shard]
    let subscribers: SubscriberBoard
    let metrics: NodeMetrics
    /// `nil` for a node alone.
    let cluster: ClusterRuntime?

    func status() async -> PeerStatus {
        let steps = await cluster?.membership.steps ?? [:]
        var served = SlotSet()
        for shard in shards { for slot in await shard.served { served.insert(slot) } }
        return PeerStatus(
            campaigns: UInt64(max(0, metrics.campaigns.value)), connections: UInt64(max(0, metrics.connections.value)),
            tableVersion: cluster?.board.known.now ?? 0, served: served, steps: steps)
    }

    func campaign(_ campaign: CampaignID) async -> PeerCampaign {
        let look = await shards[shardOf: Slot(of: campaign)].look(at: campaign)
        return PeerCampaign(clients: UInt64(subscribers.clients(of: campaign)), look: look)
    }
}

actor PeerDesk {
    /// Questions that may wait.
    static let questionsLimit = 256

    private let questions: Inbox<PeerCall>
    private let inspector: NodeInspector
    private let clock: any Clock
    private let beside: (any TaskExecutor)?
    private var pump: Task<Void, Never>?

    init(questions: Inbox<PeerCall>, inspector: NodeInspector, clock: any Clock, beside: (any TaskExecutor)?) {
        self.questions = questions
        self.clock = clock
        self.inspector = inspector
        self.beside = beside
    }

    /// Starts to answer; call once.
    func start() { pump = Task(executorPreference: beside) { await self.run() } }

    /// Ends once the questions at hand are answered; before the links end.
    func stop() async {
        questions.finish()
        await pump?.value
    }

    private func run() async {
        while let batch = await questions.next(recycling: []) {
            for call in batch where !call.isRefusedAsLate(at: clock.monotonic().nanoseconds) {
                var body: [UInt8] = []
                switch try? RoadCodec.question(call.body.span) {
                case .status: RoadCodec.append(await inspector.status(), to: &body)
                case .campaign(let campaign): RoadCodec.append(await inspector.campaign(campaign), to: &body)
                case nil:
                    call.refuse("the question cannot be read")
                    continue
                }
                call.answer(body)
            }
        }
    }
}
