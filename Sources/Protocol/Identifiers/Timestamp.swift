/// A moment of wall-clock time: whole milliseconds since the Unix epoch, UTC. Only the clock's adapter makes one
/// from the system; machines get it as an argument.
public struct Timestamp: Hashable, Comparable, Sendable {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    public let milliseconds: Int64

    /// Takes milliseconds since the Unix epoch.
    @inlinable
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// Earlier first.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.milliseconds < b.milliseconds }

    /// The moment so many milliseconds later (or earlier, where negative).
    @inlinable
    public func advanced(byMilliseconds delta: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds + delta) }

    /// Milliseconds from `other` to this moment.
    @inlinable
    public func milliseconds(since other: Timestamp) -> Int64 { milliseconds - other.milliseconds }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC with milliseconds, as in `2026-03-01T12:00:00.000Z`.
    public var description: String {
        var bytes: [UInt8] = []
        appendText(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends the 24 bytes of the RFC 3339 form.
    ///
    /// The calendar arithmetic is Howard Hinnant's `civil_from_days` ("chrono-Compatible Low-Level Date Algorithms").
    public func appendText(to output: inout [UInt8]) {
        let day: Int64 = 86_400_000
        var days = milliseconds / day
        var rest = milliseconds % day
        if rest < 0 {
            rest += day
            days -= 1
        }
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        Self.append(year, digits: 4, to: &output)
        output.append(UInt8(ascii: "-"))
        Self.append(month, digits: 2, to: &output)
        output.append(UInt8(ascii: "-"))
        Self.append(dayOfMonth, digits: 2, to: &output)
        output.append(UInt8(ascii: "T"))
        Self.append(rest / 3_600_000, digits: 2, to: &output)
        output.append(UInt8(ascii: ":"))
        Self.append(rest / 60_000 % 60, digits: 2, to: &output)
        output.append(UInt8(ascii: ":"))
        Self.append(rest / 1000 % 60, digits: 2, to: &output)
        output.append(UInt8(ascii: "."))
        Self.append(rest % 1000, digits: 3, to: &output)
        output.append(UInt8(ascii: "Z"))
    }

    private static func append(_ value: Int64, digits: Int, to output: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<digits { divisor *= 10 }
        while divisor > 0 {
            output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }
}
