// The opening of a link. Both sides show that they know the cluster's secret without sending it; what they show is bound
// to both fresh nonces, to both names, incarnations and versions, and to the side that shows it. A recorded handshake is
// therefore worthless, and so is one that is sent back to its maker.
//
//   dialer      hello ──────────►            who I am, what I speak, whom I mean, nonce
//                     ◄──────── challenge    listener   who I am, what I speak, nonce
//               proof ──────────►            HMAC(key, "dialer", hello, challenge)
//                     ◄────────── welcome               HMAC(key, "listener", hello, challenge)
//
// The listener shows its proof last: who does not know the secret learns nothing made with it. The handshake says who is
// at the other end; it neither hides nor seals what follows, which is the network's part.

public import Platform

/// What both sides derive their proofs from.
public struct LinkKey: Sendable {
    /// Bytes of the cluster's secret, at least.
    public static let secretBytesMinimum = 32

    private let bytes: [UInt8]

    /// Derives the key, so that the secret itself is used nowhere else.
    ///
    /// - Precondition: the secret has at least `secretBytesMinimum` bytes.
    public init(clusterSecret: [UInt8]) {
        precondition(clusterSecret.count >= Self.secretBytesMinimum, "a cluster secret of too few bytes")
        bytes = HMACSHA256.tag(Array("tumulte link key 1".utf8), key: clusterSecret)
    }

    /// The proof of one side over everything that both have said.
    func proof(_ role: LinkHandshake.Role, hello: [UInt8], challenge: [UInt8]) -> [UInt8] {
        var message = Array(role == .dialer ? "tumulte link 1 dialer".utf8 : "tumulte link 1 listener".utf8)
        message.append(0)
        for part in [hello, challenge] {
            LinkBytes.append(UInt32(part.count), to: &message)
            message += part
        }
        return HMACSHA256.tag(message, key: bytes)
    }
}

/// Why a link did not open.
public enum HandshakeFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other side does not know the cluster's secret, or this side does not.
    case wrongSecret
    /// The other side is this process itself.
    case sameIncarnation
    /// No version of the protocol is known to both.
    case noCommonProtocol(ours: LinkVersions, theirs: LinkVersions)
    /// Both would map campaigns to different slots.
    case otherSlotFunction(ours: LinkVersions, theirs: LinkVersions)
    /// Another node answers at the address than the one that was dialled.
    case otherNode
    /// Something arrived that has no place in a handshake.
    case malformed
    /// The listener has as many open handshakes as it takes.
    case busy
    /// The listener takes no new links: it leaves.
    case leaving
    /// The handshake was not over in time.
    case timedOut
    /// The other side refused, for a reason that this release does not know.
    case refused

    /// A few words for the log.
    public var description: String {
        switch self {
        case .wrongSecret: "the other node has another cluster secret"
        case .sameIncarnation: "the other end is this node itself"
        case .noCommonProtocol(let ours, let theirs):
            "no common protocol: this node speaks \(ours.protocols), the other one \(theirs.protocols)"
        case .otherSlotFunction(let ours, let theirs):
            "this node has slot function \(ours.slotFunction), the other one \(theirs.slotFunction)"
        case .otherNode: "another node than the one that was dialled"
        case .malformed: "what arrived is no handshake"
        case .busy: "the other node has too many handshakes open"
        case .leaving: "the other node leaves"
        case .timedOut: "the handshake was not over in time"
        case .refused: "the other node refused, for a reason that is not known here"
        }
    }
}

/// A pure machine for the opening of one link; times are monotonic nanoseconds.
public struct LinkHandshake: Sendable {
    /// How long a handshake may take.
    public static let timeout: UInt64 = 2_000_000_000
    /// Bytes of a frame of a handshake.
    public static let frameBytesLimit = 1024

    /// Which end of the link this is.
    public enum Role: Sendable { case dialer, listener }

    /// What is to be done.
    public enum Action: Hashable, Sendable {
        /// Send a frame with this body.
        case send(FrameKind, [UInt8])
        /// The link is open; frames of links follow.
        case open(LinkPeer)
        /// Let what is to be sent leave, then close.
        case close(HandshakeFailure)
    }

    private enum State: Sendable {
        /// The dialer has not begun. Can transition to: awaitingChallenge.
        case new
        /// The dialer has sent `hello`. Can transition to: awaitingWelcome, over.
        case awaitingChallenge
        /// The dialer has sent its proof. Can transition to: over.
        case awaitingWelcome(LinkPeer, expected: [UInt8])
        /// The listener has sent nothing. Can transition to: awaitingProof, over.
        case awaitingHello
        /// The listener has sent `challenge`. Can transition to: over.
        case awaitingProof(LinkPeer, expected: [UInt8], answer: [UInt8])
        /// Open or closed.
        case over
    }

    /// When it must be over.
    public let deadline: UInt64

    private let own: HandshakeGreeting
    private let key: LinkKey
    private var hello: [UInt8] = []
    private var state: State

    /// Begins the machine.
    ///
    /// - Parameters:
    ///   - expectedName: whom the dialer means; a node of another name refuses. `nil` takes any.
    ///   - random: for the nonce; it must be one that nobody can predict.
    public init(
        _ role: Role, as identity: NodeIdentity, versions: LinkVersions = .current, key: LinkKey,
        expectedName: String? = nil, random: any RandomSource, now: UInt64
    ) {
        var nonce: [UInt8] = []
        for _ in 0..<HandshakeGreeting.nonceBytes / 8 { LinkBytes.append(random.next(), to: &nonce) }
        own = HandshakeGreeting(
            versions: versions, identity: identity, nonce: nonce, expectedName: role == .dialer ? expectedName : nil)
        self.key = key
        deadline = now + Self.timeout
        state = role == .dialer ? .new : .awaitingHello
    }

