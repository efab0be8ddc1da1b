// What a node has beside the parts of a node alone: links on every loop, edges that stand for those of other nodes, and
// membership. Started after the loops and the edges, before the first slot; ended before the shards.

import Cluster
import Journal
import Platform
import Protocol

struct ClusterRuntime: Sendable {
    /// How long a node that leaves gives its slots away.
    static let drainNanoseconds: UInt64 = 20_000_000_000

    let configuration: ClusterConfiguration
    let linkLoops: [LinkLoop]
    let hosts: [LinkHost]
    let remoteEdges: [RemoteEdge]
    private let tellers: [PresenceTeller]
    let membership: Membership
    let board: PlacementBoard
    /// Which nodes the links lead to.
    let routes: LinkRoutes

    /// - Parameters:
    ///   - inboxes: of the remote edges, which the transport knows behind those of this node's own.
    ///   - questions: of peers about this node.
    ///   - onDrain: told whether the operator wishes that this node takes no slots.
    ///   - onIsolation: told in each round whether the node is cut off from its peers.
    init(
        _ configuration: ClusterConfiguration, identity: Cluster.NodeIdentity, loops: [EventLoop],
        inboxes: [Inbox<EdgeMessage>], directory: ClusterDirectory, peers: PeerLanes, transport: any Transport,
        parts: (
            journal: PostgresJournal, edges: [Inbox<EdgeMessage>], shards: [Shard], shardInboxes: [Inbox<ShardMessage>],
            subscribers: SubscriberBoard, surroundings: NodeSurroundings, log: Log
        ), questions: Inbox<PeerCall>, onDrain: @escaping @Sendable (Bool) -> Void,
        onIsolation: @escaping @Sendable (Bool) -> Void
    ) {
        self.configuration = configuration
        let (clock, random) = (parts.surroundings.clock, parts.surroundings.random)
        let store =
            parts.surroundings.placement
            ?? RedisPlacementStore(configuration.redis, key: configuration.placementKey, on: loops[0], random: random)
        let board = PlacementBoard(store, on: loops[0], log: parts.log)
        self.board = board
        let sightings = Inbox<UInt64>(limit: 1024)
        let offers = Inbox<PeerCall>(limit: 1024)
        let handOvers = Inbox<PeerCall>(limit: 1024)
        let onCall: @Sendable (RoadCodec.Form, PeerCall) -> Void = { form, call in
            let isTaken =
                switch form {
                case .offer: offers.post(call)
                case .status, .campaignStatus: questions.post(call)
                case .handOver, .commands, .creation: handOvers.post(call)
                }
            if !isTaken { call.refuse("too many questions wait here") }
        }
        let onNewerTable: @Sendable (UInt64) -> Void = { sightings.post($0) }
        var links = LinkConfiguration(
            identity: identity, key: LinkKey(clusterSecret: configuration.secret), random: random,
            clock: clock, log: parts.log, tableVersion: { [known = board.known] in known.now })
        links.versions = parts.surroundings.linkVersions
        routes = links.routes
        let router = Router(directory: directory, loopCount: loops.count)
        let linkLoops = loops.map { LinkLoop(on: $0, configuration: links) }
        let remoteEdges = loops.indices.map {
            RemoteEdge(
                index: UInt16(loops.count + $0), loop: loops[$0], inbox: inboxes[$0], router: router,
                transport: transport, subscribers: parts.subscribers, clock: clock,
                hints: OwnerHints(directory: directory, peers: peers), log: parts.log, onNewerTable: onNewerTable,
                onCall: onCall)
        }
        tellers = loops.indices.map {
            PresenceTeller($0, loop: loops[$0], board: parts.subscribers, peers: peers)
        }
        self.linkLoops = linkLoops
        self.remoteEdges = remoteEdges
        hosts = loops.indices.map { LinkHost(shared: linkLoops[$0], service: remoteEdges[$0]) }
        membership = Membership(
            Membership.Parts(
                identity: identity, journal: parts.journal, directory: directory, peers: peers, linkLoops: linkLoops,
                edges: parts.edges, shards: parts.shards, shardInboxes: parts.shardInboxes,
                opener: SlotOpener(
                    journal: parts.journal, shards: parts.shardInboxes, clock: clock, log: parts.log),
                board: board, sightings: sightings, offers: offers, handOvers: handOvers,
                workers: parts.surroundings.beside, routes: links.routes, onIsolation: onIsolation,
                clock: clock, log: parts.log, onDrain: onDrain), loop: loops[0])
    }

    /// Starts the links; slots come with `membership.start`.
    func start() async {
        await board.start()
        for index in linkLoops.indices {
            await linkLoops[index].start()
            await remoteEdges[index].start(hosts[index])
            await hosts[index].start()
            await tellers[index].start()
        }
    }

    /// Accepts links; made on the first loop.
    func listen(_ loops: [EventLoop]) throws(SystemError) -> TCPListener {
        let hosts = hosts
        return try TCPListener(configuration.listen, options: TCPListenerOptions(), loops: loops) { loop, stream in
            let host = hosts[loop.index]
            host.assumeIsolated { $0.accept(stream) }
        }
    }

    /// Ends everything, after the edges of this node have ended.
    func stop() async {
        for teller in tellers { await teller.stop() }
        await membership.stop()
        for host in hosts { await host.stop() }
        for edge in remoteEdges { await edge.stop() }
        for loop in linkLoops { await loop.stop() }
        await board.close()
    }
}
