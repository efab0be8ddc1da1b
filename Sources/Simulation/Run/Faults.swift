// What goes wrong in a run: chosen by the seed, over before the last polls end.

/// A fault, and for how long.
enum Fault {
    case crash(node: Int)
    case standStill(node: Int)
    case stop(node: Int)
    case cutPeers(Int, Int, isOneWay: Bool)
    case cutDatabase(node: Int, isOneWay: Bool)
    case cutRedis(node: Int)
    case resetLinks(Int, Int)
    case emptyTable
    case putBackTable
    case slowCommits(nanoseconds: UInt64)
    /// A node crashes while its flushes are stuck in the database: they may commit long after.
    case crashInFlush(node: Int)
    case databaseAway
    case endSessions
    /// A node and its peers do not reach each other; the stores and clients reach all of them.
    case isolate(node: Int)
    /// The operator drains a node, and takes it back.
    case drain(node: Int)
    /// The operator pins a campaign to a node, and sets it free.
    case pin(node: Int)
}

struct PlannedFault {
    let at: UInt64
    let duration: UInt64
    let fault: Fault
}

struct FaultPlan {
    let faults: [PlannedFault]
    /// One node crashes and nothing else happens: its slots are served again within four seconds of it.
    let isSingleCrash: Bool

    /// Moments count from the start of the world's clock.
    init(seed: UInt64, nodeCount: Int) {
        let dice = Dice(seed: seed, use: 6)
        isSingleCrash = seed % 4 == 0
        func moment() -> UInt64 { Span.seconds(7) + dice.within(0...Span.seconds(8)) }
        if isSingleCrash {
            faults = [
                PlannedFault(at: moment(), duration: Span.seconds(7), fault: .crash(node: dice.below(nodeCount)))
            ]
            return
        }
        faults = (0..<1 + dice.below(4)).map { _ in
            let (at, fault) = (moment(), Self.fault(dice, nodeCount))
            var longest = Span.seconds(6)
            // Until a node counts as cut off, and gives its slots away.
            if case .isolate = fault { longest = Span.seconds(9) }
            return PlannedFault(at: at, duration: dice.within(Span.milliseconds(200)...longest), fault: fault)
        }
    }

    private static func fault(_ dice: Dice, _ nodeCount: Int) -> Fault {
        let node = dice.below(nodeCount)
        let other = (node + 1 + dice.below(nodeCount - 1)) % nodeCount
        switch dice.below(22) {
        case 0...2: return .crash(node: node)
        case 16...17: return .crashInFlush(node: node)
        case 3...4: return .standStill(node: node)
        case 5: return .stop(node: node)
        case 6...7: return .cutPeers(node, other, isOneWay: dice.chance(50))
        case 8...9: return .cutDatabase(node: node, isOneWay: dice.chance(50))
        case 10: return .cutRedis(node: node)
        case 11: return .resetLinks(node, other)
        case 12: return dice.chance(50) ? .emptyTable : .putBackTable
        case 13: return .slowCommits(nanoseconds: dice.within(Span.milliseconds(100)...Span.seconds(5)))
        case 14: return .databaseAway
        case 18...19: return .isolate(node: node)
        case 20: return .drain(node: node)
        case 21: return .pin(node: node)
        default: return .endSessions
        }
    }
}

extension Scenario {
    func begin(_ planned: PlannedFault) {
        world.note("fault: \(planned.fault) for \(planned.duration / 1_000_000) ms")
        world.note(.fault, planned.at)
        let duration = planned.duration
        switch planned.fault {
        case .crash(let node):
            nodes[node].crash()
            nodes[node].restart(after: duration)
            quiet(from: world.time)
        case .standStill(let node):
            nodes[node].pause()
            later(duration) { [self] in nodes[node].resume() }
        case .stop(let node): nodes[node].stop(restartingAfter: duration / 4)
        case .cutPeers(let a, let b, let isOneWay): cut(a, b, isOneWay, duration)
        case .cutDatabase(let node, let isOneWay): cut(node, Host.database, isOneWay, duration)
        case .cutRedis(let node): cut(node, Host.redis, false, duration)
        case .resetLinks(let a, let b): network.reset([a, b])
        case .emptyTable: table.empty()
        case .putBackTable: table.putBack(Dice(seed: seed, use: 8))
        case .slowCommits(let nanoseconds):
            database.slowDown(nanoseconds, for: duration)
            quiet(from: world.time + duration + nanoseconds)
        case .crashInFlush(let node):
            database.slowDown(flushesOf: node, Span.seconds(8), for: Span.seconds(1))
            world.after(Span.milliseconds(300)) { [self] in
                nodes[node].crash()
                nodes[node].restart(after: duration)
            }
            quiet(from: world.time + Span.seconds(10))
        case .databaseAway:
            database.goAway()
            later(duration) { [self] in database.comeBack() }
        case .endSessions: database.endSome()
        case .isolate(let node): for peer in nodes.indices where peer != node { cut(node, peer, false, duration) }
        case .drain(let node): wish("nodes/node-\(node)/drain", for: duration)
        case .pin(let node):
            guard let campaign = campaigns.last else { return }
            wish("placement/pins/\(campaign)", body: #"{"node":"node-\#(node)"}"#, for: duration)
        }
    }

    /// The operator wishes something of any node, and takes it back after a while; either may fail, as nodes do.
    private func wish(_ path: String, body: String = "", for duration: UInt64) {
        ask("POST", path, body)
        later(duration) { [self] in ask("DELETE", path, "") }
    }

    private func ask(_ method: String, _ path: String, _ body: String) {
        guard let node = nodes.first(where: \.isServing) else { return }
        var headers = ["Authorization: Bearer \(SimulatedNode.adminToken)"]
        if body.isEmpty { headers.append("Content-Length: 0") }
        HTTPCall(method, "/admin/" + path, body: body, headers: headers, at: node.http, from: clients) {
            [self] answer in
            world.note("the operator's \(method) \(path) is answered \(answer.status)")
            // Nobody answers, it is so already or cannot be, the database does not answer.
            guard ![0, 200, 404, 409, 503, 504].contains(answer.status) else { return }
            checker.violation("\(method) \(path) is answered \(answer.status): \(answer.body)")
        }
    }

    private func cut(_ from: Int, _ to: Int, _ isOneWay: Bool, _ duration: UInt64) {
        let ways = [Network.Way(from: from, to: to)] + (isOneWay ? [] : [Network.Way(from: to, to: from)])
        network.cut(ways)
        later(duration) { [self] in network.heal(ways) }
    }

    private func later(_ duration: UInt64, _ body: @escaping @Sendable () -> Void) {
        quiet(from: world.time + duration)
        world.after(duration, body)
    }
}
