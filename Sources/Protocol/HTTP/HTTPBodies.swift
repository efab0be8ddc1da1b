// The bodies of HTTP requests, decoded and checked against the limits of the protocol. Each decoder takes the whole
// body and throws a `bad_request` that names every field at fault; whether the request makes sense (the option exists,
// the voter may vote) is decided elsewhere.

/// The body that creates a campaign: `{name, description?}`.
public struct CampaignDraft: Sendable, Equatable {
    /// A line of 3 to 100 characters.
    public var name: String
    /// Up to 500 characters.
    public var description: String?

    /// Takes values that are already checked.
    public init(name: String, description: String?) {
        self.name = name
        self.description = description
    }

    /// Reads a body.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        var reader = try JSONObjectReader(body: bytes)
        let name = reader.text(FieldName.name, bytes, characters: Limits.campaignNameCharacters)
        let description = reader.optionalText(
            FieldName.description, bytes, charactersLimit: Limits.campaignDescriptionCharactersLimit)
        guard let name, reader.details.isEmpty else { throw reader.refusal }
        self.init(name: name, description: description)
    }
}

/// The body that changes a campaign: `{name?, description?}`; what is absent stays as it is.
public struct CampaignPatch: Sendable, Equatable {
    /// What happens to a description.
    public enum DescriptionChange: Sendable, Equatable {
        /// The field was absent.
        case keep
        /// The field was `null`.
        case clear
        /// The field was a text.
        case set(String)
    }

    /// A line of 3 to 100 characters; `nil` keeps the name.
    public var name: String?
    /// What happens to the description.
    public var description: DescriptionChange

    /// Takes values that are already checked.
    public init(name: String?, description: DescriptionChange) {
        self.name = name
        self.description = description
    }

    /// Reads a body. A name of `null` is refused, as a campaign always has one.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        var reader = try JSONObjectReader(body: bytes)
        let name =
            reader.has(FieldName.name, bytes)
            ? reader.text(FieldName.name, bytes, characters: Limits.campaignNameCharacters) : nil
        let text = reader.optionalText(
            FieldName.description, bytes, charactersLimit: Limits.campaignDescriptionCharactersLimit)
        guard reader.details.isEmpty else { throw reader.refusal }
        let absent: DescriptionChange = reader.has(FieldName.description, bytes) ? .clear : .keep
        self.init(name: name, description: text.map { .set($0) } ?? absent)
    }
}

/// The body that launches a poll: `{question, options, durationSeconds?, type?}`.
public struct PollDraft: Sendable, Equatable {
    /// A line of 1 to 45 characters.
    public var question: String
    /// 2 to 5 lines of 1 to 25 characters; equal texts are allowed, as options are known by index.
    public var options: [String]
    /// 15 to 1800.
    public var durationSeconds: Int
    /// How the poll counts; `STANDARD` where the body does not say.
    public var type: PollType

    /// Takes values that are already checked.
    public init(question: String, options: [String], durationSeconds: Int, type: PollType) {
        self.question = question
        self.options = options
        self.durationSeconds = durationSeconds
        self.type = type
    }

    /// Reads a body.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        var reader = try JSONObjectReader(body: bytes)
        let question = reader.text(FieldName.question, bytes, characters: Limits.pollQuestionCharacters)
        let options = reader.texts(
            FieldName.options, bytes, count: Limits.pollOptions, characters: Limits.pollOptionCharacters)
        let duration = reader.optionalInteger(
            FieldName.durationSeconds, bytes, in: Limits.pollDurationSeconds)
        var type = PollType.standard
        if let value = reader.value(FieldName.type, bytes), value.kind != .null {
            if let known = value.string(bytes, byteCount: 1...16).flatMap({ PollType(name: $0) }) {
                type = known
            } else {
                reader.fault("type", "must be STANDARD or UNIQUE")
            }
        }
        guard let question, let options, reader.details.isEmpty else { throw reader.refusal }
        self.init(
            question: question, options: options,
            durationSeconds: duration ?? Limits.pollDurationSecondsDefault, type: type)
    }
}

