// Commands that were sent and await their replies, which come in the same order.

internal import Platform

/// A command on its way.
struct SentCommand: Sendable {
    let byteCount: Int
    let startedAt: MonotonicTime
    let deadline: MonotonicTime
    let continuation: CheckedContinuation<Result<RedisValue, RedisError>, Never>
}

/// First sent, first answered.
struct CommandQueue {
    private var commands: [SentCommand?] = []
    private var head = 0
    /// Bytes of all commands in it.
    private(set) var byteCount = 0

    var count: Int { commands.count - head }

    mutating func append(_ command: SentCommand) {
        commands.append(command)
        byteCount += command.byteCount
    }

    mutating func popFirst() -> SentCommand? {
        guard head < commands.count, let command = commands[head] else { return nil }
        commands[head] = nil
        head += 1
        byteCount -= command.byteCount
        // Moving the rest costs a fraction of what was answered since the last time.
        if head == commands.count {
            commands.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 256, head > commands.count / 2 {
            commands.removeFirst(head)
            head = 0
        }
        return command
    }

    mutating func takeAll() -> [SentCommand] {
        defer {
            commands = []
            head = 0
            byteCount = 0
        }
        return commands[head...].compactMap { $0 }
    }

    /// The deadline that passes first; they may come in any order. O(count).
    var earliestDeadline: MonotonicTime? { commands[head...].lazy.compactMap { $0?.deadline }.min() }
}
