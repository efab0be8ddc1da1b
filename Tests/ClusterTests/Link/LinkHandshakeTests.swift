import Platform
import Protocol
import Testing

@testable import Cluster

@Suite(.timeLimit(.minutes(5)))
struct LinkHandshakeTests {
    static let secret = [UInt8](repeating: 0x5A, count: 32)
    static let dialerIdentity = NodeIdentity(name: "node-1", incarnation: 1)
    static let listenerIdentity = NodeIdentity(name: "node-2", incarnation: 2)

    func dialer(
        _ identity: NodeIdentity = Self.dialerIdentity, versions: LinkVersions = .current,
        secret: [UInt8] = Self.secret, expecting name: String? = "node-2", seed: UInt64 = 1
    ) -> LinkHandshake {
        LinkHandshake(
            .dialer, as: identity, versions: versions, key: LinkKey(clusterSecret: secret), expectedName: name,
            random: SeededRandom(seed: seed), now: 0)
    }

    func listener(
        _ identity: NodeIdentity = Self.listenerIdentity, versions: LinkVersions = .current,
        secret: [UInt8] = Self.secret, seed: UInt64 = 2
    ) -> LinkHandshake {
        LinkHandshake(
            .listener, as: identity, versions: versions, key: LinkKey(clusterSecret: secret),
            random: SeededRandom(seed: seed), now: 0)
    }

    /// Carries what each side sends to the other until nothing is left.
    private func run(
        _ dialer: inout LinkHandshake, _ listener: inout LinkHandshake,
        change: (FrameKind, inout [UInt8]) -> Void = { _, _ in }
    ) -> (dialer: [LinkHandshake.Action], listener: [LinkHandshake.Action], frames: [(FrameKind, [UInt8])]) {
        var ends: (dialer: [LinkHandshake.Action], listener: [LinkHandshake.Action]) = ([], [])
        var frames: [(FrameKind, [UInt8])] = []
        var toListener = dialer.connected()
        var toDialer = listener.connected()
        while !toListener.isEmpty || !toDialer.isEmpty {
            var next: [LinkHandshake.Action] = []
            for action in toListener {
                guard case .send(let kind, var body) = action else { ends.dialer.append(action); continue }
                change(kind, &body)
                frames.append((kind, body))
                next += listener.received(kind, body)
            }
            toListener = []
            for action in toDialer + next {
                guard case .send(let kind, var body) = action else { ends.listener.append(action); continue }
                change(kind, &body)
                frames.append((kind, body))
                toListener += dialer.received(kind, body)
            }
            toDialer = []
        }
        return (ends.dialer, ends.listener, frames)
    }

    @Test func `both sides learn who is at the other end`() {
        var (a, b) = (dialer(), listener())
        let ends = run(&a, &b)
        #expect(ends.dialer == [.open(LinkPeer(identity: Self.listenerIdentity, protocolVersion: 1))])
        #expect(ends.listener == [.open(LinkPeer(identity: Self.dialerIdentity, protocolVersion: 1))])
        #expect(ends.frames.map(\.0) == [.hello, .challenge, .proof, .welcome])
        #expect(a.ticked(now: .max).isEmpty && b.ticked(now: .max).isEmpty)
    }

    @Test func `a dialer that knows another secret is refused, and gets nothing made with the right one`() {
        var (a, b) = (dialer(secret: [UInt8](repeating: 1, count: 32)), listener())
        let ends = run(&a, &b)
        #expect(ends.dialer == [.close(.wrongSecret)])
        #expect(ends.listener == [.close(.wrongSecret)])
        #expect(ends.frames.map(\.0) == [.hello, .challenge, .proof, .refusal])
    }

