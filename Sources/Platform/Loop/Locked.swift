// A value behind a lock that is never held across an `await`.
//
// It is `Synchronization.Mutex`. Only where ThreadSanitizer watches is it a POSIX mutex: the sanitizer follows those,
// but cannot see into the standard library's, and would report everything behind it as a race.

#if TUMULTE_THREAD_SANITIZER
    #if canImport(Glibc)
        internal import Glibc
    #else
        internal import Darwin
    #endif

    /// A value behind a lock.
    ///
    /// `@unchecked Sendable`: the value is touched under the lock alone, and both pointers live as long as this does.
    @safe public struct Locked<Value>: ~Copyable, @unchecked Sendable {
        private let mutex: UnsafeMutablePointer<pthread_mutex_t>
        private let value: UnsafeMutablePointer<Value>

        /// Puts a value behind a lock.
        public init(_ initial: consuming sending Value) {
            unsafe mutex = .allocate(capacity: 1)
            unsafe pthread_mutex_init(mutex, nil)
            unsafe value = .allocate(capacity: 1)
            unsafe value.initialize(to: initial)
        }

        deinit {
            unsafe value.deinitialize(count: 1)
            unsafe value.deallocate()
            unsafe pthread_mutex_destroy(mutex)
            unsafe mutex.deallocate()
        }

        /// Runs `body` with the value, alone.
        public borrowing func withLock<Result, Failure: Error>(
            _ body: (inout sending Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            unsafe pthread_mutex_lock(mutex)
            defer { unsafe pthread_mutex_unlock(mutex) }
            nonisolated(unsafe) let pointer = unsafe value
            return try unsafe body(&pointer.pointee)
        }
    }
#else
    internal import Synchronization

    /// A value behind a lock.
    public struct Locked<Value>: ~Copyable, Sendable {
        private let mutex: Mutex<Value>

        /// Puts a value behind a lock.
        public init(_ initial: consuming sending Value) { mutex = Mutex(initial) }

        /// Runs `body` with the value, alone.
        public borrowing func withLock<Result, Failure: Error>(
            _ body: (inout sending Value) throws(Failure) -> sending Result
        ) throws(Failure) -> sending Result {
            try mutex.withLock(body)
        }
    }
#endif
