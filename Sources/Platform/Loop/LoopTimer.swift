internal import CUV

/// A timer of one loop. All calls come from that loop's thread.
///
/// `@unchecked Sendable`: every method checks that it runs on the loop's thread.
@safe public final class LoopTimer: @unchecked Sendable {
    private let loop: EventLoop
    private let handle: UnsafeMutablePointer<uv_timer_t>
    private let handler: @Sendable () -> Void
    private var isClosed = false
    /// On a loop with a driver: which arming counts.
    private var arming: UInt64 = 0

    /// Makes a timer that is not armed. `handler` runs on the loop.
    public init(on loop: EventLoop, handler: @escaping @Sendable () -> Void) {
        loop.checkIsolated()
        self.loop = loop
        self.handler = handler
        unsafe handle = .allocate(capacity: 1)
        guard loop.driver == nil else { return }
        unsafe uvCheck(uv_timer_init(loop.handle, handle), "uv_timer_init")
        // Retained by the handle until its close callback.
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    /// Arms the timer, replacing what was armed. Resolution: one millisecond, rounded up.
    public func schedule(afterNanoseconds delay: UInt64, repeatingNanoseconds interval: UInt64 = 0) {
        loop.checkIsolated()
        guard !isClosed else { return }
        let delay = Self.milliseconds(delay)
        let interval = Self.milliseconds(interval)
        if let driver = loop.driver {
            arming += 1
            return arm(driver, delay, interval)
        }
        unsafe uv_update_time(loop.handle)
        let status = unsafe uv_timer_start(
            handle,
            { handle in
                guard let context = unsafe handle?.pointee.data else { return }
                unsafe Unmanaged<LoopTimer>.fromOpaque(context).takeUnretainedValue().handler()
            }, delay, interval)
        uvCheck(status, "uv_timer_start")
    }

    private func arm(_ driver: any LoopDriver, _ delay: UInt64, _ interval: UInt64) {
        let current = arming
        driver.after(delay * 1_000_000, on: loop) { [self] in
            guard arming == current, !isClosed else { return }
            if interval > 0 { arm(driver, interval, interval) }
            handler()
        }
    }

    private static func milliseconds(_ nanoseconds: UInt64) -> UInt64 {
        let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return rest == 0 ? whole : whole + 1
    }

    /// Disarms the timer.
    public func cancel() {
        loop.checkIsolated()
        guard !isClosed else { return }
        arming += 1
        guard loop.driver == nil else { return }
        unsafe uvCheck(uv_timer_stop(handle), "uv_timer_stop")
    }

    /// Ends the timer for good; safe to repeat.
    public func close() {
        loop.checkIsolated()
        guard !isClosed else { return }
        isClosed = true
        guard loop.driver == nil else { return unsafe handle.deallocate() }
        unsafe closeHandle(handle) { base in
            guard let base = unsafe base, let context = unsafe uv_handle_get_data(base) else { return }
            unsafe Unmanaged<LoopTimer>.fromOpaque(context).release()
            unsafe UnsafeMutableRawPointer(base).assumingMemoryBound(to: uv_timer_t.self).deallocate()
        }
    }
}

/// One call after a delay, for code that does not keep a timer.
public enum OneShot {
    /// Runs `body` on the loop once `nanoseconds` have passed; call on the loop.
    public static func after(_ nanoseconds: UInt64, on loop: EventLoop, _ body: @escaping @Sendable () -> Void) {
        let box = TimerBox()
        let timer = LoopTimer(on: loop) {
            box.close()
            body()
        }
        box.timer = timer
        timer.schedule(afterNanoseconds: nanoseconds)
    }

    /// `@unchecked Sendable`: set and cleared on the loop's thread alone.
    private final class TimerBox: @unchecked Sendable {
        var timer: LoopTimer?
        func close() {
            timer?.close()
            timer = nil
        }
    }
}

/// The arrival of one signal, as an event of a loop. All calls come from that loop's thread.
///
/// `@unchecked Sendable`: every method checks that it runs on the loop's thread.
@safe public final class SignalSource: @unchecked Sendable {
    private let loop: EventLoop
    private let handle: UnsafeMutablePointer<uv_signal_t>
    private let handler: @Sendable () -> Void
    private var isClosed = false

    /// Starts watching at once.
    public init(_ signal: Int32, on loop: EventLoop, handler: @escaping @Sendable () -> Void) {
        loop.checkIsolated()
        self.loop = loop
        self.handler = handler
        unsafe handle = .allocate(capacity: 1)
        unsafe uvCheck(uv_signal_init(loop.handle, handle), "uv_signal_init")
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
        let status = unsafe uv_signal_start(
            handle,
            { handle, _ in
                guard let context = unsafe handle?.pointee.data else { return }
                unsafe Unmanaged<SignalSource>.fromOpaque(context).takeUnretainedValue().handler()
            }, signal)
        uvCheck(status, "uv_signal_start")
    }

    /// Stops watching; safe to repeat.
    public func close() {
        loop.checkIsolated()
        guard !isClosed else { return }
        isClosed = true
        unsafe closeHandle(handle) { base in
            guard let base = unsafe base, let context = unsafe uv_handle_get_data(base) else { return }
            unsafe Unmanaged<SignalSource>.fromOpaque(context).release()
            unsafe UnsafeMutableRawPointer(base).assumingMemoryBound(to: uv_signal_t.self).deallocate()
        }
    }
}
