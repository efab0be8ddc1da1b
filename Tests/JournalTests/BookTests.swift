// Every bit of the journal's bookkeeping, flipped: what recovery then finds is the same, or it refuses.

import Foundation
import Protocol
import Testing

@testable import Journal

@Suite(.timeLimit(.minutes(5)))
struct BookTests {
    /// Campaigns by the rows that tell of them; the first creates a campaign, and `removals` end one.
    private static let content: [UInt16: [[Int]]] = [
        7: [[1], [1], [2], [2], [2], [2], [3], [1], [4], [4], [5], [5]],
        9: [[6, 7], [6], [6], [6], [6]],
    ]
    private static let removals: [Int: UInt64] = [4: 10]
    /// What each campaign's state is made of: the rows that it has seen.
    private typealias Model = [UInt16: [CampaignID: Set<UInt64>]]

    /// A database with campaigns in every stage: only rows, one snapshot, two, forgotten rows, removed, trimmed.
    private func populated() async throws -> Data {
        let folder = try Folder()
        let journal = try open(.sqlite, folder)
        _ = try await journal.claim([Slot(7), Slot(9)])
        func write(_ slot: UInt16, _ lsns: ClosedRange<UInt64>) async {
            for lsn in lsns {
                let campaigns = Self.content[slot]?[Int(lsn) - 1] ?? []
                #expect(await journal.flush([row(lsn, epoch: 1000, slot: slot, campaigns: campaigns)]) == [.committed])
            }
        }
        await write(7, 1...12)
        for (number, lsn) in [(2, UInt64(4)), (2, 5), (3, 7), (3, 8), (5, 11)] {
            #expect(await journal.snapshot(number, lsn: lsn, epoch: 1000) == .stored)
        }
        #expect(await journal.remove(4, lsn: 10, epoch: 1000) == .stored)
        await write(9, 1...4)
        for (number, lsn) in [(6, UInt64(2)), (7, 2), (7, 3), (6, 3)] {
            #expect(await journal.snapshot(number, lsn: lsn, epoch: 1000, slot: 9) == .stored)
        }
        await write(9, 5...5)
        await journal.close()
        return try Data(contentsOf: URL(fileURLWithPath: folder.database))
    }

    private static func model(_ slot: UInt16, _ number: Int, through last: UInt64) -> Set<UInt64> {
        let rows = (content[slot] ?? []).enumerated()
        return Set(rows.filter { $0.element.contains(number) }.map { UInt64($0.offset + 1) }.filter { $0 <= last })
    }

    /// What a node makes of a recovery: `nil` where a row does not fit, which it refuses.
    private static func replay(_ recovery: SlotRecovery) -> [CampaignID: Set<UInt64>]? {
        let slot = UInt16(recovery.slot.index)
        var states: [CampaignID: Set<UInt64>] = [:]
        var starts = recovery.removed
        for snapshot in recovery.snapshots {
            guard let number = (1...7).first(where: { campaign($0) == snapshot.campaign }) else { return nil }
            states[snapshot.campaign] = model(slot, number, through: snapshot.lsn)
            starts[snapshot.campaign] = max(snapshot.lsn, starts[snapshot.campaign] ?? 0)
        }
        for row in recovery.rows where !row.payload.isEmpty {
            for number in 1...7 where row.campaigns.contains(campaign(number)) {
                let id = campaign(number)
                guard row.lsn > starts[id] ?? 0 else { continue }
                let creates = model(slot, number, through: row.lsn).count == 1
                if !creates, states[id] == nil { return nil }
                states[id, default: []].insert(row.lsn)
                if removals[number] == row.lsn { states[id] = nil }
            }
        }
        return states
    }

    private enum Outcome: Hashable { case same, refused, different }