/// One vote of a body: `{option, voter?, channel?, key?}`; campaign and poll stand in the path.
public struct VoteDraft: Sendable, Equatable {
    /// 0-based; may be out of range.
    public var option: Int
    /// 1 to 128 bytes.
    public var voter: String?
    /// 1 to 64 bytes.
    public var channel: String?
    /// 1 to 64 bytes.
    public var key: String?

    /// Takes values that are already checked.
    public init(option: Int, voter: String? = nil, channel: String? = nil, key: String? = nil) {
        self.option = option
        self.voter = voter
        self.channel = channel
        self.key = key
    }

    /// Reads a body that is a single vote.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        try self.init(JSONObjectReader(body: bytes), bytes)
    }

    init(_ start: JSONObjectReader, _ bytes: Span<UInt8>) throws(ClientError) {
        var reader = start
        let option = reader.integer(FieldName.option, bytes)
        let voter = reader.optionalString(FieldName.voter, bytes, byteCount: 1...Limits.voterBytesLimit)
        let channel = reader.optionalString(FieldName.channel, bytes, byteCount: 1...Limits.channelBytesLimit)
        let key = reader.optionalString(FieldName.key, bytes, byteCount: 1...Limits.keyBytesLimit)
        guard let option, reader.details.isEmpty else { throw reader.refusal }
        self.init(option: option, voter: voter, channel: channel, key: key)
    }
}

/// The body that votes: one vote, or `{votes: […]}` with 1 to 1,000.
public enum VotesDraft: Sendable, Equatable {
    /// One vote; a fault of it refuses the request.
    case single(VoteDraft)
    /// Votes in order; a fault of one refuses only that one.
    case batch([Result<VoteDraft, ClientError>])

    /// Reads a body.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        var reader = try JSONObjectReader(body: bytes)
        guard let list = reader.value(FieldName.votes, bytes) else {
            self = .single(try VoteDraft(reader, bytes))
            return
        }
        guard reader.details.isEmpty else { throw reader.refusal }
        var votes: [Result<VoteDraft, ClientError>] = []
        var elements = JSONElements(list)
        while let element = try? elements?.next(bytes), votes.count <= Limits.votesPerBatchLimit {
            votes.append(Self.vote(element, bytes))
        }
        guard elements != nil, (1...Limits.votesPerBatchLimit).contains(votes.count) else {
            reader.fault("votes", "must be a list of 1 to \(Limits.votesPerBatchLimit) votes")
            throw reader.refusal
        }
        guard !reader.has(FieldName.option, bytes) else {
            reader.fault("option", "cannot stand beside votes")
            throw reader.refusal
        }
        self = .batch(votes)
    }

    private static func vote(_ value: JSONSlice, _ bytes: Span<UInt8>) -> Result<VoteDraft, ClientError> {
        guard let entry = JSONObjectReader(value, bytes) else {
            return .failure(ClientError(.badRequest, "a vote must be a JSON object"))
        }
        do throws(ClientError) {
            return .success(try VoteDraft(entry, bytes))
        } catch {
            return .failure(error)
        }
    }
}

/// The body that sends a signal: `{name, data}`.
public struct SignalDraft: Sendable, Equatable {
    /// 1 to 64 bytes.
    public var name: String
    /// JSON text of at most 16 KiB, without line breaks.
    public var data: [UInt8]

    /// Takes values that are already checked.
    public init(name: String, data: [UInt8]) {
        self.name = name
        self.data = data
    }

    /// Reads a body.
    ///
    /// - Throws: `too_large` where `data` is over its limit, else `bad_request`.
    public init(body bytes: Span<UInt8>) throws(ClientError) {
        var reader = try JSONObjectReader(body: bytes)
        let name = reader.string(FieldName.name, bytes, byteCount: 1...Limits.signalNameBytesLimit)
        guard let data = reader.value(FieldName.data, bytes) else {
            reader.fault("data", FieldFault.missing)
            throw reader.refusal
        }
        guard let name, reader.details.isEmpty else { throw reader.refusal }
        guard data.range.count <= Limits.signalDataBytesLimit else {
            throw ClientError(
                .tooLarge, "data \(FieldFault.signalData)",
                details: [ClientError.Detail(field: "data", message: FieldFault.signalData)])
        }
        self.init(name: name, data: data.rawText(bytes))
    }
}
