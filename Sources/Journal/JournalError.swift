// What can go wrong between a node and its journal. Fencing is not here: it is an outcome, not an error.

public import Protocol

/// Stored bytes that are not what was written, or are missing.
public struct JournalDamage: Error, Hashable, Sendable, CustomStringConvertible {
    /// The slot that cannot be recovered as it is.
    public let slot: Slot
    /// The rows that are damaged or missing; `nil` where only snapshots are.
    public let lsns: ClosedRange<UInt64>?
    /// The campaigns that need what is damaged, as far as they are known.
    public let campaigns: [CampaignID]
    /// What was found, in words.
    public let finding: String

    /// What is lost and how to go on, in one line.
    public var description: String {
        var text = "slot \(slot): \(finding)"
        if !campaigns.isEmpty { text += "; campaigns: " + campaigns.map(\.description).joined(separator: ", ") }
        if let lsns {
            text +=
                "; rows \(lsns.lowerBound) to \(lsns.upperBound) cannot be used. Restore a backup, or give them up: "
            text += "tumulte repair --slot \(slot) --keep-through \(lsns.lowerBound - 1)"
            text += " (rows after that move to journal_quarantine)"
        } else {
            text += ". Restore a backup of the data folder"
        }
        return text
    }
}

/// Why the journal refused, or could not say whether it stored something.
public enum JournalError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another connection or process holds the store; retry later.
    case busy(String)
    /// No space left; retry when there is.
    case full(String)
    /// The folder or file may not be written; retry when it may.
    case readOnly(String)
    /// The store failed to read or write; retry on a new connection.
    case io(String)
    /// Stored bytes are damaged; retrying does not help.
    case damaged(JournalDamage)
    /// The slot's epoch has moved on, or the slot was never claimed here.
    case fenced(Slot)
    /// A row that does not follow the slot's tail; the caller skipped an lsn.
    case outOfOrder(Slot, lsn: UInt64, tail: UInt64)
    /// The journal is closing or its queue is full.
    case unavailable(String)
    /// The node may not write until its lease is renewed; retry then. Nothing was sent.
    case suspended
    /// The store was written by a newer version of the program.
    case newerSchema(found: Int, known: Int)
    /// The database cannot be used as it is; says what to change.
    case unusable(String)
    /// Another process uses the data folder; its id where it could be read.
    case locked(path: String, pid: Int?)

    /// Whether the same call may succeed later, with nothing changed but the store's health.
    public var isTransient: Bool {
        switch self {
        case .busy, .full, .readOnly, .io, .unavailable, .suspended: true
        case .damaged, .fenced, .outOfOrder, .newerSchema, .unusable, .locked: false
        }
    }

    /// One line for the log.
    public var description: String {
        switch self {
        case .busy(let what): "the journal is locked: \(what)"
        case .full(let what): "no space for the journal: \(what)"
        case .readOnly(let what): "the journal may not be written: \(what)"
        case .io(let what): "the journal failed: \(what)"
        case .damaged(let damage): damage.description
        case .fenced(let slot): "slot \(slot) was claimed under a higher epoch"
        case .outOfOrder(let slot, let lsn, let tail): "slot \(slot): row \(lsn) does not follow tail \(tail)"
        case .unavailable(let what): "the journal takes nothing more: \(what)"
        case .suspended: "the node's lease has lapsed"
        case .newerSchema(let found, let known):
            "the journal has schema \(found), this program knows up to \(known): "
                + "run the newer program (compare `tumulte version`)"
        case .unusable(let what): what
        case .locked(let path, let pid):
            "\(path) is in use by " + (pid.map { "process \($0)" } ?? "another process")
                + ": stop it, or choose another TUMULTE_DATA"
        }
    }
}
