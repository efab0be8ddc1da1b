// When a campaign's state is written whole, so that recovery stays short and the journal can be trimmed.

/// Decides for one campaign; times are monotonic nanoseconds.
struct SnapshotPolicy {
    static let journalBytesFloor = 256 * 1024
    static let dirtyNanoseconds: UInt64 = 60_000_000_000
    static let retryNanoseconds: UInt64 = 10_000_000_000

    private var snapshotBytes: Int
    private var hasSnapshot: Bool
    private var journalBytes: Int
    private var dirtySince: UInt64?
    private var isWanted: Bool
    private var isInFlight = false
    private var notBefore: UInt64 = 0
    private var journaledSinceCapture = 0

    /// - Parameter snapshotBytes: size of the newest stored snapshot; `nil` where there is none.
    init(snapshotBytes: Int?, journalBytes: Int, now: UInt64) {
        self.snapshotBytes = snapshotBytes ?? 0
        hasSnapshot = snapshotBytes != nil
        self.journalBytes = journalBytes
        dirtySince = journalBytes > 0 ? now : nil
        isWanted = false
    }

    /// Effects went into the journal.
    mutating func journaled(bytes: Int, now: UInt64) {
        journalBytes += bytes
        if isInFlight { journaledSinceCapture += bytes }
        if dirtySince == nil { dirtySince = now }
    }

    /// A poll closed: the voters left the state, and the next snapshot is small.
    mutating func pollClosed() { isWanted = true }

    /// Somebody else has a reason: trimming, the end of a retention.
    mutating func wanted() { isWanted = true }

    /// Whether the newest stored snapshot shows everything.
    var isClean: Bool { hasSnapshot && dirtySince == nil && !isInFlight && !isWanted }

    func isDue(at now: UInt64) -> Bool {
        guard !isInFlight, now >= notBefore else { return false }
        return isWanted || journalBytes > max(Self.journalBytesFloor, 2 * snapshotBytes)
            || dirtySince.map { now &- $0 >= Self.dirtyNanoseconds } ?? false
    }

    /// Nanoseconds until a snapshot is due for its age; `nil` for a clean campaign.
    func delay(at now: UInt64) -> UInt64? {
        guard !isInFlight else { return nil }
        if isDue(at: now) { return 0 }
        if isWanted { return notBefore &- now }
        guard let dirtySince else { return nil }
        let due = max(dirtySince + Self.dirtyNanoseconds, notBefore)
        return due > now ? due - now : 0
    }

    mutating func captured() {
        isInFlight = true
        isWanted = false
        journaledSinceCapture = 0
    }

    mutating func stored(bytes: Int, now: UInt64) {
        isInFlight = false
        hasSnapshot = true
        snapshotBytes = bytes
        journalBytes = journaledSinceCapture
        dirtySince = journaledSinceCapture > 0 ? now : nil
    }

    mutating func failed(now: UInt64) {
        isInFlight = false
        isWanted = true
        notBefore = now + Self.retryNanoseconds
    }
}
