// The JSON of replies as owners make it: the `data` of a success, or the fields of an error without the request id,
// which belongs to the request and is put in by the edge that answers it. In this form a reply can be remembered under
// an Idempotency-Key and sent again under another request id.

import Protocol

enum ReplyDocuments {
    static func campaign(_ view: CampaignView) -> [UInt8] { build { JSONViews.campaign(view, to: &$0) } }

    static func poll(_ view: PollView) -> [UInt8] { build { JSONViews.poll(view, to: &$0) } }

    static func polls(_ views: [PollView]) -> [UInt8] { build { JSONViews.polls(views, to: &$0) } }

    static func position(_ position: Position) -> [UInt8] {
        build { output in
            output.append(UInt8(ascii: "{"))
            JSONViews.positionFields(position, to: &output)
            output.append(UInt8(ascii: "}"))
        }
    }

    /// The fields of an error, as an object without request id.
    static func failure(_ error: ClientError) -> [UInt8] {
        build { output in
            output.append(UInt8(ascii: "{"))
            JSONViews.errorFields(error, to: &output)
            JSONViews.errorDetails(error, to: &output)
            output.append(UInt8(ascii: "}"))
        }
    }

    static func voteResult(_ status: VoteStatus, _ position: Position) -> [UInt8] {
        build { HTTPReplies.vote(status, at: position, to: &$0) }
    }

    static func voteResults(
        _ results: [Result<(status: VoteStatus, position: Position), ClientError>]
    ) -> [UInt8] {
        build { HTTPReplies.votes(results, to: &$0) }
    }

    static func dataEnvelope(_ json: [UInt8]) -> [UInt8] {
        build { output in HTTPReplies.data(to: &output) { $0.append(contentsOf: json) } }
    }

    /// Wraps what `failure` made: the request id goes in as the last field.
    static func errorEnvelope(_ failure: [UInt8], requestID: String) -> [UInt8] {
        build { output in
            JSONWriter.raw("{\"error\":", to: &output)
            output.append(contentsOf: failure.dropLast())
            JSONWriter.raw(",\"requestId\":", to: &output)
            JSONWriter.string(requestID, to: &output)
            JSONWriter.raw("}}", to: &output)
        }
    }

    static func errorEnvelope(_ error: ClientError, requestID: String) -> [UInt8] {
        build { HTTPReplies.error(error, requestID: requestID, to: &$0) }
    }

    private static func build(_ body: (inout [UInt8]) -> Void) -> [UInt8] {
        var output: [UInt8] = []
        body(&output)
        return output
    }
}
