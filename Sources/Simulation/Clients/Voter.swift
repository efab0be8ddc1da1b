// Votes, one at a time, now here and now there. In a STANDARD poll each vote has a key, and one whose outcome is unknown is
// cast again under it; in a UNIQUE poll a voter changes its mind.

import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class Voter: @unchecked Sendable {
    private let talker: Talker
    private let pause: ClosedRange<UInt64>
    private var votes = 0

    init(_ scenario: Scenario, _ number: Int) {
        talker = Talker(scenario, "voter-\(number)")
        pause = Span.milliseconds(5)...Span.milliseconds(talker.dice.chance(50) ? 60 : 400)
    }

    private var scenario: Scenario { talker.scenario }
    private var dice: Dice { talker.dice }

    func start() {
        talker.start()
        next()
    }

    func stop() { talker.stop() }

    private func next() {
        scenario.world.after(dice.within(pause)) { [self] in vote() }
        if dice.below(200) == 0 { talker.hangUp() }
    }

    private func vote() {
        let polls = scenario.checker.openPolls
        guard talker.isOpen, !polls.isEmpty else { return next() }
        let poll = dice.pick(polls)
        let option = dice.below(3)
        votes += 1
        switch poll.type {
        case .standard: cast(poll, option, key: "\(talker.name)-\(votes)", tries: 4)
        case .unique: change(poll, option)
        }
    }

    private func cast(_ poll: PollRecord, _ option: Int, key: String, tries: Int) {
        talker.request { [self] outcome in
            switch outcome {
            case .ack(let status?, _):
                scenario.checker.accepted(poll, status)
                poll.settle(key, option, .accepted)
            case .ack(nil, _): scenario.checker.violation("\(key): a vote was answered as a signal")
            case .refused(let error):
                poll.settle(key, option, Self.isUnknown(error) ? .unknown : .refused)
                if Self.isUnknown(error) { return again(poll, option, key, tries) }
            case .lost:
                poll.settle(key, option, .unknown)
                return again(poll, option, key, tries)
            }
            next()
        } _: { id in
            .vote(
                id: id,
                VoteMessage(campaign: poll.campaign, poll: poll.id, option: option, voter: "\(key)-voter", key: key))
        }
    }

    private func again(_ poll: PollRecord, _ option: Int, _ key: String, _ tries: Int) {
        guard tries > 1, scenario.world.wall < poll.endsAt else { return next() }
        scenario.world.after(dice.within(Span.milliseconds(100)...Span.milliseconds(600))) { [self] in
            cast(poll, option, key: key, tries: tries - 1)
        }
    }

    private func change(_ poll: PollRecord, _ option: Int) {
        let voter = talker.name
        talker.request { [self] outcome in
            switch outcome {
            case .ack(let status?, _):
                scenario.checker.accepted(poll, status)
                poll.changed(voter, to: option, .accepted)
            case .ack(nil, _): scenario.checker.violation("\(voter): a vote was answered as a signal")
            case .refused(let error):
                poll.changed(voter, to: option, Self.isUnknown(error) ? .unknown : .refused)
            case .lost: poll.changed(voter, to: option, .unknown)
            }
            next()
        } _: { id in
            .vote(id: id, VoteMessage(campaign: poll.campaign, poll: poll.id, option: option, voter: voter))
        }
    }

    /// Whether the refusal leaves open what became of the vote.
    private static func isUnknown(_ error: ClientError) -> Bool {
        error.code == .timeout || error.code == .internalError
    }
}
