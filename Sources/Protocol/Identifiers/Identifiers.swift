// The typed identifiers: a campaign is not a poll, and the compiler knows.

/// Names a campaign; also what placement hashes into a slot.
public struct CampaignID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The id underneath.
    public let uuid: UUIDv7

    /// Wraps an id that is known to name a campaign.
    @inlinable
    public init(_ uuid: UUIDv7) { self.uuid = uuid }

    /// In the order of what it wraps.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.uuid < b.uuid }
    /// The lowercase text form.
    public var description: String { uuid.description }
    /// When the id was made, which is when the campaign was.
    public var createdAt: Timestamp { Timestamp(milliseconds: Int64(uuid.bits >> 80)) }
}

/// Names a poll, unique over all campaigns.
public struct PollID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The id underneath.
    public let uuid: UUIDv7

    /// Wraps an id that is known to name a poll.
    @inlinable
    public init(_ uuid: UUIDv7) { self.uuid = uuid }

    /// In the order of what it wraps.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.uuid < b.uuid }
    /// The lowercase text form.
    public var description: String { uuid.description }
}

/// One of the 4,096 units of placement, ownership and journaling.
public struct Slot: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// How many slots there are; part of the slot function's version, never changed for a running cluster.
    public static let count = 4096

    /// 0 to 4095.
    public let index: UInt16

    /// - Precondition: `index < 4096`.
    @inlinable
    public init(_ index: UInt16) {
        precondition(index < Slot.count, "slot \(index) is out of range")
        self.index = index
    }

    /// In the order of what it wraps.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.index < b.index }
    /// The slot's number.
    public var description: String { String(index) }
}
