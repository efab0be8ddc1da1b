// Dialling: a connection to a numeric address, without blocking the loop, with an end in time. The socket is watched
// while it connects and then becomes a stream like an accepted one.

internal import CUV

#if canImport(Glibc)
    internal import Glibc
    private let streamSocket = Int32(SOCK_STREAM.rawValue)
#else
    internal import Darwin
    private let streamSocket = SOCK_STREAM
#endif

/// One attempt to connect. It tells its outcome exactly once, on its loop, in a later turn than the one that began it;
/// until then it keeps itself.
///
/// `@unchecked Sendable`: all calls come from the loop's thread, and each checks it.
@safe public final class TCPConnectAttempt: @unchecked Sendable {
    private let loop: EventLoop
    private let address: TCPAddress
    private var completion: (@Sendable (Result<TCPStream, SystemError>) -> Void)?
    /// −1 once the socket has been closed or handed on.
    private var socket: Int32 = -1
    private var poll: PollHandle?
    private var timer: LoopTimer?

    /// Begins to connect; call on the loop.
    ///
    /// - Parameter completion: gets a stream without a handler, not yet reading, or what failed: the system's error,
    ///   `ETIMEDOUT` once the time has passed, `ECANCELED` after `cancel`.
    public init(
        to address: TCPAddress, on loop: EventLoop, timeoutNanoseconds: UInt64,
        completion: @escaping @Sendable (Result<TCPStream, SystemError>) -> Void
    ) {
        loop.checkIsolated()
        self.loop = loop
        self.address = address
        self.completion = completion
        if let code = start(timeoutNanoseconds) {
            loop.execute { [self] in end(.failure(error(code))) }
        }
    }

    /// Gives up; safe to repeat, and after the end.
    public func cancel() {
        loop.checkIsolated()
        guard completion != nil else { return }
        release()
        loop.execute { [self] in end(.failure(error(ECANCELED))) }
    }

    /// The errno value of what went wrong at once.
    private func start(_ timeout: UInt64) -> Int32? {
        if let driver = loop.driver {
            driver.connect(to: address, on: loop) { [self] outcome in connected(outcome) }
            arm(timeout)
            return nil
        }
        socket = Self.open(address.bytes.count == 4 ? AF_INET : AF_INET6)
        guard socket >= 0 else { return errno }
        setOption(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        #if canImport(Glibc)
            // Finds peers that vanished while bytes were under way to them.
            setOption(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, 90_000)
        #endif
        let status = unsafe address.withSocketAddress { unsafe connect(socket, $0, $1) }
        guard status == 0 || errno == EINPROGRESS else { return errno }
        do throws(SystemError) {
            let poll = try PollHandle(descriptor: socket, on: loop) { [self] _ in isReady() }
            poll.watch(.writable)
            self.poll = poll
        } catch {
            return error.code
        }
        arm(timeout)
        return nil
    }

    private func arm(_ timeout: UInt64) {
        let timer = LoopTimer(on: loop) { [self] in timedOut() }
        timer.schedule(afterNanoseconds: timeout)
        self.timer = timer
    }

    private func connected(_ outcome: Result<any StreamDriver, SystemError>) {
        switch outcome {
        case .failure(let error): end(.failure(error))
        case .success(let stream):
            guard completion != nil else { return stream.close() }
            end(.success(TCPStream(driver: stream, peer: address, loop: loop)))
        }
    }

    private static func open(_ family: Int32) -> Int32 {
        #if canImport(Glibc)
            Glibc.socket(family, streamSocket | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        #else
            let socket = Darwin.socket(family, streamSocket, 0)
            if socket >= 0 { _ = fcntl(socket, F_SETFL, O_NONBLOCK) }
            return socket
        #endif
    }

    private func setOption(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        unsafe setsockopt(socket, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private func isReady() {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        if unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length) != 0 { code = errno }
        guard code == 0 else { return end(.failure(error(code))) }
        let connected = socket
        // From here on the stream owns the socket; the watch must be over before it is opened.
        socket = -1
        release()
        guard let stream = TCPStream(socket: connected, peer: address, loop: loop) else {
            return end(.failure(error(EBADF)))
        }
        end(.success(stream))
    }

    private func timedOut() { end(.failure(error(ETIMEDOUT))) }

    private func error(_ code: Int32) -> SystemError { SystemError(code: code, operation: "connect to \(address)") }

    private func release() {
        poll?.close()
        poll = nil
        timer?.close()
        timer = nil
        if socket >= 0 { _ = closeDescriptor(socket) }
        socket = -1
    }

    private func end(_ result: Result<TCPStream, SystemError>) {
        guard let completion else { return }
        self.completion = nil
        release()
        completion(result)
    }
}
