// A pause on a loop that can be cut short.

import Platform

/// One sleeper at a time, on the loop's thread.
@safe final class LoopAlarm: @unchecked Sendable {
    // Safe: touched on the loop's thread alone, by the actor that owns it and by the timer.
    private var sleeper: CheckedContinuation<Void, Never>?
    private var timer: LoopTimer?
    private var isOver = false
    private let loop: EventLoop

    init(on loop: EventLoop) { self.loop = loop }

    /// Waits, at most so long; not at all once the alarm was rung for good.
    func sleep(_ nanoseconds: UInt64, isolation: isolated (any Actor)? = #isolation) async {
        guard !isOver else { return }
        let timer = timer ?? LoopTimer(on: loop) { [weak self] in self?.wake() }
        self.timer = timer
        await withCheckedContinuation { continuation in
            precondition(sleeper == nil, "an alarm has one sleeper")
            sleeper = continuation
            timer.schedule(afterNanoseconds: nanoseconds)
        }
    }

    /// Ends the pause, and every later one.
    func ring() {
        isOver = true
        wake()
    }

    func close() {
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
