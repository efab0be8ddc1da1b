/// Appends the bodies of HTTP replies: `{"data":…}` around what was asked for, `{"error":…}` around a refusal.
public enum HTTPReplies {
    /// Appends `{"data":…}` with whatever the function appends.
    @inline(__always)
    public static func data(to output: inout [UInt8], _ write: (inout [UInt8]) -> Void) {
        JSONWriter.raw("{\"data\":", to: &output)
        write(&output)
        output.append(UInt8(ascii: "}"))
    }

    /// Appends a whole reply with a campaign.
    public static func campaign(_ view: CampaignView, to output: inout [UInt8]) {
        data(to: &output) { JSONViews.campaign(view, to: &$0) }
    }

    /// Appends a whole reply with a poll.
    public static func poll(_ view: PollView, to output: inout [UInt8]) {
        data(to: &output) { JSONViews.poll(view, to: &$0) }
    }

    /// Appends a whole reply with polls in order.
    public static func polls(_ views: [PollView], to output: inout [UInt8]) {
        data(to: &output) { JSONViews.polls(views, to: &$0) }
    }

    /// Appends a whole reply to one accepted vote: `{status, epoch, seq}`.
    public static func vote(_ status: VoteStatus, at position: Position, to output: inout [UInt8]) {
        data(to: &output) { voteResult(status, at: position, to: &$0) }
    }

    /// Appends a whole reply to a batch of votes: `{results: […]}`, each a status or an error, in the order of the
    /// votes.
    public static func votes(
        _ results: [Result<(status: VoteStatus, position: Position), ClientError>], to output: inout [UInt8]
    ) {
        data(to: &output) { output in
            JSONWriter.raw("{\"results\":", to: &output)
            JSONWriter.array(results, to: &output) { result, output in
                switch result {
                case .success(let vote): voteResult(vote.status, at: vote.position, to: &output)
                case .failure(let error):
                    JSONWriter.raw("{\"error\":{", to: &output)
                    JSONViews.errorFields(error, to: &output)
                    JSONViews.errorDetails(error, to: &output)
                    JSONWriter.raw("}}", to: &output)
                }
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    /// Appends a whole reply to a signal: `{epoch, seq}`.
    public static func signal(at position: Position, to output: inout [UInt8]) {
        data(to: &output) { output in
            output.append(UInt8(ascii: "{"))
            JSONViews.positionFields(position, to: &output)
            output.append(UInt8(ascii: "}"))
        }
    }

    /// Appends a whole refusal: `{"error":{code, message, requestId, details?}}`.
    public static func error(_ error: ClientError, requestID: String, to output: inout [UInt8]) {
        JSONWriter.raw("{\"error\":{", to: &output)
        JSONViews.errorFields(error, to: &output)
        JSONWriter.raw(",\"requestId\":", to: &output)
        JSONWriter.string(requestID, to: &output)
        JSONViews.errorDetails(error, to: &output)
        JSONWriter.raw("}}", to: &output)
    }

    private static func voteResult(_ status: VoteStatus, at position: Position, to output: inout [UInt8]) {
        JSONWriter.raw("{\"status\":\"", to: &output)
        JSONWriter.raw(status.name, to: &output)
        JSONWriter.raw("\",", to: &output)
        JSONViews.positionFields(position, to: &output)
        output.append(UInt8(ascii: "}"))
    }
}
