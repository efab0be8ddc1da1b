// Accepts connections on one loop and deals them out to all loops in turn, so that the spread is exact whatever the
// kernel's hashing does.

internal import CUV

#if canImport(Glibc)
    internal import Glibc

    func closeDescriptor(_ descriptor: Int32) -> Int32 { close(descriptor) }
    private let streamSocket = Int32(SOCK_STREAM.rawValue)
#else
    internal import Darwin

    func closeDescriptor(_ descriptor: Int32) -> Int32 { close(descriptor) }
    private let streamSocket = SOCK_STREAM
#endif

/// Settings of the sockets that a listener accepts.
public struct TCPListenerOptions: Sendable {
    /// Connections that the kernel queues.
    public var backlog: Int32 = 4096
    /// Bytes of the kernel's send buffer; `nil` leaves the system's default.
    public var sendBufferBytes: Int32?
    /// Unsent bytes above which the kernel takes no more; `nil` leaves it unlimited.
    public var notSentLowWater: Int32?

    /// The defaults.
    public init() {}
}

/// A listening socket.
///
/// `@unchecked Sendable`: all calls come from its loop's thread, and each checks it.
@safe public final class TCPListener: @unchecked Sendable {
    /// Where it listens, with the port that the system chose.
    public let boundAddress: TCPAddress

    private let loop: EventLoop
    private let loops: [EventLoop]
    private let onAccept: @Sendable (EventLoop, TCPStream) -> Void
    private let socket: Int32
    private let poll: UnsafeMutablePointer<uv_poll_t>
    private var next = 0
    private var isClosed = false
    /// A descriptor kept in reserve: where the process has no more, it is given up to accept and refuse at once.
    private var reserve: Int32
    /// Whether accepting rests until a timer ends the rest.
    private var isResting = false

    /// How long accepting rests where the system has no room for another connection and none can be refused either.
    private static let restNanoseconds: UInt64 = 50_000_000
    /// Connections that one turn accepts at most.
    private static let acceptsPerTurn = 64
    /// Turns in which the queue is emptied before the end: enough for a full one.
    private static let lastTurnsLimit = 128

    /// Binds and listens; call on the first of `loops`. `onAccept` runs on the new stream's loop.
    /// - Throws: `SystemError` where the address cannot be had.
    public init(
        _ address: TCPAddress, options: TCPListenerOptions, loops: [EventLoop],
        onAccept: @escaping @Sendable (EventLoop, TCPStream) -> Void
    ) throws(SystemError) {
        guard let first = loops.first else { preconditionFailure("a listener needs a loop") }
        first.checkIsolated()
        loop = first
        self.loops = loops
        self.onAccept = onAccept
        if let driver = first.driver {
            (socket, reserve, boundAddress) = (-1, -1, address)
            unsafe poll = .allocate(capacity: 1)
            try driver.listen(address, on: first) { [self] stream, peer in deal(stream, peer) }
            return
        }
        socket = try Self.listen(address, options)
        boundAddress = TCPAddress(ofSocket: socket) ?? address
        reserve = openReserve()
        unsafe poll = .allocate(capacity: 1)
        unsafe uvCheck(uv_poll_init(loop.handle, poll, socket), "uv_poll_init")
        unsafe poll.pointee.data = Unmanaged.passRetained(self).toOpaque()
        startPolling()
    }

    private func startPolling() {
        let status = unsafe uv_poll_start(poll, Int32(UV_READABLE.rawValue)) { handle, _, _ in
            guard let context = unsafe handle?.pointee.data else { return }
            unsafe Unmanaged<TCPListener>.fromOpaque(context).takeUnretainedValue().acceptAll()
        }
        uvCheck(status, "uv_poll_start")
    }

    private static func listen(_ address: TCPAddress, _ options: TCPListenerOptions) throws(SystemError) -> Int32 {
        let family = address.bytes.count == 4 ? AF_INET : AF_INET6
        let socket = openSocket(family)
        guard socket >= 0 else { throw SystemError(code: errno, operation: "socket") }
        setOption(socket, SOL_SOCKET, SO_REUSEADDR, 1)
        // Accepted sockets inherit these from the listener.
        if let bytes = options.sendBufferBytes { setOption(socket, SOL_SOCKET, SO_SNDBUF, bytes) }
        if let bytes = options.notSentLowWater { setOption(socket, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, bytes) }
        let bound = unsafe address.withSocketAddress { unsafe bind(socket, $0, $1) }
        guard bound == 0, startListening(socket, options.backlog) == 0 else {
            let code = errno
            _ = closeDescriptor(socket)
            throw SystemError(code: code, operation: "listen on \(address)")
        }
        return socket
    }