    /// Changes a copy of the database and restarts on it, with a clock that went back.
    private func outcome(
        _ database: Data, _ folder: Folder, _ change: (SQLiteConnection) throws -> Void
    ) throws -> Outcome? {
        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: folder.database + suffix) }
        try database.write(to: URL(fileURLWithPath: folder.database))
        let store = try SQLiteStore(path: folder.database, options: SQLiteStore.Options(synchronous: "OFF"))
        defer { store.close() }
        do { try change(store.connection()) } catch { return nil }
        let claims = try store.claim([Slot(7), Slot(9)], now: Timestamp(milliseconds: 5000))
        var result = Outcome.same
        for claim in claims {
            let slot = UInt16(claim.slot.index)
            guard claim.epoch > 1000 else { return .different }
            var expected: [CampaignID: Set<UInt64>] = [:]
            for number in 1...7 where Self.removals[number] == nil {
                let rows = Self.model(slot, number, through: .max)
                if !rows.isEmpty { expected[campaign(number)] = rows }
            }
            do throws(JournalError) {
                let recovery = try store.recover(claim.slot)
                guard let states = Self.replay(recovery) else {
                    result = .refused
                    continue
                }
                if states != expected || recovery.tail != claim.tail { return .different }
                // A slot that is served takes the next row, and trims.
                let next = row(claim.tail + 1, epoch: claim.epoch, slot: slot, campaigns: [slot == 7 ? 1 : 6])
                if store.flush([next], now: Timestamp(milliseconds: 6000)) != [.committed] { return .different }
                while try store.trim(claim.slot, epoch: claim.epoch, limit: 64) {}
                guard let again = Self.replay(try store.recover(claim.slot)) else { return .different }
                expected[next.campaigns[0]]?.insert(next.lsn)
                let mentioned = again[next.campaigns[0]]?.union([next.lsn])
                if mentioned != expected[next.campaigns[0]] || again.count != expected.count { return .different }
            } catch {
                guard case .damaged = error else { return .different }
                result = .refused
            }
        }
        return result
    }

    private static let tables: [String: [String]] = [
        "slot_lease": ["slot", "epoch", "checksum"],
        "journal_campaign": [
            "slot", "campaign", "first", "last", "from_creation", "stored_at", "removed", "snapshot", "checksum",
        ],
        "snapshot": [
            "campaign", "slot", "lsn", "epoch", "format", "wake_at", "voters", "bytes", "checksum", "complete",
            "stored_at",
        ],
    ]

    private static func keys(_ table: String) -> String {
        switch table {
        case "slot_lease": "slot"
        case "journal_campaign": "slot, campaign"
        default: "campaign, lsn"
        }
    }

    /// Changes the value of a column in the `index`-th row of a table: flips a bit.
    private static func flip(
        _ table: String, _ column: String, row index: Int, bit: Int, _ connection: SQLiteConnection
    ) throws {
        let query = try connection.prepare(
            "SELECT \(column), \(keys(table)) FROM \(table) ORDER BY \(keys(table)) LIMIT 1 OFFSET ?1",
            .integer(Int64(index)))
        guard try query.step() else { throw JournalError.io("no row \(index)") }
        var value = SQLiteValue.integer(query.integer(0) ^ 1 << Int64(bit))
        if column == "campaign" {
            var bytes = query.bytes(0)
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            value = .bytes(bytes)
        }
        let first: SQLiteValue = table == "snapshot" ? .bytes(query.bytes(1)) : .integer(query.integer(1))
        let second: SQLiteValue = table == "snapshot" ? .integer(query.integer(2)) : .bytes(query.bytes(2))
        query.reset()
        let names = keys(table).split(separator: ", ")
        if names.count == 1 {
            try connection.run(
                connection.prepare("UPDATE \(table) SET \(column) = ?1 WHERE \(names[0]) = ?2", value, first))
        } else {
            try connection.run(
                connection.prepare(
                    "UPDATE \(table) SET \(column) = ?1 WHERE \(names[0]) = ?2 AND \(names[1]) = ?3", value, first,
                    second))
        }
        #expect(connection.changes == 1)
    }

    /// Every bit with TUMULTE_EXHAUSTIVE, which takes a minute or two; otherwise each 13th, another one in each row.
    private static let step = ProcessInfo.processInfo.environment["TUMULTE_EXHAUSTIVE"] == nil ? 13 : 1
    private static let counts = ["slot_lease": 2, "journal_campaign": 7, "snapshot": 9]

    @Test func `the database is as the tables of this test say`() async throws {
        let database = try await populated()
        let folder = try Folder()
        let found = try outcome(database, folder) { connection in
            for (table, count) in Self.counts {
                let query = try connection.prepare("SELECT count(*) FROM \(table)")
                while try query.step() { #expect(query.integer(0) == Int64(count), "\(table)") }
            }
            let trimmed = try connection.prepare("SELECT min(id & 0xFFFF) FROM journal WHERE id >> 48 = 9")
            while try trimmed.step() { #expect(trimmed.integer(0) == 3) }
        }
        #expect(found == .same)
    }

    @Test(arguments: ["slot_lease", "journal_campaign", "snapshot"])
    func `each flipped bit of the bookkeeping changes nothing or is refused`(table: String) async throws {
        let database = try await populated()
        let folder = try Folder()
        var tally: [Outcome: Int] = [:]
        for column in Self.tables[table] ?? [] {
            for index in 0..<(Self.counts[table] ?? 0) {
                for bit in stride(from: index % Self.step, to: column == "campaign" ? 128 : 64, by: Self.step) {
                    let outcome = try outcome(database, folder) { connection in
                        try Self.flip(table, column, row: index, bit: bit, connection)
                    }
                    await Task.yield()  // other tests have time limits
                    guard let outcome else { continue }  // the key is taken, so SQLite refused
                    tally[outcome, default: 0] += 1
                    #expect(outcome != .different, "\(table).\(column), row \(index), bit \(bit)")
                }
            }
        }
        print("\(table): \(tally[.same] ?? 0) flips change nothing, \(tally[.refused] ?? 0) are refused")
        #expect(tally.values.reduce(0, +) > 300 / Self.step)
    }

    @Test(arguments: ["slot_lease", "journal_campaign", "snapshot", "journal"])
    func `each missing row changes nothing or is refused`(table: String) async throws {
        let database = try await populated()
        let folder = try Folder()
        let keys = table == "journal" ? "id" : Self.keys(table)
        for index in 0..<(Self.counts[table] ?? 15) {
            let outcome = try outcome(database, folder) { connection in
                try connection.execute(
                    "DELETE FROM \(table) WHERE (\(keys)) IN "
                        + "(SELECT \(keys) FROM \(table) ORDER BY \(keys) LIMIT 1 OFFSET \(index))")
            }
            #expect(outcome == .same || outcome == .refused, "\(table), row \(index)")
        }
    }
}
