// Which connection of a pool does what. Pure values: the pool acts on them.

/// What a connection is wanted for.
public enum PostgresRole: Hashable, Sendable {
    /// Renewing the node's lease: nothing slow may be ahead of it.
    case lease
    /// Flushing the journal; the same number always means the same connection.
    case flush(Int)
    /// Reading, snapshots, everything that may be slow; the caller has the connection alone.
    case read
}

/// How a budget of connections is shared out among the roles.
///
/// | budget | lease | flush | read |
/// |---|---|---|---|
/// | 1 | 0 | 0 | 0 |
/// | 2 | 0 | 1 | 1 |
/// | 3 | 0 | 1 | 2 |
/// | 4 | 0 | 1, 2 | 3 |
/// | 8 | 0 | 1 to 4 | 5 to 7 |
public struct PoolPlan: Hashable, Sendable {
    /// Connections in all.
    public let count: Int
    /// Connections that flush.
    public let flushers: Range<Int>
    /// Connections that are lent to readers.
    public let readers: Range<Int>

    /// Shares out a budget, at least 1.
    public init(budget: Int) {
        precondition(budget >= 1, "a pool has at least one connection")
        count = budget
        switch budget {
        case 1: (flushers, readers) = (0..<1, 0..<1)
        case 2: (flushers, readers) = (1..<2, 1..<2)
        case 3: (flushers, readers) = (1..<2, 2..<3)
        default:
            let split = 1 + min(4, budget / 2)
            (flushers, readers) = (1..<split, split..<budget)
        }
    }

    /// The connections that serve a role.
    public func members(for role: PostgresRole) -> Range<Int> {
        switch role {
        case .lease: return 0..<1
        case .flush(let index):
            precondition(index >= 0, "there is no flush connection \(index)")
            let member = flushers.lowerBound + index % flushers.count
            return member..<member + 1
        case .read: return readers
        }
    }

    /// The number under which `PostgresRole.flush` names this connection; `nil` where it does not flush.
    public func flushIndex(of member: Int) -> Int? {
        flushers.contains(member) ? member - flushers.lowerBound : nil
    }
}