    private static func setOption(_ socket: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        unsafe setsockopt(socket, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    // MARK: - Accepting

    /// Accepts what is queued, up to a bound; returns whether it was the bound that ended it.
    @discardableResult
    private func acceptAll() -> Bool {
        for _ in 0..<Self.acceptsPerTurn {
            guard !isClosed else { return false }
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let accepted = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    unsafe tumulte_accept(socket, address, &length)
                }
            }
            guard accepted >= 0 else {
                switch errno {
                case EAGAIN, EINTR, ECONNABORTED: return false
                case EMFILE, ENFILE: if !refuseOne() { rest() }
                default: rest()
                }
                return false
            }
            Self.setOption(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            #if canImport(Glibc)
                // Finds peers that vanished while bytes were under way to them.
                Self.setOption(accepted, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 90_000)
            #endif
            deal(accepted, TCPAddress.read(&storage) ?? boundAddress)
        }
        return true
    }

    private func deal(_ accepted: Int32, _ peer: TCPAddress) {
        let target = loops[next % loops.count]
        next &+= 1
        let onAccept = onAccept
        target.execute {
            guard let stream = TCPStream(socket: accepted, peer: peer, loop: target) else { return }
            onAccept(target, stream)
        }
    }

    private func deal(_ accepted: any StreamDriver, _ peer: TCPAddress) {
        let target = loops[next % loops.count]
        next &+= 1
        let onAccept = onAccept
        target.execute { onAccept(target, TCPStream(driver: accepted, peer: peer, loop: target)) }
    }

    /// Without a free descriptor the queue would wake the loop for ever: the reserve takes one connection and drops it.
    /// `false`: not even that was possible, because something else took the reserve's place.
    private func refuseOne() -> Bool {
        if reserve < 0 { reserve = openReserve() }
        guard reserve >= 0 else { return false }
        _ = closeDescriptor(reserve)
        let accepted = tumulte_accept(socket, nil, nil)
        let isEmpty = accepted < 0 && errno == EAGAIN
        if accepted >= 0 { _ = closeDescriptor(accepted) }
        reserve = openReserve()
        return accepted >= 0 || isEmpty
    }

    /// Looks away for a moment: the queue that cannot be emptied would keep the loop turning.
    private func rest() {
        guard !isResting else { return }
        isResting = true
        unsafe uvCheck(uv_poll_stop(poll), "uv_poll_stop")
        OneShot.after(Self.restNanoseconds, on: loop) { [self] in
            isResting = false
            if !isClosed { startPolling() }
        }
    }

    /// Stops listening once what the kernel has queued is accepted: those clients are connected, and may have asked
    /// for something.
    public func closeAfterQueue() {
        loop.checkIsolated()
        if loop.driver == nil {
            var turns = 0
            while turns < Self.lastTurnsLimit, acceptAll() { turns += 1 }
        }
        close()
    }

    /// Stops listening; connections that were accepted go on. Safe to repeat.
    public func close() {
        loop.checkIsolated()
        guard !isClosed else { return }
        isClosed = true
        if let driver = loop.driver {
            driver.stopListening(boundAddress)
            return unsafe poll.deallocate()
        }
        unsafe uvCheck(uv_poll_stop(poll), "uv_poll_stop")
        _ = closeDescriptor(socket)
        if reserve >= 0 { _ = closeDescriptor(reserve) }
        unsafe closeHandle(poll) { base in
            guard let base = unsafe base, let context = unsafe uv_handle_get_data(base) else { return }
            unsafe Unmanaged<TCPListener>.fromOpaque(context).release()
            unsafe UnsafeMutableRawPointer(base).assumingMemoryBound(to: uv_poll_t.self).deallocate()
        }
    }
}

private func openReserve() -> Int32 { unsafe open("/dev/null", O_RDONLY | O_CLOEXEC) }

private func openSocket(_ family: Int32) -> Int32 {
    #if canImport(Glibc)
        socket(family, streamSocket | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    #else
        socket(family, streamSocket, 0)
    #endif
}

private func startListening(_ descriptor: Int32, _ backlog: Int32) -> Int32 { listen(descriptor, backlog) }
