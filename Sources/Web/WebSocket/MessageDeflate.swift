// permessage-deflate (RFC 7692) without context takeover: every message stands alone, so one compressor and one
// decompressor serve all connections of a loop, and the compressed frame of a broadcast is the same for everyone.
// The only file that knows zlib.
internal import CZlib

/// Compresses single messages. One per loop; it must not be shared between threads.
@safe public final class MessageDeflater {
    /// Owned by this object alone, from `deflateInit2_` to `deflateEnd`, at an address that never changes; zlib keeps
    /// pointers only to memory that it allocated itself, as the buffers are taken back after every call.
    private let stream: UnsafeMutablePointer<z_stream>

    /// Takes about 260 KB for the compressor's window.
    ///
    /// - Parameter level: 1 (fast) to 9 (small).
    public init(level: Int = 6) {
        precondition((1...9).contains(level))
        unsafe stream = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        let status = unsafe deflateInit2_(
            stream, Int32(level), Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib could not start a compressor: \(status)")
    }

    deinit {
        unsafe _ = deflateEnd(stream)
        unsafe stream.deallocate()
    }

    /// The payload of a compressed frame for this message.
    public func compress(_ message: [UInt8]) -> [UInt8] {
        unsafe message.withUnsafeBytes { bytes in unsafe compress(bytes) }
    }

    /// The payload of a compressed frame for this message.
    public func compress(_ message: UnsafeRawBufferPointer) -> [UInt8] {
        guard unsafe !message.isEmpty else { return [0] }
        precondition(message.count <= Int(UInt32.max) / 2)
        unsafe _ = deflateReset(stream)
        // What a flushed stream takes at most: the bound of a finished one and the five bytes of the flush.
        let capacity = unsafe Int(deflateBound(stream, UInt(message.count))) + 16
        return unsafe [UInt8](unsafeUninitializedCapacity: capacity) { output, count in
            unsafe stream.pointee.next_in = UnsafeMutablePointer(
                mutating: message.bindMemory(to: UInt8.self).baseAddress)
            unsafe stream.pointee.avail_in = UInt32(message.count)
            unsafe stream.pointee.next_out = output.baseAddress
            unsafe stream.pointee.avail_out = UInt32(capacity)
            let status = unsafe deflate(stream, Z_SYNC_FLUSH)
            precondition(
                unsafe status == Z_OK && stream.pointee.avail_in == 0 && stream.pointee.avail_out > 0,
                "deflate: \(status)")
            // The flush ends in 00 00 FF FF, which the receiver adds again.
            count = unsafe capacity - Int(stream.pointee.avail_out) - 4
            unsafe stream.pointee.next_in = nil
            unsafe stream.pointee.next_out = nil
        }
    }
}

/// Decompresses single messages. One per loop; it must not be shared between threads.
@safe public final class MessageInflater {
    /// The bit of zlib's `data_type` that says: between two blocks.
    private static let afterBlock: Int32 = 128

    /// What became of a message.
    public enum Outcome: Sendable, Equatable {
        case message([UInt8])
        /// More than the bytes allowed would have come out: close with 1009.
        case tooLarge
        /// Not deflate data: close with 1007.
        case corrupt
    }

    /// Owned by this object alone from `inflateInit2_` to `inflateEnd`, as the deflater's.
    private let stream: UnsafeMutablePointer<z_stream>

    /// Takes about 40 KB for the decompressor's window.
    public init() {
        unsafe stream = UnsafeMutablePointer.allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        let status = unsafe inflateInit2_(stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib could not start a decompressor: \(status)")
    }

    deinit {
        unsafe _ = inflateEnd(stream)
        unsafe stream.deallocate()
    }

    /// Undoes the compression of one message, all its fragments joined.
    ///
    /// - Parameter bytesLimit: bytes that may come out; memory never exceeds twice that, whatever was sent.
    public func inflate(_ compressed: [UInt8], bytesLimit: Int) -> Outcome {
        unsafe _ = inflateReset(stream)
        var input = compressed
        input.append(contentsOf: [0, 0, 0xFF, 0xFF])
        var output: [UInt8] = []
        let inputCount = input.count
        return unsafe input.withUnsafeMutableBufferPointer { source in
            unsafe stream.pointee.next_in = source.baseAddress
            unsafe stream.pointee.avail_in = UInt32(inputCount)
            defer {
                unsafe stream.pointee.next_in = nil
                unsafe stream.pointee.next_out = nil
            }
            while true {
                let room = min(max(output.count, inputCount * 4, 256), bytesLimit + 1 - output.count)
                let status = step(room, &output)
                guard output.count <= bytesLimit else { return .tooLarge }
                switch unsafe (status, stream.pointee.avail_in, stream.pointee.avail_out) {
                case (Z_STREAM_END, 1..., _):
                    // A sender may end its deflate stream inside a message; what follows is another one.
                    unsafe _ = inflateReset(stream)
                case (Z_OK, 1..., _), (Z_OK, _, 0): continue
                // All was read and nothing more came out: whole if that was the end of a block, else cut off.
                case (Z_OK, 0, _), (Z_BUF_ERROR, 0, _):
                    return unsafe stream.pointee.data_type & Self.afterBlock != 0 ? .message(output) : .corrupt
                default: return .corrupt
                }
            }
        }
    }

    /// Lets at most `room` further bytes come out.
    private func step(_ room: Int, _ output: inout [UInt8]) -> Int32 {
        var status = Z_OK
        let piece = unsafe [UInt8](unsafeUninitializedCapacity: room) { target, count in
            unsafe stream.pointee.next_out = target.baseAddress
            unsafe stream.pointee.avail_out = UInt32(room)
            status = unsafe CZlib.inflate(stream, Z_SYNC_FLUSH)
            count = unsafe room - Int(stream.pointee.avail_out)
        }
        if output.isEmpty { output = piece } else { output.append(contentsOf: piece) }
        return status
    }
}
