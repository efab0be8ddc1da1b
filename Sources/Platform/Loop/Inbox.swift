// A queue of batches into one actor. Any thread posts; one pump task takes everything that is there and suspends when
// nothing is. Posting to a waiting pump enqueues one job on its loop, so a batch costs one hop, however large it is.

/// A bounded queue with many producers and one consumer.
public final class Inbox<Element: Sendable>: Sendable {
    /// `@safe`: the continuation is resumed exactly once, by whoever takes it out under the lock.
    @safe private struct State {
        var elements: [Element] = []
        var waiting: UnsafeContinuation<Void, Never>?
        var isFinished = false
    }

    private let state = Locked(State())
    private let limit: Int

    /// - Parameter limit: elements that may wait; over it a post is refused.
    public init(limit: Int) { self.limit = limit }

    /// Elements that wait now.
    public var count: Int { state.withLock { $0.elements.count } }

    /// Adds one element. `false`: the queue is full or finished, nothing was taken.
    @discardableResult
    public func post(_ element: Element) -> Bool {
        let (isTaken, waiting) = unsafe state.withLock { state -> (Bool, UnsafeContinuation<Void, Never>?) in
            guard !state.isFinished, state.elements.count < limit else { return (false, nil) }
            state.elements.append(element)
            return unsafe (true, state.waiting.take())
        }
        unsafe waiting?.resume()
        return isTaken
    }

    /// Adds one element whatever the limit: for messages whose number the consumer itself bounds, and which must not
    /// be lost, such as answers to what it asked for.
    public func postUnbounded(_ element: Element) {
        let waiting = unsafe state.withLock { state -> UnsafeContinuation<Void, Never>? in
            guard !state.isFinished else { return nil }
            state.elements.append(element)
            return unsafe state.waiting.take()
        }
        unsafe waiting?.resume()
    }

    /// Adds a batch whatever the limit, as `postUnbounded` does with one element: its consumer sees all of it at once.
    public func postUnbounded(contentsOf batch: [Element]) {
        let waiting = unsafe state.withLock { state -> UnsafeContinuation<Void, Never>? in
            guard !state.isFinished else { return nil }
            state.elements.append(contentsOf: batch)
            return unsafe state.waiting.take()
        }
        unsafe waiting?.resume()
    }

    /// Adds a batch and leaves the array empty, its capacity kept. `false`: the batch does not fit or the queue is
    /// finished, and the array is as it was.
    @discardableResult
    public func post(contentsOf batch: inout [Element]) -> Bool {
        guard !batch.isEmpty else { return true }
        let taken = batch
        let (isTaken, waiting) = unsafe state.withLock { state -> (Bool, UnsafeContinuation<Void, Never>?) in
            guard !state.isFinished, state.elements.count + taken.count <= limit else { return (false, nil) }
            state.elements.append(contentsOf: taken)
            return unsafe (true, state.waiting.take())
        }
        if isTaken { batch.removeAll(keepingCapacity: true) }
        unsafe waiting?.resume()
        return isTaken
    }

    /// Adds a batch of something else, each element wrapped on its way in. Otherwise as `post(contentsOf:)`.
    @discardableResult
    public func post<Other: Sendable>(contentsOf batch: inout [Other], wrapping wrap: (Other) -> Element) -> Bool {
        guard !batch.isEmpty else { return true }
        let taken = batch
        let (isTaken, waiting) = unsafe state.withLock { state -> (Bool, UnsafeContinuation<Void, Never>?) in
            guard !state.isFinished, state.elements.count + taken.count <= limit else { return (false, nil) }
            for element in taken { state.elements.append(wrap(element)) }
            return unsafe (true, state.waiting.take())
        }
        if isTaken { batch.removeAll(keepingCapacity: true) }
        unsafe waiting?.resume()
        return isTaken
    }

    /// Takes everything that waits, suspending while there is nothing; `nil` once finished and empty.
    ///
    /// One consumer at a time. It resumes on the caller's actor.
    ///
    /// - Parameters:
    ///   - recycling: an array whose capacity serves the next posts; its elements are dropped.
    ///   - isolation: the caller's actor. It is passed by hand: a continuation that is awaited in a function with the
    ///     caller's isolation implied resumes by way of the global executor (Swift 6.3), two thread switches a batch.
    public func next(
        recycling: consuming [Element], isolation: isolated (any Actor)? = #isolation
    ) async -> [Element]? {
        var spare = recycling
        while true {
            if let batch = take(&spare) { return batch }
            let isOver = state.withLock { $0.isFinished && $0.elements.isEmpty }
            if isOver { return nil }
            unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                let resumesNow = state.withLock { state in
                    guard state.elements.isEmpty, !state.isFinished else { return true }
                    precondition(unsafe state.waiting == nil, "an inbox has one consumer")
                    unsafe state.waiting = continuation
                    return false
                }
                if resumesNow { unsafe continuation.resume() }
            }
        }
    }

    private func take(_ spare: inout [Element]) -> [Element]? {
        spare.removeAll(keepingCapacity: true)
        var batch: [Element] = []
        swap(&batch, &spare)
        let (taken, rest) = state.withLock { [batch] state -> ([Element], [Element]) in
            guard !state.elements.isEmpty else { return ([], batch) }
            let taken = state.elements
            state.elements = batch
            return (taken, [])
        }
        spare = rest
        return taken.isEmpty ? nil : taken
    }

    /// Refuses further posts; the consumer gets what is left, then `nil`.
    public func finish() {
        let waiting = unsafe state.withLock { state in
            state.isFinished = true
            return unsafe state.waiting.take()
        }
        unsafe waiting?.resume()
    }
}
