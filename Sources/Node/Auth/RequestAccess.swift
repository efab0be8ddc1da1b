// Who may ask at all: origins, hosts, forwarding headers, the admin token. Pure: a request and its peer go in.
//
// Without a token secret (open mode) or without an admin token, being on the loopback interface is the whole proof of
// who one is. A browser can be made to send requests from there, and a proxy can forward strangers to there; so such a
// request must name a loopback host, carry no forwarding header, and come from no foreign page.

import Platform
import Protocol
import Web

struct RequestAccess: Sendable {
    /// What the rules say of a request.
    struct Verdict: Sendable, Equatable {
        var refusal: ClientError?
        /// The origin to name in CORS headers.
        var allowedOrigin: String?
    }

    /// Origins allowed beside the node's own.
    let origins: [String]
    /// The node trusts whoever is on the loopback interface.
    let isOpenMode: Bool
    /// `TUMULTE_OPEN=1`: open mode was chosen for an address that is not loopback.
    let isOpenEverywhere: Bool
    let adminToken: [UInt8]?

    /// What proxies add. None of these, and a loopback `Host`, is the most that can be seen from here: whoever runs a
    /// proxy in front sets both tokens.
    private static let forwardingHeaders: [String] = [
        "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
        "x-forwarded-server", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip",
    ]

    func check(_ request: HTTPRequest, peer: TCPAddress) -> Verdict {
        var verdict = Verdict()
        let origin = request.header("origin")
        let isOwn = origin.map { Self.isOwn($0, host: request.authority) } ?? true
        let isListed = origin.map { origins.contains($0.lowercased()) } ?? false
        if let origin, isListed { verdict.allowedOrigin = origin }
        if isOpenMode, !isOpenEverywhere, let reason = loopbackFault(request, isForeign: !isOwn && !isListed) {
            verdict.refusal = ClientError(.forbidden, reason)
            return verdict
        }
        let changes = request.method != .get && request.method != .head && request.method != .options
        if changes || request.isWebSocketUpgrade, !isOwn, !isListed {
            verdict.refusal = ClientError(.forbidden, "this origin is not allowed")
        }
        return verdict
    }

    /// Admin routes: the bearer token where one is set, else a loopback peer that nobody stands behind.
    func requireAdmin(_ request: HTTPRequest, peer: TCPAddress) throws(ClientError) {
        if let adminToken {
            guard let given = request.header("authorization").flatMap(Edge.bearer) else {
                throw ClientError(.unauthorized, "the admin token is needed: Authorization: Bearer …")
            }
            // Hashed first, so that not even the length is told by time.
            guard ConstantTime.equal(SHA256.digest(Array(given.utf8)), SHA256.digest(adminToken)) else {
                throw ClientError(.forbidden, "the admin token is wrong")
            }
            return
        }
        let isForeign = request.header("origin").map { !Self.isOwn($0, host: request.authority) } ?? false
        guard peer.isLoopback else {
            throw ClientError(.forbidden, "without TUMULTE_ADMIN_TOKEN this answers loopback peers only")
        }
        if let reason = loopbackFault(request, isForeign: isForeign) { throw ClientError(.forbidden, reason) }
    }

    private func loopbackFault(_ request: HTTPRequest, isForeign: Bool) -> String? {
        if Self.forwardingHeaders.contains(where: { request.header($0) != nil }) {
            return "a forwarded request needs tokens: set TUMULTE_TOKEN_SECRET and TUMULTE_ADMIN_TOKEN"
        }
        guard Self.isLoopbackHost(request.authority) else { return "Host must be a loopback name without tokens" }
        return isForeign ? "this origin is not allowed" : nil
    }

    /// Whether an `Origin` is the very host that the request was sent to.
    static func isOwn(_ origin: String, host: String) -> Bool {
        let origin = origin.lowercased()
        for scheme in ["http://", "https://"] where origin.hasPrefix(scheme) {
            return origin.dropFirst(scheme.count) == host.lowercased()[...]
        }
        return false
    }

    /// Whether a `Host` names this machine and nothing else: `localhost` or a loopback address, perhaps with a port.
    static func isLoopbackHost(_ authority: String) -> Bool {
        let host = authority.lowercased()
        if let address = TCPAddress(host) ?? TCPAddress("\(host):1") { return address.isLoopback }
        return host == "localhost"
            || host.hasPrefix("localhost:") && TCPAddress("127.0.0.1:" + host.dropFirst("localhost:".count)) != nil
    }
}
