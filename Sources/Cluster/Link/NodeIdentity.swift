// Who a node is, and which releases it understands.

/// A process of the cluster, as it presents itself on a link.
public struct NodeIdentity: Hashable, Sendable {
    /// Bytes of a name.
    public static let nameBytesLimit = 128

    /// The node's stable name: 1 to 128 visible ASCII characters.
    public let name: String
    /// 128 random bits of this process.
    public let incarnation: UInt128

    /// - Precondition: the name is one.
    public init(name: String, incarnation: UInt128) {
        precondition(Self.isName(name), "not a node's name: \(name)")
        self.name = name
        self.incarnation = incarnation
    }

    /// Whether a text can be a node's name.
    public static func isName(_ text: String) -> Bool {
        (1...nameBytesLimit).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

/// What a release speaks. Two releases understand each other where their ranges meet; they speak the highest version
/// that both know.
public struct LinkVersions: Hashable, Sendable {
    /// Versions of the protocol between nodes: kinds of frames, their bodies and their meaning.
    public let protocols: ClosedRange<UInt8>
    /// The version of the function that maps campaigns to slots; it must be the same on both sides.
    public let slotFunction: UInt16

    /// Takes both as they are.
    public init(protocols: ClosedRange<UInt8>, slotFunction: UInt16) {
        self.protocols = protocols
        self.slotFunction = slotFunction
    }

    /// This release's.
    public static let current = LinkVersions(protocols: 1...1, slotFunction: 1)

    /// The version that both speak, or `nil` where there is none.
    public func common(with other: LinkVersions) -> UInt8? {
        let highest = min(protocols.upperBound, other.protocols.upperBound)
        return highest >= max(protocols.lowerBound, other.protocols.lowerBound) ? highest : nil
    }
}

/// The node at the other end of an open link.
public struct LinkPeer: Hashable, Sendable {
    /// Who it is; it has shown that it knows the cluster's secret.
    public let identity: NodeIdentity
    /// The version of the protocol that this link speaks.
    public let protocolVersion: UInt8

    /// Takes both as they are.
    public init(identity: NodeIdentity, protocolVersion: UInt8) {
        self.identity = identity
        self.protocolVersion = protocolVersion
    }
}
