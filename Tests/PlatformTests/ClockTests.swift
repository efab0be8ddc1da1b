import Glibc
import Protocol
import Testing

@testable import Platform

@Suite struct ClockTests {
    @Test func `a manual clock moves only when told to`() {
        let clock = ManualClock(at: Timestamp(milliseconds: 1000))
        let start = clock.monotonic()
        #expect(clock.now() == Timestamp(milliseconds: 1000))
        #expect(clock.monotonic() == start)
        clock.advance(milliseconds: 250)
        clock.advance(milliseconds: 0)
        #expect(clock.now() == Timestamp(milliseconds: 1250))
        #expect(clock.monotonic().nanoseconds == start.nanoseconds + 250_000_000)
        #expect(start < clock.monotonic())
    }

    @Test func `the system's clock tells the time and never goes back`() {
        let clock = SystemClock()
        let before = time(nil)
        let now = clock.now()
        let after = time(nil)
        // `time` may lag one tick behind.
        #expect(now.milliseconds >= Int64(before) * 1000)
        #expect(now.milliseconds < Int64(after + 2) * 1000)
        var last = clock.monotonic()
        for _ in 0..<10_000 {
            let next = clock.monotonic()
            #expect(next >= last)
            last = next
        }
    }

    /// The sequence of the generator's published code for the seed 1234567.
    @Test func `the seeded generator is SplitMix64`() {
        let random = SeededRandom(seed: 1_234_567)
        let expected: [UInt64] = [
            6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
        ]
        for value in expected { #expect(random.next() == value) }
        let zero = SeededRandom(seed: 0)
        #expect(zero.next128() == 0xE220_A839_7B1D_CDAF_6E78_9E6A_A1B9_65F4)
    }

    @Test func `the system's generator does not repeat itself`() {
        let random = SystemRandom()
        #expect(Set((0..<1000).map { _ in random.next128() }).count == 1000)
    }

    @Test func `facts of the process are plausible`() throws {
        #expect(ProcessFacts.residentBytes > 1 << 20)
        #expect(ProcessFacts.openDescriptors >= 3)
        #expect(ProcessFacts.processorSeconds > 0)
        #expect(ProcessFacts.cores >= 1)
        #expect(!ProcessFacts.hostName.isEmpty)
        #expect(ProcessFacts.environment["PATH"] != nil)
        #expect(ProcessFacts.readFile("/nowhere/at/all") == nil)
        #expect(ProcessFacts.readFile("/dev/null") == [])
        #expect(try #require(ProcessFacts.readFile("/proc/self/status")).starts(with: Array("Name:".utf8)))
    }
}
