// What stands in for libuv where loops have no threads of their own: a simulation turns them one at a time, in an order
// of its own and in virtual time, and gives them a network inside the process. Everything above the loops is the same.
//
//   driver ─► loop.turn { event } ─► jobs, closures, hooks ─► driver.wake, driver.after, stream.write

/// Time, turns and a network for loops without threads. All calls are made on one thread, and so are all turns.
public protocol LoopDriver: AnyObject, Sendable {
    /// Virtual time.
    var virtualTime: MonotonicTime { get }
    /// Whether the calling thread is turning this loop.
    func isTurning(_ loop: EventLoop) -> Bool
    /// The loop has something to do: it is to be turned.
    func wake(_ loop: EventLoop)
    /// Runs `body` in a turn of the loop, once so many nanoseconds have passed.
    func after(_ nanoseconds: UInt64, on loop: EventLoop, _ body: @escaping @Sendable () -> Void)
    /// Takes connections to an address, each in a turn of the loop.
    /// - Throws: `EADDRINUSE` where somebody else listens there.
    func listen(
        _ address: TCPAddress, on loop: EventLoop,
        _ accept: @escaping @Sendable (any StreamDriver, _ peer: TCPAddress) -> Void
    ) throws(SystemError)
    /// Takes no more connections there.
    func stopListening(_ address: TCPAddress)
    /// Connects; tells the outcome in a later turn of the loop, or never.
    func connect(
        to address: TCPAddress, on loop: EventLoop,
        _ completion: @escaping @Sendable (Result<any StreamDriver, SystemError>) -> Void)
}

/// One side of a connection inside the process, behind a `TCPStream`.
public protocol StreamDriver: AnyObject, Sendable {
    /// Where what arrives goes: `TCPStream.arrived`, `peerEnded` and `broke`, each in a turn of its loop.
    func attach(_ stream: TCPStream)
    /// Whether what arrives is taken.
    func setReading(_ isReading: Bool)
    /// Sends bytes; everything is taken.
    func write(_ bytes: UnsafeRawBufferPointer)
    /// Nothing more will be written; what was leaves first.
    func finish()
    /// The end of this side.
    func close()
}
