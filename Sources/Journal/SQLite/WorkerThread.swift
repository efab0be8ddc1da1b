// A thread and what wakes it, over POSIX threads and semaphores.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A counting wake-up: `raise` never blocks, `wait` returns once for each raise.
@safe
final class WakeSignal: @unchecked Sendable {
    // Safe: a POSIX semaphore may be used from all threads; its memory lives as long as this object.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init() {
        unsafe semaphore = .allocate(capacity: 1)
        unsafe sem_init(semaphore, 0, 0)
    }

    deinit {
        unsafe sem_destroy(semaphore)
        unsafe semaphore.deallocate()
    }

    func raise() { _ = unsafe sem_post(semaphore) }

    /// Waits for a raise, and takes all that have gathered.
    func wait() {
        while unsafe sem_wait(semaphore) != 0 {}
        while unsafe sem_trywait(semaphore) == 0 {}
    }
}

/// What a new thread runs.
private final class ThreadBody {
    let run: @Sendable () -> Void
    init(run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Starts a detached thread; signals stay with the threads that want them.
func startThread(_ run: @escaping @Sendable () -> Void) throws(JournalError) {
    let body = unsafe Unmanaged.passRetained(ThreadBody(run: run))
    var thread = pthread_t()
    var (all, before) = (sigset_t(), sigset_t())
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_BLOCK, &all, &before)
    let code = unsafe pthread_create(
        &thread, nil,
        { argument in
            guard let argument = unsafe argument else { return nil }
            // Balances passRetained above.
            unsafe Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
            return nil
        }, body.toOpaque())
    unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
    guard code == 0 else {
        unsafe body.release()
        throw .io("no thread for the journal (error \(code))")
    }
    pthread_detach(thread)
}
