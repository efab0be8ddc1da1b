// The placement table's store, as each host reaches it: late, now and then not at all, and now and then without saying
// whether a swap was done. It may be emptied or put back to an older state.

import Node
import Platform
import Redis

/// What is stored for all.
///
/// `@unchecked Sendable`: a world lives on one thread.
final class TableState: @unchecked Sendable {
    private(set) var value: RedisVersionedValue?
    private var past: [RedisVersionedValue] = []

    func store(_ new: RedisVersionedValue) {
        if let value { past.append(value) }
        value = new
    }

    func empty() { value = nil }
    func putBack(_ dice: Dice) { if !past.isEmpty { value = dice.pick(past) } }
}

/// `@unchecked Sendable`: a world lives on one thread.
final class TableStore: PlacementStore, @unchecked Sendable {
    private static let patience = Span.seconds(1)

    private let state: TableState
    private let host: Host
    private let server: Host
    private let loop: EventLoop
    private let dice: Dice

    /// - Parameter loop: a loop of the host, on which answers come.
    init(_ state: TableState, of host: Host, at server: Host, on loop: EventLoop, _ dice: Dice) {
        self.state = state
        self.host = host
        self.server = server
        self.loop = loop
        self.dice = dice
    }

    func start() async {}
    func close() async {}

    func read(newerThan version: UInt64) async throws(RedisError) -> RedisVersionedValue? {
        try await exchange { state in
            guard let value = state.value, value.version > version else { return nil }
            return value
        }
    }

    func swap(
        from expected: UInt64, to new: RedisVersionedValue
    ) async throws(RedisError) -> CompareAndSet.Outcome {
        try await exchange { state in
            guard state.value?.version ?? 0 == expected else { return .conflict(state.value) }
            state.store(new)
            return .swapped
        }
    }

    /// There, done, and back: each way may be cut.
    private func exchange<Value: Sendable>(
        _ body: @escaping @Sendable (TableState) -> Value
    ) async throws(RedisError) -> Value {
        let outcome: Result<Value, RedisError> = unsafe await withUnsafeContinuation { continuation in
            let (world, network) = (host.world, host.network)
            let isLost = dice.chance(1)
            guard !network.isCut(host, server) else {
                return world.after(Self.patience, host: host, on: loop) {
                    unsafe continuation.resume(returning: .failure(RedisError(.notSent, .deadline, "no answer")))
                }
            }
            world.after(network.delay()) { [self] in
                let value = body(state)
                guard !isLost, !network.isCut(server, host) else {
                    return world.after(Self.patience, host: host, on: loop) {
                        unsafe continuation.resume(returning: .failure(RedisError(.unknown, .deadline, "no answer")))
                    }
                }
                world.after(network.delay(), host: host, on: loop) {
                    unsafe continuation.resume(returning: .success(value))
                }
            }
        }
        return try outcome.get()
    }
}
