// Who a client is, and what follows from it. Pure rules; the tokens that prove it are read elsewhere.

import Protocol

struct Principal: Sendable, Equatable {
    let role: Role
    /// The token's `sub`; empty in open mode, where everybody is the same principal.
    let subject: String
    /// The channel that the token is bound to.
    let channel: String?
    let expiresAt: Timestamp?
    let isOpenMode: Bool

    /// Everybody, where no token secret is set.
    static let openMode = Principal(role: .service, subject: "", channel: nil, expiresAt: nil, isOpenMode: true)

    /// Who owns a campaign that this principal creates.
    var owner: String? { isOpenMode ? nil : subject }

    /// Who votes where a message names nobody: a service speaks for others and so needs a name.
    var voterByDefault: String? { role == .service ? nil : subject }

    func requireCreation() throws(ClientError) {
        switch role {
        case .host, .service: return
        case .voter: throw ClientError(.forbidden, "a voter may not create campaigns")
        }
    }

    /// Launching, cancelling, changing, deleting, signalling.
    func requireManagement(ofOwner owner: String?) throws(ClientError) {
        switch role {
        case .service: return
        case .host where owner == subject: return
        case .host, .voter: throw ClientError(.forbidden, "only the campaign's owner may do this")
        }
    }

    /// As whom a vote counts, and in which channel.
    ///
    /// - Parameter defaultVoter: the voter that a service named in `hello`.
    func voteIdentity(
        voter: String?, channel: String?, defaultVoter: String?
    ) throws(ClientError) -> (voter: String?, channel: String?) {
        if role == .service { return (voter ?? defaultVoter, channel ?? self.channel) }
        if let voter, voter != subject {
            throw ClientError(
                .forbidden, "voter must be the token's sub", details: [.init(field: "voter", message: "not yours")])
        }
        if let channel, channel != self.channel {
            throw ClientError(
                .forbidden, "channel must be the token's channel",
                details: [.init(field: "channel", message: "not yours")])
        }
        return (subject, self.channel)
    }
}
