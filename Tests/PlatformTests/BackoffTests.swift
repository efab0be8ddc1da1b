import Platform
import Testing

struct BackoffTests {
    private static let millisecond: UInt64 = 1_000_000

    @Test func `pauses grow to their limit and start again after a success`() {
        var backoff = Backoff.toStore
        let pauses = (0..<40).map { _ in backoff.failed(random: .max) }
        #expect(Array(pauses.prefix(7)) == [100, 200, 400, 800, 1600, 3200, 5000].map { $0 * Self.millisecond })
        #expect(pauses.dropFirst(7).allSatisfy { $0 == backoff.longestNanoseconds })
        backoff.succeeded()
        #expect(backoff.failed(random: .max) == 100 * Self.millisecond)
    }

    @Test func `chance takes away the whole of a pause, or half of it`() {
        var whole = Backoff(firstNanoseconds: 100, longestNanoseconds: 400)
        #expect([0, 1 << 63, .max].map { whole.failed(random: $0) } == [0, 100, 400])
        var half = Backoff(firstNanoseconds: 100, longestNanoseconds: 400, jitter: .half)
        #expect([0, 1 << 63, .max].map { half.failed(random: $0) } == [50, 150, 400])
    }

    @Test func `deadlines end at the last moment there is`() {
        let time = MonotonicTime(nanoseconds: 7)
        #expect(time.advanced(byNanoseconds: 5) == MonotonicTime(nanoseconds: 12))
        #expect(time.advanced(byNanoseconds: .max) == MonotonicTime(nanoseconds: .max))
        #expect(time.nanoseconds(until: MonotonicTime(nanoseconds: 12)) == 5)
        #expect(MonotonicTime(nanoseconds: 12).nanoseconds(until: time) == 0)
    }

    @Test func `attempts that follow each other share what is left`() {
        let now = MonotonicTime(nanoseconds: 100)
        let deadline = MonotonicTime(nanoseconds: 400)
        #expect(deadline.share(among: 3, at: now) == MonotonicTime(nanoseconds: 200))
        #expect(deadline.share(among: 0, at: now) == deadline)
        #expect(now.share(among: 2, at: deadline) == deadline)
    }
}
