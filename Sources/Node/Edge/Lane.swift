// What waits for a connection whose socket takes nothing more. Replies, starts, ends and signals wait in order and are
// bounded in bytes; of updates only the newest of each campaign waits, so that a client which wakes up sees the
// present and not a film of the past.

import Platform
import Protocol

/// The bounded queue of one blocked connection.
struct Lane {
    /// Bytes that may wait; over it the connection is cut as a slow consumer.
    static let bytesLimit = 256 * 1024

    private struct Entry {
        let bytes: SharedBytes
        /// Set for an update: a newer one of the same campaign takes its place at the end.
        let conflates: CampaignID?
    }

    private var entries: [Entry] = []
    private(set) var byteCount = 0

    var isEmpty: Bool { entries.isEmpty }

    /// Appends bytes that must not be lost; `false` where the lane is full and the connection must go.
    mutating func push(_ bytes: SharedBytes) -> Bool {
        guard byteCount + bytes.count <= Self.bytesLimit else { return false }
        entries.append(Entry(bytes: bytes, conflates: nil))
        byteCount += bytes.count
        return true
    }

    /// Appends an update in the place of an older one of the same campaign. Positions keep rising, since it goes last.
    mutating func pushUpdate(_ bytes: SharedBytes, of campaign: CampaignID) -> Bool {
        if let older = entries.lastIndex(where: { $0.conflates == campaign }) {
            byteCount -= entries[older].bytes.count
            entries.remove(at: older)
        }
        guard byteCount + bytes.count <= Self.bytesLimit else { return false }
        entries.append(Entry(bytes: bytes, conflates: campaign))
        byteCount += bytes.count
        return true
    }

    /// Takes everything, in order.
    mutating func drain() -> [SharedBytes] {
        defer { removeAll() }
        return entries.map(\.bytes)
    }

    mutating func removeAll() {
        entries = []
        byteCount = 0
    }
}
