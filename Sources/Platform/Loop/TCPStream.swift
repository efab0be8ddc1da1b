// One connection. Reading goes through the loop's one shared buffer, so an idle connection holds none. Writing tries
// the socket at once; what it does not take is copied into one block, and until that has left the stream is blocked
// and its owner keeps whatever comes next.

internal import CUV

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Why a stream ended.
public enum TCPCloseReason: Sendable, Equatable {
    /// This side closed it.
    case local
    /// The peer said that it is done.
    case endOfFile
    /// The connection broke; the errno value.
    case failed(Int32)
}

/// Who is told what happens on a stream; every call is made on the stream's loop.
public protocol TCPStreamHandler: AnyObject, Sendable {
    /// Bytes arrived. The buffer is valid during the call alone, and may be changed in place.
    func streamReceived(_ stream: TCPStream, _ bytes: UnsafeMutableRawBufferPointer)
    /// The stream was blocked, and everything handed to it has left.
    func streamDrained(_ stream: TCPStream)
    /// The peer sends nothing more; it may still read. Unless the handler has something left to write, it closes.
    func streamEnded(_ stream: TCPStream)
    /// The last call, made once.
    func streamClosed(_ stream: TCPStream, _ reason: TCPCloseReason)
}

extension TCPStreamHandler {
    /// Closes at once: for handlers that owe the peer nothing.
    public func streamEnded(_ stream: TCPStream) { stream.closeAfterEnd() }
}

/// An accepted or dialled connection.
///
/// `@unchecked Sendable`: all calls come from its loop's thread; the ones that change something check it.
@safe public final class TCPStream: @unchecked Sendable {
    /// The loop that the stream lives on.
    public let loop: EventLoop
    /// The other side.
    public let peer: TCPAddress
    /// Free for the handler's use.
    public var token = 0
    /// Who is told; held until the stream has closed.
    public var handler: (any TCPStreamHandler)?
    /// Whether bytes still wait inside; nothing may be written meanwhile.
    public private(set) var isBlocked = false

    /// Stands in for the socket on a loop with a driver.
    private let driver: (any StreamDriver)?
    private let handle: UnsafeMutablePointer<uv_tcp_t>
    private var isReading = false
    private var isClosing = false
    private var finishes = false
    private var peerHasFinished = false
    private var isShutDown = false
    private var reason = TCPCloseReason.local

    /// Buffers that one system call gathers at most.
    private static let gatherLimit = 16

    /// Takes over a connected, non-blocking socket.
    init?(socket: Int32, peer: TCPAddress, loop: EventLoop) {
        loop.checkIsolated()
        self.loop = loop
        self.peer = peer
        driver = nil
        unsafe handle = .allocate(capacity: 1)
        unsafe uvCheck(uv_tcp_init(loop.handle, handle), "uv_tcp_init")
        unsafe handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
        if unsafe uv_tcp_open(handle, socket) != 0 {
            _ = closeDescriptor(socket)
            unsafe closeHandle(handle, Self.released)
            return nil
        }
    }

    /// A stream without a socket, on a loop with a driver.
    init(driver: any StreamDriver, peer: TCPAddress, loop: EventLoop) {
        loop.checkIsolated()
        self.loop = loop
        self.peer = peer
        self.driver = driver
        unsafe handle = .allocate(capacity: 1)
        driver.attach(self)
    }

