import Protocol
import Testing

@testable import Journal

struct LapseWatchTests {
    private static let ttl: UInt64 = 3_000
    private static let (me, other): (UInt128, UInt128) = (1, 2)
    private static func time(_ milliseconds: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds) }

    @Test func `a lease that is not renewed for as long as it lasts is silent, whatever it says`() {
        var watch = LapseWatch()
        watch.look([Self.me: Self.time(10), Self.other: Self.time(10)], at: 100)
        watch.look([Self.me: Self.time(20), Self.other: Self.time(10)], at: 1_100)
        #expect(watch.silent(for: Self.ttl, at: 3_099, otherThan: Self.me) == [])
        #expect(watch.silent(for: Self.ttl, at: 3_100, otherThan: Self.me) == [Self.other])
    }

    @Test func `a renewal begins the wait anew, also where the server's clock goes back`() {
        var watch = LapseWatch()
        watch.look([Self.other: Self.time(10_000)], at: 0)
        watch.look([Self.other: Self.time(4_000)], at: 2_000)
        #expect(watch.silent(for: Self.ttl, at: 4_999, otherThan: Self.me) == [])
        #expect(watch.silent(for: Self.ttl, at: 5_000, otherThan: Self.me) == [Self.other])
    }

    @Test func `nobody is silent to itself, and who has gone is forgotten`() {
        var watch = LapseWatch()
        watch.look([Self.me: Self.time(10), Self.other: Self.time(10)], at: 0)
        watch.look([Self.me: Self.time(10)], at: 1)
        #expect(watch.silent(for: Self.ttl, at: 9_000, otherThan: Self.me) == [])
        watch.look([Self.me: Self.time(10), Self.other: Self.time(10)], at: 9_000)
        #expect(watch.silent(for: Self.ttl, at: 9_001, otherThan: Self.me) == [])
    }
}
