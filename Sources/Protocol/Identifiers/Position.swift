/// Where a client stands in a campaign's stream of events: the slot's epoch, then a sequence number in that epoch.
///
/// Both are below 2^53, so that every JSON reader keeps them exact. Positions compare as a pair; they are unrelated
/// to the journal's lsn. What is stamped with a position shows everything up to it.
public struct Position: Hashable, Comparable, Sendable {
    /// The slot's epoch under which the owner emitted; it only grows.
    public var epoch: UInt64
    /// Starts again in each epoch and grows by one for each event and each committed batch of votes.
    public var seq: UInt64

    /// The largest value that either half may take: 2^53 − 1.
    public static let componentLimit: UInt64 = (1 << 53) - 1

    /// Takes both halves as they are.
    @inlinable
    public init(epoch: UInt64, seq: UInt64) {
        self.epoch = epoch
        self.seq = seq
    }

    /// Epoch first, then seq.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool {
        a.epoch != b.epoch ? a.epoch < b.epoch : a.seq < b.seq
    }
}
