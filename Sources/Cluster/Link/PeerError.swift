// What a node answers that did nothing with a request, and what it says when a slot has gone: the two bodies that every
// router must read, whatever else the nodes say to each other.

/// Why a node did nothing with a request. Numbers are for ever; an unknown one counts as `unavailable`.
public enum PeerErrorCode: UInt8, Sendable, CaseIterable {
    /// The slot is served by another node, which the error names where it is known.
    case notOwner = 1
    /// Too much waits there.
    case overloaded = 2
    /// The sender's time had run out when the request arrived.
    case expired = 3
    /// The frame had passed as many nodes as it may.
    case hopsExceeded = 4
    /// Nobody can serve the slot now.
    case unavailable = 5
    /// The body could not be read.
    case malformed = 6
}

/// A node and what is known of it.
public struct OwnerHint: Hashable, Sendable {
    /// The node's name.
    public let name: String
    /// Its process.
    public let incarnation: UInt128

    /// - Precondition: the name is a node's name.
    public init(name: String, incarnation: UInt128) {
        precondition(NodeIdentity.isName(name), "not a node's name: \(name)")
        self.name = name
        self.incarnation = incarnation
    }
}

/// The body of an `error` frame. The epoch and the version of the table are in its header.
public struct PeerError: Error, Hashable, Sendable {
    /// Why.
    public let code: PeerErrorCode
    /// Milliseconds after which another attempt makes sense; 0 where that is not known.
    public let retryAfterMilliseconds: UInt32
    /// Who serves the slot, as far as the node knows.
    public let owner: OwnerHint?

    /// Takes all as it is.
    public init(_ code: PeerErrorCode, retryAfterMilliseconds: UInt32 = 0, owner: OwnerHint? = nil) {
        self.code = code
        self.retryAfterMilliseconds = retryAfterMilliseconds
        self.owner = owner
    }

    /// Appends the body.
    public func append(to output: inout [UInt8]) {
        output.append(code.rawValue)
        LinkBytes.append(retryAfterMilliseconds, to: &output)
        LinkBytes.append(owner?.incarnation ?? 0, to: &output)
        LinkBytes.append(name: owner?.name ?? "", to: &output)
    }

    /// Reads a body; `nil` for anything else.
    public init?(_ body: Span<UInt8>) {
        guard let error = try? Self.read(body) else { return nil }
        self = error
    }

    private static func read(_ body: Span<UInt8>) throws(LinkBodyError) -> PeerError {
        var cursor = LinkCursor()
        let code = PeerErrorCode(rawValue: try cursor.byte(body)) ?? .unavailable
        let retry = try cursor.word32(body)
        let incarnation = try cursor.word128(body)
        let name = try cursor.name(body, mayBeEmpty: true)
        return PeerError(
            code, retryAfterMilliseconds: retry,
            owner: name.isEmpty ? nil : OwnerHint(name: name, incarnation: incarnation))
    }
}

/// The body of a `moved` frame: where the slot of its header has gone. The header's epoch is the new one.
public struct MovedNotice: Hashable, Sendable {
    /// The new owner.
    public let target: OwnerHint

    /// Takes it as it is.
    public init(target: OwnerHint) { self.target = target }

    /// Appends the body.
    public func append(to output: inout [UInt8]) {
        LinkBytes.append(target.incarnation, to: &output)
        LinkBytes.append(name: target.name, to: &output)
    }

    /// Reads a body; `nil` for anything else.
    public init?(_ body: Span<UInt8>) {
        guard let notice = try? Self.read(body) else { return nil }
        self = notice
    }

    private static func read(_ body: Span<UInt8>) throws(LinkBodyError) -> MovedNotice {
        var cursor = LinkCursor()
        let incarnation = try cursor.word128(body)
        return MovedNotice(target: OwnerHint(name: try cursor.name(body), incarnation: incarnation))
    }
}