    /// The connection is there: a dialer speaks first.
    public mutating func connected() -> [Action] {
        switch state {
        case .new:
            state = .awaitingChallenge
            hello = own.body(.hello)
            return [.send(.hello, hello)]
        case .awaitingHello: return []
        case .awaitingChallenge, .awaitingWelcome, .awaitingProof, .over:
            preconditionFailure("a handshake was connected twice, in state \(state)")
        }
    }

    /// A frame arrived.
    public mutating func received(_ kind: FrameKind, _ body: Span<UInt8>) -> [Action] {
        if case .over = state { return [] }
        if kind == .refusal { return refused(body) }
        switch (state, kind) {
        case (.awaitingChallenge, .challenge): return challenged(body)
        case (.awaitingWelcome(let peer, let expected), .welcome):
            return ConstantTime.equal(Self.array(body), expected) ? opened(peer) : refuse(.wrongSecret, .wrongSecret)
        case (.awaitingHello, .hello): return greeted(body)
        case (.awaitingProof(let peer, let expected, let answer), .proof):
            guard ConstantTime.equal(Self.array(body), expected) else { return refuse(.wrongSecret, .wrongSecret) }
            return [.send(.welcome, answer)] + opened(peer)
        case (.new, _), (.awaitingChallenge, _), (.awaitingWelcome, _), (.awaitingHello, _), (.awaitingProof, _),
            (.over, _):
            return refuse(.malformed, .malformed)
        }
    }

    /// Time has passed.
    public mutating func ticked(now: UInt64) -> [Action] {
        if case .over = state { return [] }
        guard now >= deadline else { return [] }
        state = .over
        return [.close(.timedOut)]
    }

    /// This node takes no new links.
    public mutating func left() -> [Action] {
        if case .over = state { return [] }
        return refuse(.leaving, .leaving)
    }

    // MARK: - Steps

    private mutating func greeted(_ body: Span<UInt8>) -> [Action] {
        guard let greeting = try? HandshakeGreeting(.hello, body) else { return refuse(.malformed, .malformed) }
        if let expected = greeting.expectedName, expected != own.identity.name { return refuse(.otherNode, .otherNode) }
        switch agree(greeting) {
        case .failure(let mismatch): return refuse(mismatch.reason, mismatch.failure)
        case .success(let peer):
            let hello = Self.array(body)
            let challenge = own.body(.challenge)
            state = .awaitingProof(
                peer, expected: key.proof(.dialer, hello: hello, challenge: challenge),
                answer: key.proof(.listener, hello: hello, challenge: challenge))
            return [.send(.challenge, challenge)]
        }
    }

    private mutating func challenged(_ body: Span<UInt8>) -> [Action] {
        guard let greeting = try? HandshakeGreeting(.challenge, body) else { return refuse(.malformed, .malformed) }
        if let expected = own.expectedName, expected != greeting.identity.name {
            return refuse(.otherNode, .otherNode)
        }
        switch agree(greeting) {
        case .failure(let mismatch): return refuse(mismatch.reason, mismatch.failure)
        case .success(let peer):
            let challenge = Self.array(body)
            state = .awaitingWelcome(peer, expected: key.proof(.listener, hello: hello, challenge: challenge))
            return [.send(.proof, key.proof(.dialer, hello: hello, challenge: challenge))]
        }
    }

    private struct Mismatch: Error {
        let reason: RefusalReason
        let failure: HandshakeFailure
    }

    private func agree(_ other: HandshakeGreeting) -> Result<LinkPeer, Mismatch> {
        guard other.identity.incarnation != own.identity.incarnation else {
            return .failure(Mismatch(reason: .sameIncarnation, failure: .sameIncarnation))
        }
        guard let version = own.versions.common(with: other.versions) else {
            let failure = HandshakeFailure.noCommonProtocol(ours: own.versions, theirs: other.versions)
            return .failure(Mismatch(reason: .noCommonProtocol, failure: failure))
        }
        guard own.versions.slotFunction == other.versions.slotFunction else {
            let failure = HandshakeFailure.otherSlotFunction(ours: own.versions, theirs: other.versions)
            return .failure(Mismatch(reason: .otherSlotFunction, failure: failure))
        }
        return .success(LinkPeer(identity: other.identity, protocolVersion: version))
    }

    private mutating func opened(_ peer: LinkPeer) -> [Action] {
        state = .over
        return [.open(peer)]
    }

    private mutating func refuse(_ reason: RefusalReason, _ failure: HandshakeFailure) -> [Action] {
        state = .over
        return [.send(.refusal, HandshakeRefusal(reason, own.versions).body), .close(failure)]
    }

    /// The other side's word: it is not signed, and ends nothing but this attempt.
    private mutating func refused(_ body: Span<UInt8>) -> [Action] {
        state = .over
        guard let refusal = try? HandshakeRefusal(body) else { return [.close(.refused)] }
        let failure: HandshakeFailure =
            switch refusal.reason {
            case .wrongSecret: .wrongSecret
            case .sameIncarnation: .sameIncarnation
            case .noCommonProtocol: .noCommonProtocol(ours: own.versions, theirs: refusal.versions)
            case .otherSlotFunction: .otherSlotFunction(ours: own.versions, theirs: refusal.versions)
            case .otherNode: .otherNode
            case .malformed: .malformed
            case .busy: .busy
            case .leaving: .leaving
            }
        return [.close(failure)]
    }

    private static func array(_ body: Span<UInt8>) -> [UInt8] {
        unsafe body.withUnsafeBufferPointer { unsafe Array($0) }
    }
}
