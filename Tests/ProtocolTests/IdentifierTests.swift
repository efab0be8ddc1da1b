// The text forms of ids and moments.

import Protocol
import Testing

struct IdentifierTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_799_999, "2000-02-29T23:59:59.999Z"), (1_767_225_600_123, "2026-01-01T00:00:00.123Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"), (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ])
    func `a moment has one text form`(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text) == Timestamp(milliseconds: milliseconds))
    }

    @Test func `random moments come through their text form unchanged`() {
        var generator = MessageGenerator(seed: 11)
        for _ in 0..<5000 {
            let time = generator.time()
            #expect(Timestamp(time.description) == time)
        }
    }

    @Test(arguments: [
        "", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000z", "2026-01-01 00:00:00.000Z", "2026-13-01T00:00:00.000Z",
        "2026-00-01T00:00:00.000Z", "2026-02-29T00:00:00.000Z", "2100-02-29T00:00:00.000Z", "2026-04-31T00:00:00.000Z",
        "2026-01-00T00:00:00.000Z", "2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z", "2026-01-01T00:00:60.000Z",
        "2026-01-01T00:00:00.00Z0", "+026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z ",
    ])
    func `other forms and dates that do not exist are no moments`(text: String) { #expect(Timestamp(text) == nil) }

    @Test func `the example of RFC 9562 is read bit by bit`() throws {
        let id = try #require(UUIDv7("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"))
        #expect(id.bits == 0x017f_22e2_79b0_7cc3_98c4_dc0c_0c07_398f)
        #expect(id.description == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        #expect(Int64(id.bits >> 80) == 1_645_557_742_000)
    }

    @Test func `random ids come through their text form unchanged`() {
        var generator = MessageGenerator(seed: 12)
        for _ in 0..<2000 {
            let id = generator.uuid()
            #expect(UUIDv7(id.description) == id)
            #expect(UUIDv7(bits: id.bits) == id)
        }
    }

    @Test func `ids sort by their time`() {
        let early = UUIDv7(at: Timestamp(milliseconds: 1000), random: .max)
        let late = UUIDv7(at: Timestamp(milliseconds: 1001), random: 0)
        #expect(early < late)
    }

    @Test(arguments: [
        "", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}", "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-78c4-dc0c0c07398f", "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",
        "01-7f22e279b0-7cc3-98c4-dc0c0c07398f",
    ])
    func `another form, version or variant is no id`(text: String) { #expect(UUIDv7(text) == nil) }

    @Test func `no single changed byte of a text form gives the same id`() throws {
        let text = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
        let id = try #require(UUIDv7(text))
        for place in text.utf8.indices.map({ text.utf8.distance(from: text.startIndex, to: $0) }) {
            var bytes = Array(text.utf8)
            for value in UInt8.min...UInt8.max where value != bytes[place] {
                let original = bytes[place]
                bytes[place] = value
                #expect(UUIDv7(text: bytes.span) != id)
                bytes[place] = original
            }
        }
    }
}

struct ViewTests {
    static let id = PollID(UUIDv7(at: Timestamp(milliseconds: 0), random: 0))

    @Test(
        arguments: [
            ([0, 0, 0], [0, 0, 0]), ([1, 1, 1], [333, 333, 333]), ([1, 0], [1000, 0]), ([1, 1], [500, 500]),
            ([2, 1], [667, 333]), ([1, 1999], [1, 1000]), ([1, 2001], [0, 1000]),
            ([1 << 52, 1 << 52], [500, 500]),
        ] as [([UInt64], [Int])])
    func `percentages are tenths, rounded half up, and zero without votes`(votes: [UInt64], tenths: [Int]) {
        #expect(TallyView(id: Self.id, votes: votes, channels: []).percentageTenths == tenths)
    }
}
