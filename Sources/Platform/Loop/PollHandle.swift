internal import CUV

/// What a descriptor is ready for, or is asked to be watched for.
public struct Readiness: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt8

    /// Takes the bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// There is something to read, an end or an error included.
    public static let readable = Readiness(rawValue: 1)
    /// Something can be written.
    public static let writable = Readiness(rawValue: 2)
    /// The system reported an error and watches no more; whoever owns the descriptor finds out which by using it.
    public static let failed = Readiness(rawValue: 4)
}

/// A descriptor of another library, watched by a loop. All calls come from that loop's thread.
///
/// It never owns the descriptor: close this *before* the library closes the descriptor, and before the library may
/// swap it for another one. A new descriptor often gets the old number, which the loop would then watch in vain.
///
/// `@unchecked Sendable`: every method checks that it runs on the loop's thread.
@safe public final class PollHandle: @unchecked Sendable {
    private let loop: EventLoop
    private let handle: UnsafeMutablePointer<uv_poll_t>
    private let handler: @Sendable (Readiness) -> Void
    private var watched: Readiness = []
    private var isClosed = false

    /// Takes a descriptor, not yet watched. `handler` runs on the loop and is held until `close`.
    public init(
        descriptor: Int32, on loop: EventLoop, handler: @escaping @Sendable (Readiness) -> Void
    ) throws(SystemError) {
        loop.checkIsolated()
        self.loop = loop
        self.handler = handler
        unsafe handle = .allocate(capacity: 1)
        let status = unsafe uv_poll_init(loop.handle, handle, descriptor)
        guard status == 0 else {
            unsafe handle.deallocate()
            throw SystemError(code: -status, operation: "watching descriptor \(descriptor)")
        }
        // Retained by the handle until its close callback.
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    /// Replaces what is watched for; nothing stops the watch.
    public func watch(_ events: Readiness) {
        loop.checkIsolated()
        guard !isClosed, events != watched else { return }
        watched = events
        guard !events.isEmpty else {
            unsafe uvCheck(uv_poll_stop(handle), "uv_poll_stop")
            return
        }
        var mask: UInt32 = 0
        if events.contains(.readable) { mask |= UV_READABLE.rawValue }
        if events.contains(.writable) { mask |= UV_WRITABLE.rawValue }
        let status = unsafe uv_poll_start(handle, Int32(mask)) { handle, status, events in
            guard let context = unsafe handle?.pointee.data else { return }
            unsafe Unmanaged<PollHandle>.fromOpaque(context).takeUnretainedValue().isReady(status, UInt32(events))
        }
        uvCheck(status, "uv_poll_start")
    }

    private func isReady(_ status: Int32, _ events: UInt32) {
        var ready: Readiness = []
        if status < 0 {
            // libuv has stopped the watch by itself.
            watched = []
            ready = [.readable, .writable, .failed]
        } else {
            if events & UV_READABLE.rawValue != 0 { ready.insert(.readable) }
            if events & UV_WRITABLE.rawValue != 0 { ready.insert(.writable) }
        }
        guard !isClosed, !ready.isEmpty else { return }
        handler(ready)
    }

    /// Ends the watch for good, at once: the descriptor may be closed right after. Safe to repeat.
    public func close() {
        loop.checkIsolated()
        guard !isClosed else { return }
        isClosed = true
        unsafe closeHandle(handle) { base in
            guard let base = unsafe base, let context = unsafe uv_handle_get_data(base) else { return }
            unsafe Unmanaged<PollHandle>.fromOpaque(context).release()
            unsafe UnsafeMutableRawPointer(base).assumingMemoryBound(to: uv_poll_t.self).deallocate()
        }
    }
}
