// What several of these tests need: a group that ends with its test, actors on a loop, blocking client sockets.

import Glibc
import Synchronization

@testable import Platform

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
