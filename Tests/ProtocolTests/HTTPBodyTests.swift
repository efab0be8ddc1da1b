// The bodies of requests: what is accepted, and which field is named when it is not.

import Protocol
import Testing

struct HTTPBodyTests {
    func faults<Draft>(_ text: String, _ read: (Span<UInt8>) throws(ClientError) -> Draft) -> [String]? {
        do throws(ClientError) {
            _ = try read(Array(text.utf8).span)
            return nil
        } catch { return error.details.map(\.field) }
    }

    func text(_ count: Int, _ character: String = "x") -> String { String(repeating: character, count: count) }

    @Test func `a campaign needs a name and may have a description`() throws {
        let body = Array(#"{"name":"The Hollow Crown","description":"Line\nbreak","x":1}"#.utf8)
        #expect(
            try CampaignDraft(body: body.span)
                == CampaignDraft(name: "The Hollow Crown", description: "Line\nbreak"))
        let bare = Array(#"{"name":"abc","description":null}"#.utf8)
        #expect(try CampaignDraft(body: bare.span) == CampaignDraft(name: "abc", description: nil))
    }

    @Test func `a campaign's fields are bounded in characters and every fault is named`() {
        func faults(_ name: String, _ description: String = "") -> [String]? {
            self.faults("{\"name\":\"\(name)\",\"description\":\"\(description)\"}") { bytes throws(ClientError) in
                try CampaignDraft(body: bytes)
            }
        }
        #expect(faults(text(3)) == nil)
        #expect(faults(text(2)) == ["name"])
        #expect(faults(text(100, "😀")) == nil)
        #expect(faults(text(101, "😀")) == ["name"])
        #expect(faults("   ") == ["name"])
        #expect(faults("\\u200b\\u200b\\u200b\\u3000") == ["name"])
        #expect(faults("ab\\u0000") == ["name"])
        #expect(faults("ab\\nc") == ["name"])
        #expect(faults("abc", text(500, "é")) == nil)
        #expect(faults("abc", text(501)) == ["description"])
        #expect(faults("abc", "\\u0001") == ["description"])
        #expect(faults("", text(501)) == ["name", "description"])
    }

    @Test(arguments: ["", "[]", "null", "{", "{\"name\":\"abc\"} x"])
    func `a body that is no JSON object is a bad request`(body: String) {
        #expect(faults(body) { bytes throws(ClientError) in try CampaignDraft(body: bytes) } == [])
    }

    @Test func `a field that stands twice is named`() {
        #expect(
            faults(#"{"name":"abc","name":"abd"}"#) { bytes throws(ClientError) in
                try CampaignDraft(body: bytes)
            } == ["name"])
    }

    @Test func `a patch tells an absent description from null`() throws {
        func patch(_ text: String) throws -> CampaignPatch { try CampaignPatch(body: Array(text.utf8).span) }
        #expect(try patch("{}") == CampaignPatch(name: nil, description: .keep))
        #expect(try patch(#"{"description":null}"#) == CampaignPatch(name: nil, description: .clear))
        #expect(try patch(#"{"description":"d","name":"abc"}"#) == CampaignPatch(name: "abc", description: .set("d")))
        #expect(throws: ClientError.self) { try patch(#"{"name":null}"#) }
    }

    @Test func `a poll has defaults, and options may be equal`() throws {
        let body = Array(#"{"question":"Left?","options":["yes","yes"]}"#.utf8)
        #expect(
            try PollDraft(body: body.span)
                == PollDraft(question: "Left?", options: ["yes", "yes"], durationSeconds: 60, type: .standard))
        let full = Array(#"{"question":"?","options":["a","b","c"],"durationSeconds":1800,"type":"UNIQUE"}"#.utf8)
        #expect(
            try PollDraft(body: full.span)
                == PollDraft(question: "?", options: ["a", "b", "c"], durationSeconds: 1800, type: .unique))
    }

