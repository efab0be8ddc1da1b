// The only form in which the domain knows a voter or a key: 128 bits of a keyed hash that the shell computed under the
// poll's random key. Nobody outside can craft one.

/// A 128-bit keyed hash of a voter, of a vote's key or of an idempotency key, computed by the shell.
///
/// Equal hashes are taken for the same voter. With n distinct voters in a poll, two of them share a hash with a
/// probability of about n² / 2^129: below 1.5 · 10^-27 for 1,000,000 voters.
public struct Hash128: Hashable, Comparable, Sendable {
    /// The upper 64 bits; the tables order and place by these first.
    public let high: UInt64
    /// The lower 64 bits.
    public let low: UInt64

    /// Takes the two halves as they are.
    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// By the upper half, then by the lower.
    @inlinable
    public static func < (a: Self, b: Self) -> Bool { a.high != b.high ? a.high < b.high : a.low < b.low }

    /// The tables' mark of a free place; no stored hash has it.
    static let empty = Hash128(high: 0, low: 0)

    /// What the tables store: the hash itself, except that the one value that marks a free place becomes another.
    @inline(__always)
    var stored: Hash128 { high | low == 0 ? Hash128(high: 0, low: 1) : self }

    /// The hash of the pair (voter, key). Both halves are uniform and each multiplier is odd, so that the pair
    /// collides no more often than a hash of its own would.
    @inline(__always)
    static func pair(voter: Hash128?, key: Hash128) -> Hash128 {
        guard let voter else { return key.stored }
        let high = key.high ^ (voter.low &* 0x9E37_79B9_7F4A_7C15)
        let low = key.low ^ (voter.high &* 0xD6E8_FEB8_6659_FD93)
        return Hash128(high: high, low: low).stored
    }
}

/// Folds the 128-bit product of two words into one; the step of every digest in this module.
@inline(__always)
func foldedProduct(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
}
