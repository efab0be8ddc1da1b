// What the frame parser tells its connection, and where the bytes of a message lie.

/// The bytes of one message or control frame, already unmasked.
public enum WebSocketPayload: Sendable {
    /// They lie in the read buffer that was given to `next`, at these offsets from its start: read them before the
    /// buffer is used again. Nothing was copied.
    case inBuffer(Range<Int>)
    /// They came in pieces, or compressed, and were put together here.
    case assembled([UInt8])

    /// Lends the bytes, wherever they are.
    ///
    /// - Parameter buffer: the buffer that was given to `next`.
    @inlinable
    public func withBytes<Result, Failure: Error>(
        in buffer: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        switch self {
        case .inBuffer(let range):
            return try unsafe body(UnsafeRawBufferPointer(rebasing: buffer[range]))
        case .assembled(let bytes):
            // A closure that `withUnsafeBytes` calls exactly once; typed throws travel in the result.
            let result = unsafe bytes.withUnsafeBytes { bytes -> Swift.Result<Result, Failure> in
                do throws(Failure) { return .success(try unsafe body(bytes)) } catch { return .failure(error) }
            }
            return try result.get()
        }
    }

    /// The number of bytes.
    @inlinable
    public var count: Int {
        switch self {
        case .inBuffer(let range): range.count
        case .assembled(let bytes): bytes.count
        }
    }
}

/// One step of a WebSocket connection.
public enum WebSocketEvent: Sendable {
    /// The buffer is used up; read more.
    case needMore
    /// A whole text message, valid UTF-8, decompressed.
    case text(WebSocketPayload)
    /// A whole binary message, decompressed.
    case binary(WebSocketPayload)
    /// Answer with a pong of the same bytes (0–125).
    case ping(WebSocketPayload)
    /// An answer to a ping, or unasked.
    case pong(WebSocketPayload)
    /// The peer closes: echo the code and close. `code` is nil where none was sent; the reason is valid UTF-8 of at
    /// most 123 bytes. Nothing is parsed after it.
    case close(code: UInt16?, reason: WebSocketPayload)
    /// The peer broke the protocol: send a close frame with this code, then close. Nothing is parsed after it.
    case violation(closeCode: UInt16, reason: String)
}

/// Frame types of RFC 6455.
public enum WebSocketOpcode: UInt8, Sendable, CaseIterable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10
}
