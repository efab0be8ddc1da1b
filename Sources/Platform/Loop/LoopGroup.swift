// The loops of a process, and the few threads beside them on which something may block.

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// All loops of a node. Whatever blocks goes to other threads, never here.
public final class LoopGroup: Sendable {
    /// The loops, by index.
    public let loops: [EventLoop]

    /// Starts `count` loops, each on its own thread, or without threads where a driver turns them.
    public init(count: Int, name: String, driver: (any LoopDriver)? = nil) {
        precondition(count >= 1, "a group has at least one loop")
        if let driver {
            loops = (0..<count).map { EventLoop(index: $0, name: "\(name)-\($0)", driver: driver) }
            return
        }
        // A write to a connection that the peer has reset is an error to handle, not a reason to die.
        _ = signal(SIGPIPE, SIG_IGN)
        loops = (0..<count).map { EventLoop(index: $0, name: "\(name)-\($0)") }
        for loop in loops { loop.start() }
    }

    /// Ends every loop once its handles are closed, and joins the threads.
    ///
    /// Everything that lives on the loops must have been stopped before. Blocks the calling thread for a moment.
    public func shutdown() {
        for loop in loops { loop.stop() }
        for loop in loops { loop.join() }
    }
}
