// One libuv loop on a thread of its own, and the executor of the actors that live there.
//
//   one turn:   timers ─► prepare ─► poll for I/O ─► check
//                            │                          │
//                            └── jobs, then turn-end hooks, until nothing is left (bounded)
//
// A job that is enqueued from the loop's own thread goes into a plain array; one from another thread goes behind a
// lock, and the first of a batch wakes the loop. Actors of one loop therefore hand work to each other without a lock,
// a wake-up or a trip through the kernel.

internal import CUV
import Synchronization

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A loop, its thread and its executor.
///
/// `@unchecked Sendable`: everything but `remote` is touched on the loop's thread alone (each entry checks that it is
/// there), and `remote` is behind a mutex.
@safe public final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    /// The loop's place in its group.
    public let index: Int
    /// Turns so far; for tests and metrics, read on the loop.
    public private(set) var turnCount: UInt64 = 0

    /// Who turns this loop; `nil` for one that libuv turns on a thread of its own.
    let driver: (any LoopDriver)?
    let handle: UnsafeMutablePointer<uv_loop_t>
    let readBuffer: UnsafeMutableRawBufferPointer
    private let wakeUp: UnsafeMutablePointer<uv_async_t>
    private let prepare: UnsafeMutablePointer<uv_prepare_t>
    private let check: UnsafeMutablePointer<uv_check_t>
    private let idle: UnsafeMutablePointer<uv_idle_t>
    /// What debuggers and profilers call its thread.
    public let name: String

    private struct Remote {
        var jobs: [UnownedJob] = []
        var closures: [@Sendable () -> Void] = []
        var isWoken = false
        var isClosed = false
    }

    private let remote = Locked(Remote())
    private var jobs: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var closures: [@Sendable () -> Void] = []
    private var hooks: [@Sendable () -> Void] = []
    private var isIdleActive = false
    private var thread: SystemThread?
    private let threadID = Atomic<UInt>(0)
    private var isStopping = false

    /// Bytes that one read takes at most; the buffer is shared by all connections of the loop.
    static let readBufferBytes = 64 * 1024
    /// Rounds of jobs and hooks in one turn before I/O is looked at again.
    private static let roundsPerTurn = 8

    init(index: Int, name: String, driver: (any LoopDriver)? = nil) {
        self.index = index
        self.name = name
        self.driver = driver
        unsafe handle = .allocate(capacity: 1)
        unsafe wakeUp = .allocate(capacity: 1)
        unsafe prepare = .allocate(capacity: 1)
        unsafe check = .allocate(capacity: 1)
        unsafe idle = .allocate(capacity: 1)
        unsafe readBuffer = .allocate(byteCount: Self.readBufferBytes, alignment: 16)
        if driver == nil { makeHandles() }
    }

    private func makeHandles() {
        unsafe uvCheck(uv_loop_init(handle), "uv_loop_init")
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe handle.pointee.data = context
        unsafe uvCheck(uv_async_init(handle, wakeUp) { unsafe EventLoop.of($0).woken() }, "uv_async_init")
        unsafe wakeUp.pointee.data = context
        unsafe uvCheck(uv_prepare_init(handle, prepare), "uv_prepare_init")
        unsafe prepare.pointee.data = context
        unsafe uvCheck(uv_check_init(handle, check), "uv_check_init")
        unsafe check.pointee.data = context
        unsafe uvCheck(uv_idle_init(handle, idle), "uv_idle_init")
        unsafe idle.pointee.data = context
        unsafe uvCheck(uv_prepare_start(prepare) { unsafe EventLoop.of($0).endOfTurn() }, "uv_prepare_start")
        unsafe uvCheck(uv_check_start(check) { unsafe EventLoop.of($0).turned() }, "uv_check_start")
    }

    deinit {
        unsafe handle.deallocate()
        unsafe wakeUp.deallocate()
        unsafe prepare.deallocate()
        unsafe check.deallocate()
        unsafe idle.deallocate()
        unsafe readBuffer.deallocate()
    }

    private static func of<Handle>(_ handle: UnsafeMutablePointer<Handle>?) -> EventLoop {
        // Safe: every handle that reaches this is owned by a loop that outlives it and stored itself in `data`.
        let base = unsafe UnsafeMutableRawPointer(handle).unsafelyUnwrapped.assumingMemoryBound(to: uv_handle_t.self)
        return unsafe Unmanaged<EventLoop>.fromOpaque(uv_handle_get_data(base)).takeUnretainedValue()
    }

    // MARK: - Executor

    /// Whether the caller is on this loop's thread.
    public var isCurrent: Bool {
        if let driver { return driver.isTurning(self) }
        return threadID.load(ordering: .relaxed) == currentThreadID()
    }

    /// Runs a job at the next opportunity on the loop's thread.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if let driver {
            jobs.append(job)
            return driver.wake(self)
        }
        if isCurrent {
            jobs.append(job)
            return
        }
        let mustWake = remote.withLock { remote in
            precondition(!remote.isClosed, "a job was enqueued on a loop that has ended")
            remote.jobs.append(job)
            defer { remote.isWoken = true }
            return !remote.isWoken
        }
        if mustWake { unsafe uvCheck(uv_async_send(wakeUp), "uv_async_send") }
    }

    /// Lets `assumeIsolated` succeed exactly on this loop's thread.
    public func checkIsolated() {
        precondition(isCurrent, "not on the thread of loop \(index)")
    }

    /// Whether the caller may enter actors of this loop; used by the runtime's checks.
    public func isIsolatingCurrentContext() -> Bool? { isCurrent }

    /// Runs a closure on the loop, from any thread, in the order of the calls of one thread.
    public func execute(_ body: @escaping @Sendable () -> Void) {
        if let driver {
            closures.append(body)
            return driver.wake(self)
        }
        if isCurrent {
            closures.append(body)
            return
        }
        let mustWake = remote.withLock { remote in
            precondition(!remote.isClosed, "a closure was given to a loop that has ended")
            remote.closures.append(body)
            defer { remote.isWoken = true }
            return !remote.isWoken
        }
        if mustWake { unsafe uvCheck(uv_async_send(wakeUp), "uv_async_send") }
    }

    /// Registers a hook that runs at the end of each turn, after the jobs, in the order of registration.
    public func onTurnEnd(_ hook: @escaping @Sendable () -> Void) {
        checkIsolated()
        hooks.append(hook)
    }

    /// A fresh reading of the clock that does not stop.
    public var monotonic: MonotonicTime { driver?.virtualTime ?? .now }

    // MARK: - Turns

    private func woken() { takeRemoteJobs() }

    private func takeRemoteJobs() {
        remote.withLock { remote in
            remote.isWoken = false
            if !remote.closures.isEmpty {
                closures.append(contentsOf: remote.closures)
                remote.closures.removeAll(keepingCapacity: true)
            }
            guard !remote.jobs.isEmpty else { return }
            jobs.append(contentsOf: remote.jobs)
            remote.jobs.removeAll(keepingCapacity: true)
        }
    }

    private func turned() {
        turnCount &+= 1
        endOfTurn()
    }

    /// One turn of a loop that has a driver; called by that one alone.
    ///
    /// - Parameters:
    ///   - limit: rounds of jobs and hooks, at least 1.
    ///   - event: what happened, before the jobs.
    /// - Returns: whether something is left for another turn.
    public func turn(rounds limit: Int, _ event: (() -> Void)? = nil) -> Bool {
        precondition(driver != nil, "a loop with a thread of its own turns by itself")
        event?()
        turnCount &+= 1
        runRounds(limit)
        return isBusy
    }

    private var isBusy: Bool { !jobs.isEmpty || !closures.isEmpty }

    private func runRounds(_ limit: Int) {
        var rounds = 0
        repeat {
            runClosures()
            runJobs()
            for hook in hooks { hook() }
            rounds += 1
        } while isBusy && rounds < limit
    }

    private func endOfTurn() {
        runRounds(Self.roundsPerTurn)
        // What is left runs in the next turn, which then must not block in poll.
        let isBusy = isBusy
        guard isBusy != isIdleActive else { return }
        isIdleActive = isBusy
        if isBusy {
            unsafe uvCheck(uv_idle_start(idle) { _ in }, "uv_idle_start")
        } else {
            unsafe uvCheck(uv_idle_stop(idle), "uv_idle_stop")
        }
    }

    private func runClosures() {
        guard !closures.isEmpty else { return }
        let batch = closures
        closures.removeAll()
        for closure in batch { closure() }
    }

    private func runJobs() {
        guard !jobs.isEmpty else { return }
        swap(&jobs, &running)
        let executor = unsafe asUnownedSerialExecutor()
        for job in running { unsafe job.runSynchronously(on: executor) }
        running.removeAll(keepingCapacity: true)
    }

    // MARK: - Life

    func start() {
        guard driver == nil else { return }
        thread = SystemThread { [self] in runUntilClosed() }
        while threadID.load(ordering: .acquiring) == 0 { sched_yield() }
    }

    private func runUntilClosed() {
        nameCurrentThread(name)
        threadID.store(currentThreadID(), ordering: .releasing)
        // Ends where `stop` was called and no handle but the loop's own is left. Closing those last handles may have
        // given work, and so may other threads: nothing that was taken on is dropped.
        repeat {
            _ = unsafe uv_run(handle, UV_RUN_DEFAULT)
            takeRemoteJobs()
            endOfTurn()
        } while !closeIfIdle()
        unsafe closeHandle(wakeUp)
        unsafe closeHandle(prepare)
        unsafe closeHandle(check)
        unsafe closeHandle(idle)
        _ = unsafe uv_run(handle, UV_RUN_DEFAULT)
        unsafe uvCheck(uv_loop_close(handle), "uv_loop_close: a handle was left open")
        hooks = []
        // The system may give this thread's identity to another one.
        threadID.store(0, ordering: .releasing)
    }

    /// Refuses further work once none is left.
    private func closeIfIdle() -> Bool {
        let isAlive = unsafe uv_loop_alive(handle) != 0
        guard jobs.isEmpty, closures.isEmpty, !isAlive else { return false }
        return remote.withLock { remote in
            guard remote.jobs.isEmpty, remote.closures.isEmpty else { return false }
            remote.isClosed = true
            return true
        }
    }

    /// Lets the loop end once every handle but its own is closed and no work is left.
    func stop() {
        guard driver == nil else { return }
        execute { [self] in
            guard !isStopping else { return }
            isStopping = true
            unsafe unreferenceHandle(wakeUp)
            unsafe unreferenceHandle(prepare)
            unsafe unreferenceHandle(check)
            unsafe unreferenceHandle(idle)
        }
    }

    /// Waits for the loop's thread; call once, after `stop`, on another thread.
    func join() {
        thread?.join()
        // The thread's closure holds the loop.
        thread = nil
    }
}
