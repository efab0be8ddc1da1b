// Chance that repeats itself for the same seed, one sequence for each use, so that a change in one does not shift the
// others.

import Platform

/// `@unchecked Sendable`: a world lives on one thread.
final class Dice: RandomSource, @unchecked Sendable {
    private var state: UInt64

    init(seed: UInt64, use: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 ^ (use &* 0xD1B5_4A32_D192_ED03) }

    /// SplitMix64, as `SeededRandom`.
    func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    func below(_ bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }
    func within(_ range: ClosedRange<UInt64>) -> UInt64 {
        range.lowerBound + next().multipliedFullWidth(by: range.upperBound - range.lowerBound + 1).high
    }
    func chance(_ percent: Int) -> Bool { below(100) < percent }
    func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}

/// Durations in nanoseconds.
enum Span {
    static func milliseconds(_ count: UInt64) -> UInt64 { count * 1_000_000 }
    static func seconds(_ count: UInt64) -> UInt64 { count * 1_000_000_000 }
}
