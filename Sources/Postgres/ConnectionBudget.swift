public import Platform

/// Whether a server has room for all connections of a cluster.
public struct ConnectionBudget: Hashable, Sendable {
    /// The server's `max_connections`.
    public let maximum: Int
    /// Those that it keeps for administrators.
    public let reserved: Int
    /// Connections of one node.
    public let perNode: Int
    /// Nodes of the cluster.
    public let nodes: Int

    /// The share that a cluster may take, so that the people who look after the server still get in.
    static let sharePercent = 75

    /// Connections that all nodes want together.
    public var wanted: Int { perNode * nodes }
    /// Connections that they may take.
    public var allowed: Int { max(0, maximum - reserved) * Self.sharePercent / 100 }
    /// Whether all fits.
    public var fits: Bool { wanted <= allowed }

    /// What to do where it does not fit, in one line; `nil` where it does.
    public var complaint: String? {
        guard !fits else { return nil }
        return "\(nodes) nodes with \(perNode) connections each want \(wanted), but of the server's \(maximum) "
            + "(\(reserved) reserved) only \(allowed) may be taken (\(Self.sharePercent) %): "
            + "raise max_connections to \(needed) or lower the number of connections of each node"
    }

    private var needed: Int { (wanted * 100 + Self.sharePercent - 1) / Self.sharePercent + reserved }

    /// Asks the server.
    public static func ask(
        _ connection: PostgresConnection, perNode: Int, nodes: Int, deadline: MonotonicTime
    ) async throws(PostgresError) -> ConnectionBudget {
        let result = try await connection.execute(statement, deadline: deadline)
        return ConnectionBudget(
            maximum: Int(try result.value(0, 0, as: Int32.self)), reserved: Int(try result.value(0, 1, as: Int32.self)),
            perNode: perNode, nodes: nodes)
    }

    /// `reserved_connections` exists from 16 on.
    private static let statement = PostgresStatement(
        "budget", [],
        """
        SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int
            + coalesce(current_setting('reserved_connections', true), '0')::int
        """)
}
