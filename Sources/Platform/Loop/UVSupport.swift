// Small things that every wrapper of this folder needs: error texts, handle closing, threads.

internal import CUV

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// An operation of the system that failed.
public struct SystemError: Error, Sendable, CustomStringConvertible {
    /// The errno value, positive.
    public let code: Int32
    /// What was being done.
    public let operation: String

    /// Takes the parts.
    public init(code: Int32, operation: String) {
        self.code = code
        self.operation = operation
    }

    /// The operation and the system's words for the code.
    public var description: String { unsafe "\(operation): \(String(cString: strerror(code)))" }
}

/// Stops the process where libuv refuses something that can only be refused to a program with a mistake in it.
@inline(__always)
func uvCheck(_ status: Int32, _ operation: StaticString) {
    precondition(status >= 0, "\(operation): \(unsafe String(cString: uv_strerror(status)))")
}

/// Closes a handle that needs nothing done afterwards and frees nothing.
func closeHandle<Handle>(_ handle: UnsafeMutablePointer<Handle>, _ done: uv_close_cb? = nil) {
    let base = unsafe UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self)
    guard unsafe uv_is_closing(base) == 0 else { return }
    unsafe uv_close(base, done)
}

/// Lets the loop end although this handle is still open.
func unreferenceHandle<Handle>(_ handle: UnsafeMutablePointer<Handle>) {
    unsafe uv_unref(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self))
}

func currentThreadID() -> UInt {
    #if canImport(Glibc)
        pthread_self()
    #else
        unsafe UInt(bitPattern: pthread_self())
    #endif
}

/// Names the calling thread, for debuggers and profilers.
func nameCurrentThread(_ name: String) { unsafe tumulte_name_thread(String(name.prefix(15))) }

/// A POSIX thread that runs one closure.
///
/// `@unchecked Sendable`: the handle is written once, before `join` may be called.
@safe public final class SystemThread: @unchecked Sendable {
    private var handle: pthread_t?
    private let body: @Sendable () -> Void

    /// Starts it.
    public init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
        var attributes = pthread_attr_t()
        unsafe pthread_attr_init(&attributes)
        unsafe pthread_attr_setstacksize(&attributes, 1 << 21)
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        #if canImport(Glibc)
            var started = pthread_t()
            let status = unsafe pthread_create(&started, &attributes, Self.entry, context)
            handle = started
        #else
            let status = unsafe pthread_create(&handle, &attributes, Self.entry, context)
        #endif
        unsafe pthread_attr_destroy(&attributes)
        precondition(status == 0, "pthread_create: \(status)")
    }

    #if canImport(Glibc)
        private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            unsafe run(context)
        }
    #else
        private static let entry: @convention(c) (UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? = { context in
            run(context)
        }
    #endif

    private static func run(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        guard let context = unsafe context else { return nil }
        let thread = unsafe Unmanaged<SystemThread>.fromOpaque(context).takeRetainedValue()
        thread.body()
        return nil
    }

    /// Waits for the thread's end; call once.
    public func join() {
        guard let handle else { return }
        pthread_join(handle, nil)
    }
}
