// What the journal's tests share: journals of both kinds, rows, and awaited submissions.

import Dispatch
import Foundation
import Protocol
import Synchronization

@testable import Journal

enum Kind: CaseIterable, Sendable {
    case memory, sqlite, postgres

    /// Postgres takes part where there is a server.
    static var allCases: [Kind] { serverURL == nil ? [.memory, .sqlite] : [.memory, .sqlite, .postgres] }
}

/// A folder that goes with the test.
final class Folder: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "journal-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var database: String { path + "/journal.db" }
}

func at(_ seconds: Int64) -> @Sendable () -> Timestamp { { Timestamp(milliseconds: seconds * 1000) } }

func monotonic() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

/// An embedded journal.
func open(_ kind: Kind, _ folder: Folder, seconds: Int64 = 1000) throws -> any Journal {
    switch kind {
    case .memory: MemoryJournal(now: at(seconds))
    case .sqlite: try SQLiteJournal(folder: folder.path, now: at(seconds), nanoseconds: monotonic)
    case .postgres: preconditionFailure("a journal in Postgres is connected, see `connect`")
    }
}

/// A journal of any kind.
func connect(_ kind: Kind, _ folder: Folder, seconds: Int64 = 1000) async throws -> any Journal {
    guard kind == .postgres else { return try open(kind, folder, seconds: seconds) }
    return try await TestDatabase.make().journal(seconds: seconds)
}

func campaign(_ number: Int) -> CampaignID {
    CampaignID(UUIDv7(at: Timestamp(milliseconds: 1), random: UInt128(number)))
}

func row(
    _ lsn: UInt64, epoch: UInt64, slot: UInt16 = 7, campaigns: [Int] = [1], bytes: Int = 40, flush: UInt128 = 0
) -> SealedRow {
    SealedRow(
        slot: Slot(slot), lsn: lsn, epoch: epoch, flush: flush == 0 ? UInt128(lsn) << 64 | UInt128(epoch) : flush,
        count: 2, campaigns: campaigns.map(campaign), payload: (0..<bytes).map { UInt8(truncatingIfNeeded: $0) })
}

extension Journal {
    func flush(_ rows: [SealedRow]) async -> [FlushOutcome] {
        await withCheckedContinuation { continuation in
            let taken = submit(rows) { continuation.resume(returning: $0.map(\.outcome)) }
            if !taken { continuation.resume(returning: rows.map { _ in .failed(.unavailable("full")) }) }
        }
    }

    func snapshot(
        _ number: Int, lsn: UInt64, epoch: UInt64, slot: UInt16 = 7, wakeAt: Timestamp? = nil, voters: Bool = false,
        bytes: Int = 100
    ) async -> SnapshotOutcome {
        await withCheckedContinuation { continuation in
            let job = SnapshotJob(
                campaign: campaign(number), slot: Slot(slot), lsn: lsn, epoch: epoch, wakeAt: wakeAt,
                holdsVoterData: voters, encode: { [UInt8](repeating: UInt8(truncatingIfNeeded: lsn), count: bytes) })
            submitSnapshot(job) { continuation.resume(returning: $0) }
        }
    }

    func remove(_ number: Int, lsn: UInt64, epoch: UInt64) async -> SnapshotOutcome {
        await withCheckedContinuation { continuation in
            removeCampaign(campaign(number), slot: Slot(7), lsn: lsn, epoch: epoch) {
                continuation.resume(returning: $0)
            }
        }
    }
}

/// The rows that are kept, asked for again and again until trimming came that far.
func rows(_ journal: SQLiteJournal, untilOldestIs lsn: UInt64) async throws -> [UInt64] {
    var found: [UInt64] = []
    for _ in 0..<100 where found.first != lsn {
        found = try await journal.engine.ask { core in
            attempt { () throws(JournalError) -> [UInt64] in
                guard let store = core.store as? SQLiteStore else { return [] }
                let query = try store.connection().prepare("SELECT id FROM journal ORDER BY id")
                var lsns: [UInt64] = []
                while try query.step() { lsns.append(query.unsigned(0) & SQLiteStore.lsnMask) }
                return lsns
            }
        }
    }
    return found
}
