// How much a slot belongs to a node, by the node's name alone: highest random weight, or rendezvous hashing (Thaler and
// Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996). Every node computes the same, for ever.
//
//   score = SipHash-2-4(key, slot as 2 bytes, little-endian, followed by the name's UTF-8)

import Platform
public import Protocol

/// Scores of nodes for slots.
public enum Rendezvous {
    /// It keeps nothing secret: it only separates this use of the hash from others.
    static let key: [UInt8] = Array("tumulte rank v1.".utf8)

    /// The score of a node for a slot; the highest ranks first. Equal scores rank by name.
    public static func score(of name: String, for slot: Slot) -> UInt64 {
        var bytes: [UInt8] = [UInt8(truncatingIfNeeded: slot.index), UInt8(truncatingIfNeeded: slot.index >> 8)]
        bytes.append(contentsOf: name.utf8)
        return SipHash.hash64(bytes, key: key)
    }

    /// The names, those first that the slot belongs to most.
    public static func ranking(of names: [String], for slot: Slot) -> [String] {
        names.map { (score: score(of: $0, for: slot), name: $0) }
            .sorted { $0.score != $1.score ? $0.score > $1.score : $0.name < $1.name }
            .map(\.name)
    }
}
