// What commands that wait take in memory, so that queues of them can be bounded in bytes.

extension Command {
    /// Of any but a signal, whose data are the only long text: those of the others are bounded by `Limits`.
    static let usualWeight = 512

    /// Bytes, about.
    var weight: Int {
        guard case .manage(.signal(_, _, let data), _) = body else { return Self.usualWeight }
        return Self.usualWeight + data.count
    }
}

extension OwnerMessage {
    /// Bytes, about: the sum of its commands'.
    var weight: Int {
        switch self {
        case .commands(_, let commands): commands.reduce(0) { $0 + $1.weight }
        case .create: 2 * Command.usualWeight
        }
    }
}

extension ShardMessage {
    /// Bytes, about; none for what is no command.
    var weight: Int {
        guard case .road(let message) = self else { return 0 }
        return message.weight
    }
}
