// The JSON encoding: the shapes that clients rely on, and what it refuses with which answer.

import Protocol
import Testing

struct JSONClientCodecTests {
    static let campaign = "01890a5d-ac96-774b-bcce-b302099a8057"
    static let poll = "01890a5d-ac96-774b-bcce-b302099a8058"

    func decode(_ text: String) throws(ClientDecodeError) -> ClientMessage {
        try JSONClientCodec.decode(Array(text.utf8).span)
    }

    func refusal(_ text: String) -> ClientDecodeError? {
        do {
            _ = try decode(text)
            return nil
        } catch { return error }
    }

    @Test func `a vote is read with all of its fields in any order`() throws {
        let text = """
             { "key":"k\\u00e9\\n", "option" : 2,"voter":"v1","channel":"Zoë","unknown":[{"a":null}],
             "poll":"\(Self.poll)","campaign":"\(Self.campaign)","id":"seven","op":"vote" }
            """
        let vote = VoteMessage(
            campaign: CampaignID(try #require(UUIDv7(Self.campaign))), poll: PollID(try #require(UUIDv7(Self.poll))),
            option: 2, voter: "v1", channel: "Zoë", key: "ké\n")
        #expect(try decode(text) == .vote(id: .string("seven"), vote))
    }

    @Test(arguments: [
        #"{"op":"ping","id":1.0}"#, #"{"op":"ping","id":1e0}"#, #"{"op":"ping","id":9223372036854775808}"#,
        #"{"op":"ping","id":true}"#, #"{"op":"ping","id":[]}"#,
    ])
    func `an id that is no exact integer and no string is refused`(text: String) throws {
        guard case .invalid(nil, let error)? = refusal(text) else {
            Issue.record("not refused as invalid: \(text)")
            return
        }
        #expect(error.code == .badRequest)
        #expect(error.details.map(\.field) == ["id"])
    }

    @Test(arguments: ["", "{", "[]", "1", "null", "{\"op\":\"ping\"}x", "{\"op\":\"ping\",}", "{'op':1}", "\u{FEFF}{}"])
    func `what is not one object is malformed`(text: String) {
        guard case .malformed? = refusal(text) else {
            Issue.record("not malformed: \(text)")
            return
        }
    }

    @Test func `an unknown op is answered under its id`() {
        guard case .invalid(.integer(5), let error)? = refusal(#"{"id":5,"op":"fly"}"#) else {
            Issue.record("not refused as invalid")
            return
        }
        #expect(error.code == .badRequest)
    }

    @Test func `an ack has the fields of the protocol in their order`() {
        var output: [UInt8] = []
        JSONClientCodec.encodeAck(
            id: .integer(4), status: .moved, position: Position(epoch: 7, seq: 12), into: &output)
        #expect(
            String(decoding: output, as: UTF8.self)
                == #"{"op":"ack","id":4,"status":"moved","epoch":7,"seq":12}"#)
    }
}
