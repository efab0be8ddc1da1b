// What can be asked of a campaign. Drafts check their fields as they are made, so that a draft is always valid.

public import Protocol

/// A campaign to be created.
public struct NewCampaign: Equatable, Sendable {
    /// The campaign's id, drawn by the shell.
    public let id: CampaignID
    /// Who will own it; `nil` in open mode.
    public let ownerId: String?
    /// 3–100 characters.
    public let name: String
    /// Up to 500 characters.
    public let description: String?
    /// The hash of principal, route and Idempotency-Key, where there is one.
    public let creationKey: Hash128?
    /// The hash of the request's body, with `creationKey`.
    public let creationBody: Hash128?

    /// Checks name and description.
    /// - Throws: `bad_request` with the fields at fault.
    public init(
        id: CampaignID, ownerId: String?, name: String, description: String?, creationKey: Hash128? = nil,
        creationBody: Hash128? = nil
    ) throws(ClientError) {
        try FieldFaults.check { faults in
            faults.checkName(name)
            faults.checkDescription(description)
        }
        self.id = id
        self.ownerId = ownerId
        self.name = name
        self.description = description
        self.creationKey = creationKey
        self.creationBody = creationBody
    }
}

/// A poll to be launched.
public struct NewPoll: Equatable, Sendable {
    /// 1–45 characters.
    public let question: String
    /// 2–5 texts of 1–25 characters; equal texts are different options.
    public let options: [String]
    /// 15–1800.
    public let durationSeconds: Int
    /// How votes count.
    public let type: PollType

    /// Checks every field.
    /// - Throws: `bad_request` with the fields at fault.
    public init(
        question: String, options: [String], durationSeconds: Int = Limits.pollDurationSecondsDefault,
        type: PollType = .standard
    ) throws(ClientError) {
        try FieldFaults.check { faults in
            faults.checkLength(of: question, named: "question", in: Limits.pollQuestionCharacters)
            if !Limits.pollOptions.contains(options.count) {
                let bounds = Limits.pollOptions
                faults.add("options", "must be \(bounds.lowerBound) to \(bounds.upperBound) texts")
            }
            for (index, option) in options.prefix(Limits.pollOptions.upperBound).enumerated() {
                faults.checkLength(of: option, named: "options[\(index)]", in: Limits.pollOptionCharacters)
            }
            if !Limits.pollDurationSeconds.contains(durationSeconds) {
                let bounds = Limits.pollDurationSeconds
                faults.add("durationSeconds", "must be \(bounds.lowerBound) to \(bounds.upperBound)")
            }
        }
        self.question = question
        self.options = options
        self.durationSeconds = durationSeconds
        self.type = type
    }
}

/// What can be asked of a campaign that exists. Who may ask is the shell's question.
public enum CampaignCommand: Equatable, Sendable {
    /// Starts a poll. `voterKey` is 128 random bits: the key under which its voters and keys are hashed.
    case launch(id: PollID, NewPoll, voterKey: Hash128)
    /// Stops the running poll, keeping its totals.
    case cancel(PollID)
    /// Changes what is given: outer `nil` leaves a field, `.some(nil)` removes the description.
    case update(name: String?, description: String??)
    /// Cancels the running poll, then leaves a tombstone.
    case delete
}

/// Collects the faults of a request's fields into one `bad_request`.
struct FieldFaults {
    private var details: [ClientError.Detail] = []

    static func check(_ body: (inout FieldFaults) -> Void) throws(ClientError) {
        var faults = FieldFaults()
        body(&faults)
        guard faults.details.isEmpty else {
            throw ClientError(.badRequest, "a field has a value that is not allowed", details: faults.details)
        }
    }

    mutating func add(_ field: String, _ message: String) {
        details.append(ClientError.Detail(field: field, message: message))
    }

    mutating func checkName(_ name: String) {
        checkLength(of: name, named: "name", in: Limits.campaignNameCharacters)
    }

    mutating func checkDescription(_ description: String?) {
        guard let description else { return }
        checkLength(of: description, named: "description", in: 0...Limits.campaignDescriptionCharactersLimit)
    }

    mutating func checkLength(of text: String, named field: String, in bounds: ClosedRange<Int>) {
        guard !bounds.contains(text.unicodeScalars.count) else { return }
        add(field, "must have \(bounds.lowerBound) to \(bounds.upperBound) characters")
    }
}
