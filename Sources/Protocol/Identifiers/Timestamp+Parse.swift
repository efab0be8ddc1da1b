// Reading the one text form of a moment that the protocol writes.

extension Timestamp {
    /// Length of the text form in bytes.
    public static let textLength = 24

    /// The moments that the text form can write: the years 0000 to 9999.
    public static let textRange: ClosedRange<Timestamp> =
        Timestamp(milliseconds: -62_167_219_200_000)...Timestamp(milliseconds: 253_402_300_799_999)

    /// Parses exactly the form that `description` writes, as in `2026-03-01T12:00:00.000Z`; `nil` for any other form
    /// and for dates that do not exist.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == Self.textLength else { return nil }
        for (place, mark) in zip([4, 7, 10, 13, 16, 19, 23], "--T::.Z".utf8) where bytes[place] != mark { return nil }
        guard let year = Self.number(bytes[0..<4]), let month = Self.number(bytes[5..<7]),
            let day = Self.number(bytes[8..<10]), let hour = Self.number(bytes[11..<13]),
            let minute = Self.number(bytes[14..<16]), let second = Self.number(bytes[17..<19]),
            let fraction = Self.number(bytes[20..<23])
        else { return nil }
        guard (1...12).contains(month), (1...Self.days(inMonth: month, year: year)).contains(day), hour < 24,
            minute < 60, second < 60
        else { return nil }
        let seconds = ((Self.daysSinceEpoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
        self.init(milliseconds: seconds * 1000 + fraction)
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
        var value: Int64 = 0
        for byte in digits {
            guard byte &- UInt8(ascii: "0") < 10 else { return nil }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        return value
    }

    private static func days(inMonth month: Int64, year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Days from 1970-01-01 to a date: Howard Hinnant's `days_from_civil`.
    private static func daysSinceEpoch(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
