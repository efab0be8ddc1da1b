// What the binary encoding refuses beyond torn messages: second ways of writing the same thing, and what it does not
// know.

import Protocol
import Testing

struct BinaryClientCodecTests {
    func refusal(_ bytes: [UInt8]) -> ClientDecodeError? { CodecUnderTest.binary.refusal(bytes) }

    func isMalformed(_ bytes: [UInt8]) -> Bool {
        if case .malformed? = refusal(bytes) { return true }
        return false
    }

    @Test func `an unknown kind is answered under its id`() {
        for kind in [0x00, 0x07, 0x7F, 0x81, 0xFF] as [UInt8] {
            guard case .invalid(.integer(5), let error)? = refusal([kind, 0x01, 0x0A]) else {
                Issue.record("kind \(kind) is not refused under its id")
                continue
            }
            #expect(error.code == .badRequest)
        }
        #expect(isMalformed([0x7F, 0x01]))
    }

    @Test func `two forms of id at once are malformed`() { #expect(isMalformed([0x06, 0x03, 0x02, 0x00])) }

    @Test(arguments: [0x04, 0x08, 0x10, 0x20, 0x40, 0x80] as [UInt8])
    func `a flag that the kind does not have is malformed`(flag: UInt8) { #expect(isMalformed([0x06, flag])) }

    @Test(
        arguments: [
            [0x80, 0x00], [0x81, 0x80, 0x00], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x80, 0x01],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0x00],
        ] as [[UInt8]])
    func `an integer with needless bytes or above 64 bits is malformed`(integer: [UInt8]) {
        #expect(isMalformed([0x06, 0x01] + integer))
    }

    @Test func `the extremes of 64 bits are ids`() throws {
        for number in [Int64.min, Int64.max, 0, -1, 1, 63, 64, -64, -65] {
            let message = ClientMessage.ping(id: .integer(number))
            #expect(try CodecUnderTest.binary.decode(CodecUnderTest.binary.encode(message)) == message)
        }
    }

    @Test func `a string that is not UTF-8 is malformed`() {
        for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]] {
            #expect(isMalformed([0x06, 0x02, UInt8(bytes.count)] + bytes))
        }
    }

    @Test func `a length beyond the message is malformed, however large`() {
        #expect(isMalformed([0x06, 0x02, 0x05, 0x61]))
        #expect(isMalformed([0x06, 0x02, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]))
    }

    @Test func `signal data that is not one JSON value is refused under its id`() {
        var generator = MessageGenerator(seed: 10)
        for data in ["", "{", "1 2", "nul", "\"\u{1}\""] {
            let message = ClientMessage.signal(
                id: .integer(7), campaign: CampaignID(generator.uuid()), name: "n", data: Array(data.utf8))
            guard case .invalid(.integer(7), let error)? = refusal(CodecUnderTest.binary.encode(message)) else {
                Issue.record("\(data) is not refused under its id")
                continue
            }
            #expect(error.details.map(\.field) == ["data"])
        }
    }

    @Test func `an id of another version is refused by the field's name`() {
        var bytes = CodecUnderTest.binary.encode(CodecLimitTests.vote())
        bytes[3 + 6] = 0x40
        guard case .invalid(.integer(7), let error)? = refusal(bytes) else {
            Issue.record("not refused under its id")
            return
        }
        #expect(error.details.map(\.field) == ["campaign"])
    }

    @Test func `a vote with a voter of 12 bytes has at most 60 bytes`() {
        #expect(CodecUnderTest.binary.encode(CodecLimitTests.vote(voter: "viewer-12345")).count <= 60)
    }
}
