// Time, as the core gets it: through a protocol, so that a test or a simulation can hold the hands.

public import Protocol

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A reading of a clock that never stops and never steps; nanoseconds since some fixed moment of this boot.
public struct MonotonicTime: Hashable, Comparable, Sendable {
    /// Nanoseconds.
    public let nanoseconds: UInt64

    /// Takes nanoseconds.
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Orders by time.
    public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }

    /// So many nanoseconds later; the last moment there is where that is too far.
    public func advanced(byNanoseconds delta: UInt64) -> MonotonicTime {
        let (sum, isTooFar) = nanoseconds.addingReportingOverflow(delta)
        return MonotonicTime(nanoseconds: isTooFar ? .max : sum)
    }

    /// Nanoseconds until `later`; 0 where that has passed.
    public func nanoseconds(until later: MonotonicTime) -> UInt64 {
        later.nanoseconds > nanoseconds ? later.nanoseconds - nanoseconds : 0
    }

    /// This deadline's share for the first of `count` attempts that follow each other from `now` on.
    public func share(among count: Int, at now: MonotonicTime = .now) -> MonotonicTime {
        now.advanced(byNanoseconds: now.nanoseconds(until: self) / UInt64(max(1, count)))
    }

    /// The system's reading: `CLOCK_BOOTTIME` on Linux, which goes on while the machine sleeps; `CLOCK_MONOTONIC_RAW`
    /// elsewhere.
    public static var now: MonotonicTime {
        #if canImport(Glibc)
            MonotonicTime(nanoseconds: readClock(CLOCK_BOOTTIME))
        #else
            MonotonicTime(nanoseconds: readClock(CLOCK_MONOTONIC_RAW))
        #endif
    }
}

/// Where the core gets the time.
public protocol Clock: Sendable {
    /// The wall-clock time.
    func now() -> Timestamp
    /// The clock for durations and deadlines of this process.
    func monotonic() -> MonotonicTime
}

/// The machine's clocks.
public struct SystemClock: Clock {
    /// Makes one; it has no state.
    public init() {}

    /// `CLOCK_REALTIME`.
    public func now() -> Timestamp { Timestamp(milliseconds: Int64(readClock(CLOCK_REALTIME) / 1_000_000)) }

    /// See `MonotonicTime.now`.
    public func monotonic() -> MonotonicTime { .now }
}

/// A clock that moves only when told to.
public final class ManualClock: Clock {
    private let state: Locked<(wall: Int64, monotonic: UInt64)>

    /// Starts at a wall-clock time; the monotonic clock starts at one second.
    public init(at time: Timestamp) { state = Locked((time.milliseconds, 1_000_000_000)) }

    /// The time it was set to.
    public func now() -> Timestamp { Timestamp(milliseconds: state.withLock { $0.wall }) }

    /// What has been advanced so far.
    public func monotonic() -> MonotonicTime { MonotonicTime(nanoseconds: state.withLock { $0.monotonic }) }

    /// Moves both clocks forward.
    public func advance(milliseconds: Int64) {
        precondition(milliseconds >= 0)
        state.withLock {
            $0.wall += milliseconds
            $0.monotonic += UInt64(milliseconds) * 1_000_000
        }
    }
}

private func readClock(_ id: clockid_t) -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(id, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
