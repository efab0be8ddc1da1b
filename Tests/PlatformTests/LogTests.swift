import Protocol
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite struct LogTests {
    private let lines = Recorder<String>()

    private func log(_ format: LogFormat, level: LogLevel = .debug) -> Log {
        let clock = ManualClock(at: Timestamp(milliseconds: 1_772_366_400_123))
        return Log(level: level, format: format, clock: clock) { [lines] line in
            lines.append(String(decoding: line, as: UTF8.self))
        }
    }

    @Test func `a text line is for people`() {
        log(.text).info(
            "node.ready",
            [("address", .string("a \"b\"")), ("count", .integer(-3)), ("ratio", .number(0.5)), ("ok", .boolean(true))])
        log(.text).error("node.failed")
        #expect(
            lines.all == [
                "2026-03-01T12:00:00.123Z info node.ready address=\"a \\\"b\\\"\" count=-3 ratio=0.5 ok=true\n",
                "2026-03-01T12:00:00.123Z error node.failed\n",
            ])
    }

    @Test func `a JSON line is an object`() {
        log(.json).warn(
            "slot.lost",
            [
                ("reason", .string("é\\")), ("count", .integer(7)), ("ratio", .number(.infinity)),
                ("ok", .boolean(false)),
            ])
        log(.json).debug("empty")
        #expect(
            lines.all == [
                "{\"ts\":\"2026-03-01T12:00:00.123Z\",\"level\":\"warn\",\"event\":\"slot.lost\","
                    + "\"reason\":\"é\\\\\",\"count\":7,\"ratio\":null,\"ok\":false}\n",
                "{\"ts\":\"2026-03-01T12:00:00.123Z\",\"level\":\"debug\",\"event\":\"empty\"}\n",
            ])
    }

    @Test(arguments: LogFormat.allCases)
    func `no character of a value can break its line`(_ format: LogFormat) {
        let dangerous = (0..<0x20).map { UInt32($0) } + (0x7F...0x9F).map { UInt32($0) } + [0x2028, 0x2029]
        let text = String(String.UnicodeScalarView(dangerous.compactMap(Unicode.Scalar.init)))
        log(format).info("event", [("value", .string(text))])
        let line = lines.all[0]
        #expect(line.hasSuffix("\n"))
        for scalar in line.unicodeScalars.dropLast() { #expect(!dangerous.contains(scalar.value)) }
        #expect(line.contains("\\u0000"))
        #expect(line.contains("\\n\\u000b"))
        #expect(line.contains("\\u001b"))
        #expect(line.contains("\\u009b"))
        #expect(line.contains("\\u2028\\u2029\""))
    }

    @Test func `a long value is cut between two characters`() {
        let text = String(repeating: "☂", count: 1000)
        log(.text).info("event", [("value", .string(text)), ("next", .integer(1))])
        let prefix = "2026-03-01T12:00:00.123Z info event value=\""
        #expect(lines.all == [prefix + String(repeating: "☂", count: 342) + "…\" next=1\n"])
        let exact = String(repeating: "x", count: Log.valueBytesLimit)
        log(.text).info("event", [("value", .string(exact))])
        #expect(lines.all.last == prefix + exact + "\"\n")
    }

    @Test func `below the level nothing is written, nor are the fields made`() {
        let made = Atomic<Int>(0)
        func field() -> [(StaticString, LogValue)] {
            made.add(1, ordering: .relaxed)
            return []
        }
        let log = log(.text, level: .warn)
        log.debug("a", field())
        log.info("b", field())
        #expect(made.load(ordering: .relaxed) == 0)
        #expect(lines.count == 0)
        log.warn("c", field())
        log.error("d", field())
        #expect(made.load(ordering: .relaxed) == 2)
        #expect(lines.count == 2)
    }
}
