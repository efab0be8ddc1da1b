// Chance, as the core gets it: through a protocol, so that a seed can repeat a run.

/// Where the core gets random numbers.
public protocol RandomSource: Sendable {
    /// 64 random bits.
    func next() -> UInt64
}

extension RandomSource {
    /// 128 random bits.
    public func next128() -> UInt128 { UInt128(next()) << 64 | UInt128(next()) }
}

/// The system's cryptographically secure generator (`getrandom`, `arc4random_buf`).
public struct SystemRandom: RandomSource {
    /// Makes one; it has no state.
    public init() {}

    /// 64 bits that nobody can predict.
    public func next() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}

/// A generator that repeats itself for the same seed: SplitMix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014). For tests and simulation, never for secrets.
public final class SeededRandom: RandomSource {
    private let state: Locked<UInt64>

    /// Starts a sequence.
    public init(seed: UInt64) { state = Locked(seed) }

    /// The next number of the sequence.
    public func next() -> UInt64 {
        state.withLock { state in
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }
}
