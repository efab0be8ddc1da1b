// The bodies of a handshake. A body that is signed is kept as the bytes that travelled, fields of later releases
// included, so that both sides sign the same.

/// How each side presents itself: the body of `hello` and, without the expected name, of `challenge`.
struct HandshakeGreeting: Hashable, Sendable {
    static let nonceBytes = 32

    let versions: LinkVersions
    let identity: NodeIdentity
    /// Random bytes, fresh for each attempt: what makes a recorded handshake worthless.
    let nonce: [UInt8]
    /// Whom the dialer believes to dial, where it cares.
    var expectedName: String?

    func body(_ kind: FrameKind) -> [UInt8] {
        precondition(nonce.count == Self.nonceBytes, "a nonce of \(nonce.count) bytes")
        var output: [UInt8] = [versions.protocols.lowerBound, versions.protocols.upperBound]
        LinkBytes.append(versions.slotFunction, to: &output)
        LinkBytes.append(identity.incarnation, to: &output)
        output += nonce
        LinkBytes.append(name: identity.name, to: &output)
        if kind == .hello { LinkBytes.append(name: expectedName ?? "", to: &output) }
        return output
    }

    init(versions: LinkVersions, identity: NodeIdentity, nonce: [UInt8], expectedName: String? = nil) {
        self.versions = versions
        self.identity = identity
        self.nonce = nonce
        self.expectedName = expectedName
    }

    init(_ kind: FrameKind, _ body: Span<UInt8>) throws(LinkBodyError) {
        var cursor = LinkCursor()
        let lowest = try cursor.byte(body)
        let highest = try cursor.byte(body)
        guard lowest <= highest else { throw LinkBodyError() }
        let slotFunction = try cursor.word16(body)
        let incarnation = try cursor.word128(body)
        nonce = try cursor.array(Self.nonceBytes, body)
        versions = LinkVersions(protocols: lowest...highest, slotFunction: slotFunction)
        identity = NodeIdentity(name: try cursor.name(body), incarnation: incarnation)
        guard kind == .hello else { return }
        let expected = try cursor.name(body, mayBeEmpty: true)
        expectedName = expected.isEmpty ? nil : expected
    }
}

/// Why a handshake is refused, as it travels. Numbers are for ever.
enum RefusalReason: UInt8, Sendable, CaseIterable {
    case wrongSecret = 1
    case sameIncarnation = 2
    case noCommonProtocol = 3
    case otherSlotFunction = 4
    case otherNode = 5
    case malformed = 6
    case busy = 7
    case leaving = 8
}

/// The body of a refusal: why, and what this side speaks, so that the log of either side tells the whole.
struct HandshakeRefusal: Hashable, Sendable {
    let reason: RefusalReason
    let versions: LinkVersions

    var body: [UInt8] {
        var output: [UInt8] = [reason.rawValue, versions.protocols.lowerBound, versions.protocols.upperBound]
        LinkBytes.append(versions.slotFunction, to: &output)
        return output
    }

    init(_ reason: RefusalReason, _ versions: LinkVersions) {
        self.reason = reason
        self.versions = versions
    }

    init(_ body: Span<UInt8>) throws(LinkBodyError) {
        var cursor = LinkCursor()
        guard let reason = RefusalReason(rawValue: try cursor.byte(body)) else { throw LinkBodyError() }
        let lowest = try cursor.byte(body)
        let highest = try cursor.byte(body)
        guard lowest <= highest else { throw LinkBodyError() }
        self.reason = reason
        versions = LinkVersions(protocols: lowest...highest, slotFunction: try cursor.word16(body))
    }
}
