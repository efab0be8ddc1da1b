// What the clients of one poll were told of their votes, from which follow bounds for its tally.

import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class PollRecord: @unchecked Sendable {
    enum Verdict { case accepted, refused, unknown }

    let id: PollID
    let campaign: CampaignID
    let type: PollType
    let endsAt: Timestamp
    let launchedAt: Timestamp

    /// STANDARD: by key.
    private var votes: [String: (option: Int, verdict: Verdict)] = [:]
    /// UNIQUE: by voter, the choice that was confirmed last, and those that may have taken effect at any time.
    private var choices: [String: (confirmed: Int?, possible: Set<Int>)] = [:]

    init(id: PollID, campaign: CampaignID, type: PollType, endsAt: Timestamp, launchedAt: Timestamp) {
        self.id = id
        self.campaign = campaign
        self.type = type
        self.endsAt = endsAt
        self.launchedAt = launchedAt
    }

    func settle(_ key: String, _ option: Int, _ verdict: Verdict) {
        switch (votes[key]?.verdict, verdict) {
        case (.accepted?, _): break
        // What was unknown stays so: a later refusal says nothing about the earlier attempt.
        case (.unknown?, .refused): break
        default: votes[key] = (option, verdict)
        }
    }

    func changed(_ voter: String, to option: Int, _ verdict: Verdict) {
        var choice = choices[voter] ?? (nil, [])
        switch verdict {
        case .accepted: choice.confirmed = option
        case .unknown: choice.possible.insert(option)
        case .refused: break
        }
        choices[voter] = choice
    }

    /// Votes that were confirmed.
    var confirmedCount: Int {
        votes.values.count { $0.verdict == .accepted } + choices.values.count { $0.confirmed != nil }
    }

    /// Why a final tally cannot be; `nil` where it can.
    func fault(in tally: [UInt64]) -> String? {
        for option in tally.indices {
            var (least, most) = (0, 0)
            for vote in votes.values where vote.option == option {
                if vote.verdict == .accepted { least += 1 }
                if vote.verdict != .refused { most += 1 }
            }
            for choice in choices.values {
                if choice.confirmed == option, choice.possible.subtracting([option]).isEmpty { least += 1 }
                if choice.confirmed == option || choice.possible.contains(option) { most += 1 }
            }
            guard least <= Int(tally[option]), Int(tally[option]) <= most else {
                return "option \(option) has \(tally[option]) votes, not \(least) to \(most)"
            }
        }
        let voters = choices.values.count { $0.confirmed != nil }
        let total = Int(tally.reduce(0, +))
        guard type == .standard || total >= voters else { return "\(total) votes of \(voters) confirmed voters" }
        return nil
    }
}