    private var base: UnsafeMutablePointer<uv_stream_t> {
        unsafe UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_stream_t.self)
    }

    private static func of<Handle>(_ handle: UnsafeMutablePointer<Handle>?) -> TCPStream {
        // Safe: the handle holds a reference to its stream until the close callback.
        let raw = unsafe UnsafeMutableRawPointer(handle).unsafelyUnwrapped.assumingMemoryBound(to: uv_handle_t.self)
        return unsafe Unmanaged<TCPStream>.fromOpaque(uv_handle_get_data(raw)).takeUnretainedValue()
    }

    // MARK: - Reading

    /// Starts telling the handler about bytes; safe to repeat.
    public func startReading() {
        loop.checkIsolated()
        guard !isReading, !isClosing else { return }
        isReading = true
        if let driver { return driver.setReading(true) }
        let status = unsafe uv_read_start(
            base,
            { handle, _, buffer in
                let memory = unsafe TCPStream.of(handle).loop.readBuffer
                unsafe buffer?.pointee = uv_buf_init(
                    memory.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(memory.count))
            },
            { handle, count, _ in unsafe TCPStream.of(handle).wasRead(count) })
        if status < 0 { end(.failed(-status)) }
    }

    /// Stops taking bytes from the kernel, which then slows the peer down; safe to repeat.
    public func stopReading() {
        loop.checkIsolated()
        guard isReading else { return }
        isReading = false
        if let driver { return driver.setReading(false) }
        unsafe uv_read_stop(base)
    }

    /// For its driver: bytes came.
    public func arrived(_ bytes: [UInt8]) {
        var start = 0
        while start < bytes.count, !isClosing {
            let end = min(bytes.count, start + EventLoop.readBufferBytes)
            unsafe bytes.withUnsafeBytes { bytes in
                unsafe loop.readBuffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            }
            wasRead(end - start)
            start = end
        }
    }

    /// For its driver: the other side sends nothing more.
    public func peerEnded() { wasRead(Int(UV_EOF.rawValue)) }

    /// For its driver: the connection broke.
    public func broke(_ code: Int32) { wasRead(-Int(code)) }

    private func wasRead(_ count: Int) {
        guard !isClosing else { return }
        if count > 0 {
            let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: loop.readBuffer[..<count])
            unsafe handler?.streamReceived(self, bytes)
        } else if count < 0 {
            guard count == Int(UV_EOF.rawValue) else { return end(.failed(Int32(-count))) }
            stopReading()
            peerHasFinished = true
            handler?.streamEnded(self)
        }
    }

    /// Closes a stream whose peer has finished, in answer to `streamEnded`.
    public func closeAfterEnd() { end(.endOfFile) }

    // MARK: - Writing

    /// Writes bytes: now what the kernel takes, the rest as it takes it. Not to be called while blocked.
    public func write(_ bytes: UnsafeRawBufferPointer) {
        loop.checkIsolated()
        precondition(!isBlocked, "a blocked stream was written to")
        guard !isClosing, bytes.count > 0 else { return }
        if let driver { return unsafe driver.write(bytes) }
        var buffer = unsafe Self.buffer(bytes)
        let status = unsafe uv_try_write(base, &buffer, 1)
        if status == bytes.count { return }
        if status < 0, status != UV_EAGAIN.rawValue { return failedWriting(status) }
        let sent = max(0, Int(status))
        unsafe keep(UnsafeRawBufferPointer(rebasing: bytes[sent...]))
    }

    /// Writes shared buffers, gathered; as `write(_:)`.
    public func write(_ parts: [SharedBytes]) {
        loop.checkIsolated()
        precondition(!isBlocked, "a blocked stream was written to")
        if let driver {
            for part in parts { unsafe part.withUnsafeBytes { unsafe driver.write($0) } }
            return
        }
        var index = 0
        while index < parts.count, !isClosing {
            let group = parts[index..<min(parts.count, index + Self.gatherLimit)]
            var buffers = unsafe group.map { part in unsafe part.withUnsafeBytes { unsafe Self.buffer($0) } }
            let total = group.reduce(0) { $0 + $1.count }
            let status = unsafe uv_try_write(base, &buffers, UInt32(buffers.count))
            if status < 0, status != UV_EAGAIN.rawValue { return failedWriting(status) }
            let sent = max(0, Int(status))
            if sent < total {
                return keep(parts[index...], skipping: sent)
            }
            index += group.count
        }
    }

    private static func buffer(_ bytes: UnsafeRawBufferPointer) -> uv_buf_t {
        // libuv takes a mutable pointer, but only reads from what it writes to a socket.
        let start = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
        return unsafe uv_buf_init(start, UInt32(bytes.count))
    }

    private func keep(_ bytes: UnsafeRawBufferPointer) {
        unsafe keep(count: bytes.count) { unsafe $0.copyMemory(from: bytes) }
    }

    private func keep(_ parts: ArraySlice<SharedBytes>, skipping sent: Int) {
        let total = parts.reduce(0) { $0 + $1.count }
        unsafe keep(count: total - sent) { memory in
            var skipped = sent
            var offset = 0
            for part in parts {
                let start = min(skipped, part.count)
                skipped -= start
                guard start < part.count else { continue }
                unsafe part.withUnsafeBytes { bytes in
                    unsafe UnsafeMutableRawBufferPointer(rebasing: memory[offset...]).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: bytes[start...]))
                }
                offset += part.count - start
            }
        }
    }

    /// One block holds the request and the bytes that wait.
    private func keep(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let head = unsafe (MemoryLayout<uv_write_t>.size + 15) & ~15
        let block = UnsafeMutableRawPointer.allocate(byteCount: head + count, alignment: 16)
        let memory = unsafe UnsafeMutableRawBufferPointer(start: block + head, count: count)
        unsafe fill(memory)
        let request = unsafe block.bindMemory(to: uv_write_t.self, capacity: 1)
        unsafe request.initialize(to: uv_write_t())
        var buffer = unsafe Self.buffer(UnsafeRawBufferPointer(memory))
        isBlocked = true
        let status = unsafe uv_write(request, base, &buffer, 1) { request, status in
            guard let request = unsafe request else { return }
            let stream = unsafe TCPStream.of(request.pointee.handle)
            unsafe UnsafeMutableRawPointer(request).deallocate()
            stream.wrote(status)
        }
        if status < 0 {
            unsafe block.deallocate()
            isBlocked = false
            failedWriting(status)
        }
    }

    private func wrote(_ status: Int32) {
        isBlocked = false
        guard !isClosing else { return }
        if status < 0 { return failedWriting(status) }
        handler?.streamDrained(self)
        if finishes, !isBlocked { shutDown() }
    }

    private func failedWriting(_ status: Int32) { end(.failed(-status)) }

    /// Tells the peer that nothing more comes, once everything has left; the peer's own end then closes the stream.
    public func finishWriting() {
        loop.checkIsolated()
        guard !finishes, !isClosing else { return }
        finishes = true
        if !isBlocked { shutDown() }
    }

    private func shutDown() {
        // The handler may have finished or closed the stream from inside `streamDrained`.
        guard !isShutDown, !isClosing else { return }
        isShutDown = true
        if let driver {
            driver.finish()
            if peerHasFinished { end(.endOfFile) }
            return
        }
        let request = UnsafeMutablePointer<uv_shutdown_t>.allocate(capacity: 1)
        let status = unsafe uv_shutdown(request, base) { request, status in
            guard let request = unsafe request else { return }
            let stream = unsafe TCPStream.of(request.pointee.handle)
            unsafe request.deallocate()
            if status < 0 {
                stream.end(.failed(-status))
            } else if stream.peerHasFinished {
                stream.end(.endOfFile)  // both sides are done
            }
        }
        if status < 0 {
            unsafe request.deallocate()
            end(.failed(-status))
        }
    }

    // MARK: - Closing

    /// Closes at once; what has not left is lost. `streamClosed` follows in a later turn.
    public func close() { end(.local) }

    /// Closes at once with a reset, so that the kernel keeps nothing of the connection.
    public func reset() {
        loop.checkIsolated()
        guard !isClosing, driver == nil else { return end(.local) }
        var socket: uv_os_fd_t = 0
        let raw = unsafe UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
        if unsafe uv_fileno(raw, &socket) == 0 {
            var option = linger(l_onoff: 1, l_linger: 0)
            unsafe setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        end(.local)
    }

    private func end(_ reason: TCPCloseReason) {
        loop.checkIsolated()
        guard !isClosing else { return }
        isClosing = true
        self.reason = reason
        if let driver {
            driver.close()
            return loop.execute { [self] in
                handler?.streamClosed(self, reason)
                handler = nil
            }
        }
        unsafe closeHandle(handle, Self.released)
    }

    private static let released: uv_close_cb = { base in
        let stream = unsafe TCPStream.of(base)
        stream.handler?.streamClosed(stream, stream.reason)
        stream.handler = nil
        unsafe Unmanaged.passUnretained(stream).release()
    }

    deinit { unsafe handle.deallocate() }
}
