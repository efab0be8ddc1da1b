// Bugs that are planted on purpose, each in a twin: what the checks do not find with these, they would not find at all.

/// A planted bug.
public enum Plant: String, CaseIterable, Sendable {
    /// The database answers a statement before it has committed it.
    case ackBeforeCommit = "ack-before-commit"
    /// A flush takes `FOR KEY SHARE`, and a change of owner only what its update takes.
    case keyShare = "for-key-share"
    /// The first event after a resumed subscription is lost on its way to the client.
    case skippedEvent = "event-skipped-on-resume"
    /// The first timer that a new owner arms for a campaign never fires.
    case lostTimer = "timer-lost-at-hand-off"
}
