/// One immutable heap buffer that any number of connections send from.
///
/// `@unchecked Sendable`: the memory is written in the initialiser and never again.
@safe public final class SharedBytes: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer

    /// Bytes in the buffer.
    public var count: Int { unsafe memory.count }

    /// Copies an array.
    public convenience init(_ bytes: [UInt8]) {
        unsafe self.init(count: bytes.count) { memory in
            unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0) }
        }
    }

    /// Copies memory.
    public convenience init(copying bytes: UnsafeRawBufferPointer) {
        unsafe self.init(count: bytes.count) { unsafe $0.copyMemory(from: bytes) }
    }

    /// Copies several buffers, one after the other.
    public convenience init(joining parts: [SharedBytes]) {
        unsafe self.init(count: parts.reduce(0) { $0 + $1.count }) { memory in
            var offset = 0
            for part in parts {
                unsafe UnsafeMutableRawBufferPointer(rebasing: memory[offset...]).copyMemory(
                    from: UnsafeRawBufferPointer(part.memory))
                offset += part.count
            }
        }
    }

    private init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        unsafe memory = .allocate(byteCount: count, alignment: 16)
        unsafe fill(memory)
    }

    deinit { unsafe memory.deallocate() }

    /// Lends the bytes for the duration of the call.
    @inline(__always)
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        unsafe body(UnsafeRawBufferPointer(memory))
    }

    /// A copy as an array.
    public var array: [UInt8] { unsafe Array(memory) }
}