    @Test func `a listener that only says welcome is not believed`() {
        var a = dialer()
        _ = a.connected()
        var b = listener()
        _ = b.connected()
        guard case .send(_, let hello)? = dialerHello(),
            case .send(.challenge, let challenge)? = b.received(.hello, hello).first
        else { return #expect(Bool(false)) }
        _ = a.received(.challenge, challenge)
        let actions = a.received(.welcome, [UInt8](repeating: 0, count: 32))
        #expect(actions.last == .close(.wrongSecret))
    }

    private func dialerHello() -> LinkHandshake.Action? {
        var a = dialer()
        return a.connected().first
    }

    @Test func `a recorded dialer does not get in again`() {
        var (a, b) = (dialer(), listener())
        let recorded = run(&a, &b).frames
        var fresh = listener(seed: 3)
        guard case .send(.challenge, _)? = fresh.received(.hello, recorded[0].1).first else {
            return #expect(Bool(false))
        }
        #expect(fresh.received(.proof, recorded[2].1).last == .close(.wrongSecret))
    }

    @Test func `a recorded listener is not believed again`() {
        var (a, b) = (dialer(), listener())
        let recorded = run(&a, &b).frames
        var fresh = dialer(seed: 4)
        _ = fresh.connected()
        guard case .send(.proof, _)? = fresh.received(.challenge, recorded[1].1).first else {
            return #expect(Bool(false))
        }
        #expect(fresh.received(.welcome, recorded[3].1).last == .close(.wrongSecret))
    }

    @Test func `a proof that is sent back to its maker proves nothing`() {
        // Somebody without the secret answers a dialer with the dialer's own words.
        var a = dialer(expecting: nil)
        guard case .send(.hello, let hello)? = a.connected().first else { return #expect(Bool(false)) }
        #expect(a.received(.challenge, hello).last == .close(.sameIncarnation))
        // Under another incarnation: the dialer's proof is no welcome.
        a = dialer(expecting: nil)
        _ = a.connected()
        let challenge = HandshakeGreeting(
            versions: .current, identity: Self.listenerIdentity, nonce: [UInt8](repeating: 0, count: 32)
        ).body(.challenge)
        guard case .send(.proof, let proof)? = a.received(.challenge, challenge).first else {
            return #expect(Bool(false))
        }
        #expect(a.received(.welcome, proof).last == .close(.wrongSecret))
    }

    @Test func `a process that dials itself is told so`() {
        var (a, b) = (dialer(), listener(Self.dialerIdentity))
        a = dialer(expecting: nil)
        let ends = run(&a, &b)
        #expect(ends.dialer == [.close(.sameIncarnation)])
        #expect(ends.listener == [.close(.sameIncarnation)])
    }

    @Test func `two releases speak the highest version that both know`() {
        for (ours, theirs, common) in [(1...2, 1...1, 1), (1...3, 2...5, 3), (2...2, 1...9, 2)]
            as [(ClosedRange<UInt8>, ClosedRange<UInt8>, UInt8)]
        {
            for isTurned in [false, true] {
                let (first, second) = isTurned ? (theirs, ours) : (ours, theirs)
                var a = dialer(versions: LinkVersions(protocols: first, slotFunction: 1))
                var b = listener(versions: LinkVersions(protocols: second, slotFunction: 1))
                let ends = run(&a, &b)
                #expect(ends.dialer == [.open(LinkPeer(identity: Self.listenerIdentity, protocolVersion: common))])
                #expect(ends.listener == [.open(LinkPeer(identity: Self.dialerIdentity, protocolVersion: common))])
            }
        }
    }

    @Test func `releases without a common version refuse each other, and both logs tell both ranges`() {
        let old = LinkVersions(protocols: 1...1, slotFunction: 1)
        let new = LinkVersions(protocols: 2...3, slotFunction: 1)
        var (a, b) = (dialer(versions: old), listener(versions: new))
        let ends = run(&a, &b)
        #expect(ends.dialer == [.close(.noCommonProtocol(ours: old, theirs: new))])
        #expect(ends.listener == [.close(.noCommonProtocol(ours: new, theirs: old))])
        #expect("\(HandshakeFailure.noCommonProtocol(ours: old, theirs: new))".contains("1...1"))
    }

    @Test func `another slot function is refused`() {
        let other = LinkVersions(protocols: 1...1, slotFunction: 2)
        var (a, b) = (dialer(), listener(versions: other))
        let ends = run(&a, &b)
        #expect(ends.dialer == [.close(.otherSlotFunction(ours: .current, theirs: other))])
        #expect(ends.listener == [.close(.otherSlotFunction(ours: other, theirs: .current))])
    }

    @Test func `a node of another name than the one that was dialled refuses, and any is taken where none is named`() {
        var (a, b) = (dialer(expecting: "node-9"), listener())
        var ends = run(&a, &b)
        #expect(ends.dialer == [.close(.otherNode)])
        #expect(ends.listener == [.close(.otherNode)])
        (a, b) = (dialer(expecting: nil), listener())
        ends = run(&a, &b)
        #expect(ends.dialer == [.open(LinkPeer(identity: Self.listenerIdentity, protocolVersion: 1))])
    }

    /// Names, incarnations, versions and nonces are all under the proof: whatever changes on the way, no link opens.
    @Test(arguments: [FrameKind.hello, .challenge, .proof, .welcome])
    func `a single byte changed on the way opens no link to whom it is told`(_ kind: FrameKind) {
        let length = [FrameKind.hello: 66, .challenge: 59, .proof: 32, .welcome: 32][kind] ?? 0
        for place in 0..<length {
            for bit in 0..<8 as Range<UInt8> {
                var (a, b) = (dialer(), listener())
                var isChanged = false
                let ends = run(&a, &b) { sent, body in
                    guard sent == kind, place < body.count else { return }
                    body[place] ^= 1 << bit
                    isChanged = true
                }
                #expect(isChanged)
                #expect(!ends.dialer.contains { if case .open = $0 { true } else { false } })
                if kind != .welcome {
                    #expect(!ends.listener.contains { if case .open = $0 { true } else { false } })
                }
            }
        }
    }

    @Test func `fields of a later release behind a greeting are left alone, and signed`() {
        var (a, b) = (dialer(), listener())
        // Both sides sign what travelled: one that arrives longer than it was sent does not pass.
        let ends = run(&a, &b) { kind, body in if kind == .hello { body += [1, 2, 3] } }
        #expect(ends.listener == [.close(.wrongSecret)])
        #expect((try? HandshakeGreeting(.hello, dialerBody() + [1, 2, 3])) != nil)
    }

    private func dialerBody() -> [UInt8] {
        guard case .send(_, let body)? = dialerHello() else { return [] }
        return body
    }

    @Test func `every prefix of a greeting is refused`() {
        let body = dialerBody()
        for cut in 0..<body.count {
            var b = listener()
            #expect(b.received(.hello, Array(body[..<cut])).last == .close(.malformed))
        }
    }

    @Test func `a frame out of turn ends the handshake`() {
        for kind in FrameKind.allCases where kind != .refusal {
            var (a, b) = (dialer(), listener())
            _ = a.connected()
            if kind != .challenge { #expect(a.received(kind, dialerBody()).last == .close(.malformed)) }
            if kind != .hello { #expect(b.received(kind, dialerBody()).last == .close(.malformed)) }
            #expect(b.received(kind, dialerBody()).isEmpty == (kind != .hello))
        }
    }

    @Test func `a handshake that is not over in two seconds is given up`() {
        var (a, b) = (dialer(), listener())
        _ = a.connected()
        #expect(a.ticked(now: 1_999_999_999).isEmpty)
        #expect(b.ticked(now: 1_999_999_999).isEmpty)
        #expect(a.ticked(now: 2_000_000_000) == [.close(.timedOut)])
        #expect(b.ticked(now: 2_000_000_000) == [.close(.timedOut)])
        #expect(b.received(.hello, dialerBody()).isEmpty)
    }

    @Test func `a refusal that cannot be read still ends the attempt`() {
        for body in [[], [99, 1, 1, 1, 0], [1, 2, 1, 0, 0]] as [[UInt8]] {
            var a = dialer()
            _ = a.connected()
            #expect(a.received(.refusal, body) == [.close(.refused)])
        }
    }

    @Test func `nonces of two attempts differ, and proofs depend on the secret`() {
        #expect(dialerBody() != bodyOf(dialer(seed: 9)))
        let one = LinkKey(clusterSecret: Self.secret).proof(.dialer, hello: [1], challenge: [2])
        #expect(one != LinkKey(clusterSecret: Self.secret + [0x5A]).proof(.dialer, hello: [1], challenge: [2]))
        #expect(one != LinkKey(clusterSecret: Self.secret).proof(.listener, hello: [1], challenge: [2]))
        #expect(one != LinkKey(clusterSecret: Self.secret).proof(.dialer, hello: [], challenge: [1, 2]))
    }

    private func bodyOf(_ handshake: LinkHandshake) -> [UInt8] {
        var handshake = handshake
        guard case .send(_, let body)? = handshake.connected().first else { return [] }
        return body
    }
}
