// Who may launch a poll now. A node alone counts for itself; nodes of a cluster count together.

import Protocol

protocol LaunchLimiter: Sendable {
    /// Takes one launch of a principal.
    ///
    /// - Parameter decided: gets `rate_limited` where it is refused; called once, at once or later, on any thread.
    func admit(_ principal: String, at now: UInt64, decided: @escaping @Sendable (ClientError?) -> Void)
}
