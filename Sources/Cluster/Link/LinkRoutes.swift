// Which nodes this one reaches, and where: noted by every link as it opens, falls silent and closes, asked by links that
// look for a way around a broken path, by hosts that are such a way, and by whoever judges whether this node is cut off.

import Platform

/// The open ways to other nodes, over all links of this one. A node that has fallen silent is not reached.
public final class LinkRoutes: Sendable {
    /// A node that this one reaches without help.
    struct Relay: Hashable, Sendable {
        let incarnation: UInt128
        let address: TCPAddress
    }

    private struct Ways: Sendable {
        /// Links that lead there, by way of another node too.
        var links = 0
        /// Where it was reached without help; the newest last.
        var direct: [TCPAddress] = []
    }

    private let ways = Locked<[UInt128: Ways]>([:])

    /// Knows of nobody.
    public init() {}

    /// The incarnations that are reached, relays included.
    public var reached: Set<UInt128> { ways.withLock { Set($0.keys) } }

    /// A link leads to a node.
    ///
    /// - Parameter address: `nil` where it leads through another node.
    func opened(_ incarnation: UInt128, at address: TCPAddress?) {
        ways.withLock { ways in
            ways[incarnation, default: Ways()].links += 1
            if let address { ways[incarnation, default: Ways()].direct.append(address) }
        }
    }

    /// A link of which `opened` told leads there no more.
    func closed(_ incarnation: UInt128, at address: TCPAddress?) {
        ways.withLock { ways in
            guard var left = ways[incarnation] else { return }
            left.links -= 1
            if let address, let place = left.direct.firstIndex(of: address) { left.direct.remove(at: place) }
            ways[incarnation] = left.links > 0 ? left : nil
        }
    }

    /// Where a node is reached without help.
    func address(of incarnation: UInt128) -> TCPAddress? { ways.withLock { $0[incarnation]?.direct.last } }

    /// Nodes that may lead to `target`, in an order that does not change while they do not.
    func relays(to target: UInt128) -> [Relay] {
        let found = ways.withLock { ways in
            ways.compactMap { incarnation, ways in
                ways.direct.last.map { Relay(incarnation: incarnation, address: $0) }
            }
        }
        return found.filter { $0.incarnation != target }.sorted { $0.incarnation < $1.incarnation }
    }
}
