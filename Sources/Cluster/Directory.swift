// Who owns a slot. The road of a command asks this and nothing else, so that a node alone and a node among others run
// the same code.

public import Protocol

/// Where a slot is served.
public enum SlotOwner: Sendable, Equatable {
    /// By this node.
    case local
    /// By another node, reached by the lane of this number.
    case peer(Int)
    /// By nobody for a moment: the slot is on its way from one node to another.
    case moving
    /// By nobody that this node knows of.
    case unknown
}

/// What a node knows of placement.
public protocol Directory: Sendable {
    /// The owner of a slot, as far as it is known; cheap, callable from every loop.
    func owner(of slot: Slot) -> SlotOwner
    /// The slots that this node is to claim.
    var home: [Slot] { get }
}

/// The directory of a node that is alone: every slot is its own.
public struct SoleOwnerDirectory: Directory {
    /// Makes one; it has no state.
    public init() {}

    /// Always this node.
    public func owner(of slot: Slot) -> SlotOwner { .local }

    /// All slots.
    public var home: [Slot] { (0..<Slot.count).map { Slot(UInt16($0)) } }
}
