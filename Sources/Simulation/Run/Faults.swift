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
            PlannedFault(
                at: moment(), duration: dice.within(Span.milliseconds(200)...Span.seconds(6)),
                fault: Self.fault(dice, nodeCount))
        }
    }

    private static func fault(_ dice: Dice, _ nodeCount: Int) -> Fault {
        let node = dice.below(nodeCount)
        let other = (node + 1 + dice.below(nodeCount - 1)) % nodeCount
        switch dice.below(18) {
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