    @Test(arguments: [
        (#""question":"","options":["a","b"]"#, ["question"]), (#""options":["a","b"]"#, ["question"]),
        (#""question":"q","options":["a"]"#, ["options"]),
        (#""question":"q","options":["a","b","c","d","e","f"]"#, ["options"]),
        (#""question":"q","options":"ab""#, ["options"]),
        (#""question":"q","options":["a",""]"#, ["options[1]"]), (#""question":"q","options":[1,"b"]"#, ["options[0]"]),
        (#""question":"q","options":["a","bbbbbbbbbbbbbbbbbbbbbbbbbb"]"#, ["options[1]"]),
        (#""question":"q""#, ["options"]),
        (#""question":"q","options":["a","b"],"durationSeconds":14"#, ["durationSeconds"]),
        (#""question":"q","options":["a","b"],"durationSeconds":1801"#, ["durationSeconds"]),
        (#""question":"q","options":["a","b"],"durationSeconds":60.0"#, ["durationSeconds"]),
        (#""question":"q","options":["a","b"],"durationSeconds":"60""#, ["durationSeconds"]),
        (#""question":"q","options":["a","b"],"type":"unique""#, ["type"]),
        (
            #""question":5,"options":5,"durationSeconds":5,"type":5"#,
            ["question", "options", "durationSeconds", "type"]
        ),
    ])
    func `a poll's faults are named`(fields: String, expected: [String]) {
        #expect(faults("{\(fields)}") { bytes throws(ClientError) in try PollDraft(body: bytes) } == expected)
    }

    @Test func `a poll is accepted at every edge`() throws {
        let body = """
            {"question":"\(text(45, "é"))","options":["\(text(25))","1","2","3","4"],"durationSeconds":15,"type":"STANDARD"}
            """
        #expect(try PollDraft(body: Array(body.utf8).span).options.count == 5)
    }

    @Test func `a body of votes is one vote or a batch`() throws {
        let single = Array(#"{"option":1,"voter":"v","channel":"c","key":"k"}"#.utf8)
        #expect(
            try VotesDraft(body: single.span)
                == .single(VoteDraft(option: 1, voter: "v", channel: "c", key: "k")))
        let batch = Array(#"{"votes":[{"option":0},{"option":"x"},7,{"option":2,"key":""}]}"#.utf8)
        guard case .batch(let votes) = try VotesDraft(body: batch.span) else {
            Issue.record("not a batch")
            return
        }
        #expect(votes.count == 4)
        #expect(try votes[0].get() == VoteDraft(option: 0))
        let faults = votes.dropFirst().map { vote in
            if case .failure(let error) = vote { error.details.map(\.field) } else { ["none"] }
        }
        #expect(faults == [["option"], [], ["key"]])
    }

    @Test func `a batch has 1 to 1000 votes and no option beside it`() throws {
        func faults(_ text: String) -> [String]? {
            self.faults(text) { bytes throws(ClientError) in try VotesDraft(body: bytes) }
        }
        func batch(_ count: Int) -> String {
            "{\"votes\":[" + Array(repeating: "{\"option\":0}", count: count).joined(separator: ",") + "]}"
        }
        #expect(faults(batch(1000)) == nil)
        #expect(faults(batch(1001)) == ["votes"])
        #expect(faults(batch(0)) == ["votes"])
        #expect(faults(#"{"votes":{}}"#) == ["votes"])
        #expect(faults(#"{"votes":[{"option":0}],"option":0}"#) == ["option"])
        #expect(faults("{}") == ["option"])
    }

    @Test func `a signal keeps its data as text of one line`() throws {
        let body = Array("{\"name\":\"dice\",\"data\":{\"d20\":\n[17]}}".utf8)
        #expect(try SignalDraft(body: body.span) == SignalDraft(name: "dice", data: Array("{\"d20\": [17]}".utf8)))
        let null = Array(#"{"name":"dice","data":null}"#.utf8)
        #expect(try SignalDraft(body: null.span).data == Array("null".utf8))
    }

    @Test func `a signal's faults are named and too much data is too large`() {
        func refusal(_ text: String) -> ClientError? {
            do throws(ClientError) {
                _ = try SignalDraft(body: Array(text.utf8).span)
                return nil
            } catch { return error }
        }
        #expect(refusal(#"{"name":"dice"}"#)?.details.map(\.field) == ["data"])
        #expect(refusal(#"{"data":1}"#)?.details.map(\.field) == ["name"])
        #expect(refusal("{\"name\":\"n\",\"data\":\"\(text(16 * 1024 - 2))\"}") == nil)
        #expect(refusal("{\"name\":\"n\",\"data\":\"\(text(16 * 1024 - 1))\"}")?.code == .tooLarge)
    }
}

struct HTTPReplyTests {
    func written(_ write: (inout [UInt8]) -> Void) -> String {
        var output: [UInt8] = []
        write(&output)
        return String(decoding: output, as: UTF8.self)
    }

    static let id = UUIDv7(at: Timestamp(milliseconds: 1_645_557_742_000), random: 0)
    static let idText = "017f22e2-79b0-7000-8000-000000000000"

    @Test func `an error names its code, the request and the fields`() {
        let error = ClientError(.badRequest, "no \"name\"", details: [.init(field: "name", message: "is required")])
        #expect(
            written { HTTPReplies.error(error, requestID: "r1", to: &$0) }
                == #"{"error":{"code":"bad_request","message":"no \"name\"","requestId":"r1","details":[{"field":"name","message":"is required"}]}}"#
        )
    }

    @Test func `the results of a batch stand in order`() {
        let results: [Result<(status: VoteStatus, position: Position), ClientError>] = [
            .success((.counted, Position(epoch: 1, seq: 2))), .failure(ClientError(.invalidOption, "no such option")),
        ]
        #expect(
            written { HTTPReplies.votes(results, to: &$0) }
                == #"{"data":{"results":[{"status":"counted","epoch":1,"seq":2},{"error":{"code":"invalid_option","message":"no such option"}}]}}"#
        )
    }

    @Test func `a campaign writes null for what it does not have`() {
        let view = CampaignView(
            id: CampaignID(Self.id), ownerId: nil, name: "n", description: nil, createdAt: Timestamp(milliseconds: 0),
            runningPoll: nil)
        #expect(
            written { HTTPReplies.campaign(view, to: &$0) }
                == #"{"data":{"id":"\#(Self.idText)","ownerId":null,"name":"n","description":null,"createdAt":"1970-01-01T00:00:00.000Z","runningPoll":null}}"#
        )
    }

    @Test func `a poll has the fields of the protocol in their order`() {
        let view = PollView(
            tally: TallyView(
                id: PollID(Self.id), votes: [2, 1], channels: [ChannelTally(channel: "c", votes: [2, 1])]),
            campaign: CampaignID(Self.id), question: "q", options: ["a", "b"], type: .unique, durationSeconds: 60,
            status: .ended, startedAt: Timestamp(milliseconds: 0), endsAt: Timestamp(milliseconds: 60_000),
            endedAt: Timestamp(milliseconds: 60_000), position: Position(epoch: 7, seq: 9))
        #expect(
            written { HTTPReplies.poll(view, to: &$0) }
                == #"{"data":{"id":"\#(Self.idText)","campaignId":"\#(Self.idText)","question":"q","options":["a","b"],"type":"UNIQUE","durationSeconds":60,"status":"ENDED","startedAt":"1970-01-01T00:00:00.000Z","endsAt":"1970-01-01T00:01:00.000Z","endedAt":"1970-01-01T00:01:00.000Z","totalVotes":3,"votes":[2,1],"percentages":[66.7,33.3],"winners":[0],"channels":[{"channel":"c","totalVotes":3,"votes":[2,1]}],"epoch":7,"seq":9}}"#
        )
    }

    @Test func `a snapshot says what subscribed says`() {
        let subscribed = Subscribed(
            campaign: CampaignID(Self.id), position: Position(epoch: 1, seq: 2), recovered: false, poll: nil)
        #expect(
            written { JSONViews.snapshotData(subscribed, to: &$0) }
                == #"{"campaign":"\#(Self.idText)","epoch":1,"seq":2,"recovered":false,"poll":null}"#)
    }
}
