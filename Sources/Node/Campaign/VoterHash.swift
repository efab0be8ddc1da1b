// What the journal knows of voters and keys: 128-bit hashes under a random key of their poll, so that no raw id is
// stored and nobody can make two ids meet.

import Domain
import Platform

enum VoterHash {
    static func voter(_ name: String, key: Hash128) -> Hash128 { hash(name, key.high, key.low) }

    /// The hash of a vote's key; under another key than voters, so that a voter named like a key is not that key.
    static func mark(_ text: String, key: Hash128) -> Hash128 { hash(text, ~key.high, key.low) }

    private static func hash(_ text: String, _ high: UInt64, _ low: UInt64) -> Hash128 {
        let hash = SipHash.hash128(text, keyHigh: high, keyLow: low)
        return Hash128(high: hash.high, low: hash.low)
    }
}

/// Idempotency keys and bodies as the owner compares them. Here a client could try to make two inputs meet, so the
/// hash is a cryptographic one.
enum IdempotencyHash {
    static func key(principal: Principal, path: String, key: String) -> Hash128 {
        var input: [UInt8] = []
        // Lengths first: no two triples give the same bytes.
        for part in [principal.subject, path, key] {
            input.append(contentsOf: Array(String(part.utf8.count).utf8))
            input.append(UInt8(ascii: ":"))
            input.append(contentsOf: part.utf8)
        }
        return hash(input)
    }

    static func body(_ body: [UInt8]) -> Hash128 { hash(body) }

    private static func hash(_ input: [UInt8]) -> Hash128 {
        let digest = Blake2b.hash128(input)
        return Hash128(high: digest.high, low: digest.low)
    }
}
