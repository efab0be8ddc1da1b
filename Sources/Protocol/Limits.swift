/// The bounds of the outer protocol, in one place. Units are in the names or comments; every decoder checks a length
/// against its limit before it allocates.
public enum Limits {
    /// Bytes of one WebSocket message from a client.
    public static let webSocketMessageBytesLimit = 64 * 1024
    /// Bytes of an HTTP request body.
    public static let httpBodyBytesLimit = 1024 * 1024
    /// Bytes of an HTTP request head.
    public static let httpHeadBytesLimit = 16 * 1024
    /// Subscriptions of one connection.
    public static let subscriptionsPerConnectionLimit = 100
    /// Votes in one HTTP batch.
    public static let votesPerBatchLimit = 1000
    /// Bytes of a signal's `data`, as JSON text.
    public static let signalDataBytesLimit = 16 * 1024
    /// Bytes of a signal's `name`.
    public static let signalNameBytesLimit = 64
    /// Bytes of a voter or user id.
    public static let voterBytesLimit = 128
    /// Bytes of a channel's name.
    public static let channelBytesLimit = 64
    /// Channels of one poll.
    public static let channelsPerPollLimit = 256
    /// Bytes of a vote's key and of an Idempotency-Key.
    public static let keyBytesLimit = 64
    /// Bytes of a request id that is a string.
    public static let requestIDBytesLimit = 64
    /// Bytes of a client token in `hello`.
    public static let tokenBytesLimit = 8 * 1024
    /// Fields of a JSON object that is interpreted, unknown ones included.
    public static let jsonFieldsLimit = 32
    /// Details of one error.
    public static let errorDetailsLimit = 256
    /// Nesting of JSON arrays and objects.
    public static let jsonDepthLimit = 32
    /// Characters (Unicode scalars) of a campaign's name.
    public static let campaignNameCharacters = 3...100
    /// Characters of a campaign's description.
    public static let campaignDescriptionCharactersLimit = 500
    /// Characters of a poll's question.
    public static let pollQuestionCharacters = 1...45
    /// Options of a poll.
    public static let pollOptions = 2...5
    /// Characters of an option.
    public static let pollOptionCharacters = 1...25
    /// Seconds a poll may run.
    public static let pollDurationSeconds = 15...1800
    /// Seconds a poll runs where the launch does not say.
    public static let pollDurationSecondsDefault = 60
    /// Idempotency keys that a campaign remembers.
    public static let idempotencyKeysPerCampaignLimit = 1000
    /// Milliseconds for which a campaign remembers an idempotency key.
    public static let idempotencyMillisecondsLimit: Int64 = 24 * 3600 * 1000
}
