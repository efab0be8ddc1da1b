// A pause on a loop that can be cut short.

/// One sleeper at a time, on the loop's thread.
@safe public final class LoopAlarm: @unchecked Sendable {
    // Safe: touched on the loop's thread alone, by the actor that owns it and by the timer.
    private var sleeper: CheckedContinuation<Void, Never>?
    private var timer: LoopTimer?
    private var isOver = false
    private var isInterrupted = false
    private let loop: EventLoop

    /// Makes one for an actor of this loop.
    public init(on loop: EventLoop) { self.loop = loop }

    /// Waits, at most so long; not at all once the alarm was rung for good, or interrupted since the last pause.
    public func sleep(_ nanoseconds: UInt64, isolation: isolated (any Actor)? = #isolation) async {
        guard !isOver, !isInterrupted else {
            isInterrupted = false
            return
        }
        let timer = timer ?? LoopTimer(on: loop) { [weak self] in self?.wake() }
        self.timer = timer
        await withCheckedContinuation { continuation in
            precondition(sleeper == nil, "an alarm has one sleeper")
            sleeper = continuation
            timer.schedule(afterNanoseconds: nanoseconds)
        }
    }

    /// Ends this pause, or the next one where nobody sleeps now.
    public func interrupt() {
        if sleeper == nil { isInterrupted = true } else { wake() }
    }

    /// Ends the pause, and every later one.
    public func ring() {
        isOver = true
        wake()
    }

    /// Rings for good and lets go of the timer.
    public func close() {
        ring()
        timer?.close()
        timer = nil
    }

    private func wake() {
        let sleeper = sleeper
        self.sleeper = nil
        sleeper?.resume()
    }
}
