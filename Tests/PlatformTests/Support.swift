// What several of these tests need: a group that ends with its test, actors on a loop, blocking client sockets.

import Glibc
import Synchronization

@testable import Platform

/// Runs a test with loops of its own, which must leave no handle open when it ends.
func withLoops(_ count: Int, _ body: (LoopGroup) async throws -> Void) async throws {
    let group = LoopGroup(count: count, name: "test")
    // A test that throws leaves handles open, for which the loops would wait: they are then left running.
    try await body(group)
    await onThread { group.shutdown() }
}

/// Runs a closure on a thread of its own, where it may block.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        let thread = SystemThread { continuation.resume(returning: body()) }
        _ = thread
    }
}

/// Runs a closure on a loop.
func on<Result: Sendable>(_ loop: EventLoop, _ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        loop.execute { continuation.resume(returning: body()) }
    }
}

/// An event that is awaited once or often, and happens once.
final class Signal: Sendable {
    private struct State {
        var isSet = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Locked(State())

    func set() {
        let waiting = state.withLock { state in
            state.isSet = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isSet = state.withLock { state in
                if !state.isSet { state.waiting.append(continuation) }
                return state.isSet
            }
            if isSet { continuation.resume() }
        }
    }
}

/// A list that any thread appends to.
final class Recorder<Element: Sendable>: Sendable {
    private let list = Locked<[Element]>([])
    func append(_ element: Element) { list.withLock { $0.append(element) } }
    var all: [Element] { list.withLock { $0 } }
    var count: Int { list.withLock { $0.count } }
}

/// An actor that lives on a loop.
actor Resident {
    let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private(set) var count = 0
    private(set) var strays = 0

    init(_ loop: EventLoop) { self.loop = loop }

    func increment() {
        count += 1
        if !loop.isCurrent { strays += 1 }
    }

    func run<Result: Sendable>(_ body: @Sendable (isolated Resident) async -> Result) async -> Result {
        await body(self)
    }
}
