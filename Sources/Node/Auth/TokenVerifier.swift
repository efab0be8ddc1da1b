// JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256, and nothing else: the algorithm is ours to choose, not the
// token's. The signature is compared before a single claim is looked at.

import Platform
import Protocol

struct TokenVerifier: Sendable {
    /// Bytes of a token.
    static let tokenBytesLimit = 4096
    /// By how much clocks may disagree.
    static let leewaySeconds: Int64 = 60

    private let secret: [UInt8]

    init(secret: [UInt8]) { self.secret = secret }

    /// Who the token speaks for, or `unauthorized` with the reason.
    func verify(_ token: String, at now: Timestamp) throws(ClientError) -> Principal {
        guard token.utf8.count <= Self.tokenBytesLimit else { throw Self.refusal("the token is too long") }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]),
            let tag = Base64URL.decode(parts[2])
        else { throw Self.refusal("the token is malformed") }
        let signed = Array(token.utf8.prefix(parts[0].utf8.count + 1 + parts[1].utf8.count))
        guard ConstantTime.equal(HMACSHA256.tag(signed, key: secret), tag) else {
            throw Self.refusal("the token's signature is wrong")
        }
        try checkHeader(header)
        return try claims(payload, at: now)
    }

    private func checkHeader(_ header: [UInt8]) throws(ClientError) {
        let bytes = header.span
        guard let object = try? JSONObject.document(bytes), object.member("alg", bytes)?.string(bytes) == "HS256" else {
            throw Self.refusal("the token's algorithm must be HS256")
        }
        if let type = object.member("typ", bytes), type.string(bytes)?.uppercased() != "JWT" {
            throw Self.refusal("the token's typ must be JWT")
        }
        if object.member("crit", bytes) != nil { throw Self.refusal("the token demands extensions") }
    }

    private func claims(_ payload: [UInt8], at now: Timestamp) throws(ClientError) -> Principal {
        let bytes = payload.span
        guard let object = try? JSONObject.document(bytes) else { throw Self.refusal("the token's claims are malformed") }
        guard let expiry = object.member("exp", bytes)?.integer(bytes), (0...1 << 40).contains(expiry) else {
            throw Self.refusal("the token needs exp, in whole seconds")
        }
        let seconds = now.milliseconds / 1000
        guard seconds < expiry + Self.leewaySeconds else { throw Self.refusal("the token has expired") }
        if let start = object.member("nbf", bytes) {
            guard let value = start.integer(bytes), (0...1 << 40).contains(value),
                value <= seconds + Self.leewaySeconds
            else { throw Self.refusal("the token is not valid yet") }
        }
        guard let subject = object.member("sub", bytes)?.string(bytes, byteCount: 1...Limits.voterBytesLimit) else {
            throw Self.refusal("the token needs sub, 1 to \(Limits.voterBytesLimit) bytes")
        }
        var role = Role.voter
        if let claim = object.member("role", bytes) {
            guard let name = claim.string(bytes), let known = Role.allCases.first(where: { $0.name.description == name }) else {
                throw Self.refusal("the token's role must be voter, host or service")
            }
            role = known
        }
        var channel: String?
        if let claim = object.member("channel", bytes) {
            channel = claim.string(bytes, byteCount: 1...Limits.channelBytesLimit)
            guard channel != nil else { throw Self.refusal("the token's channel must be 1 to 64 bytes") }
        }
        let end = Timestamp(milliseconds: (expiry + Self.leewaySeconds) * 1000)
        return Principal(role: role, subject: subject, channel: channel, expiresAt: end, isOpenMode: false)
    }

    private static func refusal(_ reason: String) -> ClientError { ClientError(.unauthorized, reason) }

    /// A token for a client.
    ///
    /// - Parameter lifetime: seconds from `now`.
    static func mint(
        secret: [UInt8], subject: String, role: Role, channel: String?, lifetime: Int64, now: Timestamp
    ) -> String {
        var claims: [UInt8] = []
        JSONWriter.raw("{\"sub\":", to: &claims)
        JSONWriter.string(subject, to: &claims)
        claims.append(contentsOf: ",\"role\":\"\(role.name)\"".utf8)
        if let channel {
            JSONWriter.raw(",\"channel\":", to: &claims)
            JSONWriter.string(channel, to: &claims)
        }
        let seconds = now.milliseconds / 1000
        claims.append(contentsOf: ",\"iat\":\(seconds),\"exp\":\(seconds + lifetime)}".utf8)
        let head = Base64URL.encode(Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8))
        let signed = head + "." + Base64URL.encode(claims)
        return signed + "." + Base64URL.encode(HMACSHA256.tag(Array(signed.utf8), key: secret))
    }
}
