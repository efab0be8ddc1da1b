import Platform

/// A list that any thread appends to, and whose growth can be awaited.
package final class Recorder<Element: Sendable>: Sendable {
    private struct State {
        var list: [Element] = []
        var waiting: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Locked(State())

    package init() {}

    package var all: [Element] { state.withLock { $0.list } }
    package var count: Int { state.withLock { $0.list.count } }

    package func append(_ element: Element) {
        let ready = state.withLock { state in
            state.list.append(element)
            let count = state.list.count
            let ready = state.waiting.filter { $0.count <= count }.map(\.continuation)
            state.waiting.removeAll { $0.count <= count }
            return ready
        }
        for continuation in ready { continuation.resume() }
    }

    /// Waits until that many have been appended.
    package func reached(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.list.count >= count { return true }
                state.waiting.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}
