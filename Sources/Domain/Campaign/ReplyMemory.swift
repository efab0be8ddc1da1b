// The first final replies of commands that carried an Idempotency-Key: the latest 1,000 of a campaign, for 24 hours.
// What is forgotten, and when, depends on events alone, so that a replay forgets the same.

import Protocol

/// A reply as it was first given.
public struct RememberedReply: Equatable, Sendable {
    /// The HTTP status.
    public let status: UInt16
    /// The body, as it was sent.
    public let bytes: [UInt8]
}

/// The replies that a campaign remembers, oldest first.
struct ReplyMemory: Sendable {
    struct Entry: Equatable, Sendable {
        var key: Hash128
        var body: Hash128
        var at: Timestamp
        var reply: RememberedReply
    }

    /// A window over `slots`, from `first`; what is before it is forgotten and cleared away now and then.
    private var slots: [Entry?] = []
    private var first = 0
    private var indexes: [Hash128: Int] = [:]
    /// Bytes of the encoded form.
    private(set) var encodedBytes = 0

    static let entryOverheadBytes = 16 + 16 + 8 + 2 + 4

    var count: Int { indexes.count }

    /// The remembered entries, oldest first.
    var entries: [Entry] { slots[first...].compactMap { $0 } }

    func entry(for key: Hash128, at now: Timestamp) -> Entry? {
        guard let index = indexes[key], let entry = slots[index],
            now.milliseconds(since: entry.at) < Limits.idempotencyMillisecondsLimit
        else { return nil }
        return entry
    }

    /// Adds a reply, in place of an older one of the same key, and forgets what is too old or too much.
    mutating func remember(_ entry: Entry) {
        if let index = indexes[entry.key] { forget(at: index) }
        while first < slots.count {
            guard let oldest = slots[first] else {
                first += 1
                continue
            }
            let isExpired = entry.at.milliseconds(since: oldest.at) >= Limits.idempotencyMillisecondsLimit
            guard isExpired || count >= Limits.idempotencyKeysPerCampaignLimit else { break }
            forget(at: first)
        }
        if first > Limits.idempotencyKeysPerCampaignLimit || slots.count > 4 * Limits.idempotencyKeysPerCampaignLimit {
            compact()
        }
        append(entry)
    }

    /// Takes an entry of a snapshot; forgets nothing. `false` where its key is there already.
    mutating func restore(_ entry: Entry) -> Bool {
        guard indexes[entry.key] == nil else { return false }
        append(entry)
        return true
    }

    private mutating func append(_ entry: Entry) {
        indexes[entry.key] = slots.count
        slots.append(entry)
        encodedBytes += Self.entryOverheadBytes + entry.reply.bytes.count
    }

    private mutating func forget(at index: Int) {
        guard let entry = slots[index] else { return }
        slots[index] = nil
        indexes[entry.key] = nil
        encodedBytes -= Self.entryOverheadBytes + entry.reply.bytes.count
    }

    private mutating func compact() {
        slots = entries
        first = 0
        for (index, entry) in slots.enumerated() {
            if let entry { indexes[entry.key] = index }
        }
    }
}
