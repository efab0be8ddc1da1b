// One suite for every backend: the twin may not differ.

import Journal
import Protocol
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ConformanceTests {
    let slot = Slot(7)

    @Test(arguments: Kind.allCases)
    func `a claim raises the epoch to the clock and then by one`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        #expect(try await journal.claim([slot]) == [SlotClaim(slot: slot, epoch: 1000, tail: 0)])
        #expect(try await journal.claim([slot, Slot(1)]).map(\.epoch) == [1000, 1001])
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `committed rows come back contiguous and equal`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        let rows = (1...5).map { row($0, epoch: 1000) }
        #expect(await journal.flush(rows) == Array(repeating: .committed, count: 5))
        let recovery = try await journal.recover(slot)
        #expect(recovery.rows == rows)
        #expect(recovery.tail == 5)
        #expect(try await journal.claim([slot]).first?.tail == 5)
        #expect(journal.statistics.rows == 5)
        #expect(journal.statistics.votes == 10)
        await journal.close()
        #expect(await journal.flush([row(6, epoch: 1001)]) == [.failed(.unavailable("full"))])
    }

    @Test(arguments: Kind.allCases)
    func `a retry of a committed row is committed and another row in its place is fenced`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        let first = row(1, epoch: 1000)
        #expect(await journal.flush([first]) == [.committed])
        #expect(await journal.flush([first]) == [.committed])
        #expect(await journal.flush([row(1, epoch: 1000, flush: 99)]) == [.fenced])
        #expect(await journal.flush([row(1, epoch: 1000, bytes: 41)]) == [.fenced])
        #expect(await journal.flush([row(3, epoch: 1000)]) == [.failed(.outOfOrder(slot, lsn: 3, tail: 1))])
        #expect(try await journal.recover(slot).rows == [first])
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `the newest snapshot of a campaign can be read by itself`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        #expect(try await journal.snapshot(of: campaign(1), slot: slot) == nil)
        for lsn in UInt64(1)...3 {
            #expect(await journal.flush([row(lsn, epoch: 1000, campaigns: [1, 2])]) == [.committed])
            #expect(await journal.snapshot(1, lsn: lsn, epoch: 1000, bytes: 3 << 20) == .stored)
        }
        #expect(await journal.snapshot(2, lsn: 1, epoch: 1000) == .stored)
        let newest = try #require(try await journal.snapshot(of: campaign(1), slot: slot))
        #expect(newest.campaign == campaign(1) && newest.lsn == 3)
        #expect(newest.state == [UInt8](repeating: 3, count: 3 << 20))
        #expect(try await journal.snapshot(of: campaign(2), slot: slot)?.lsn == 1)
        #expect(try await journal.snapshot(of: campaign(3), slot: slot) == nil)
        #expect(try await journal.snapshot(of: campaign(1), slot: Slot(8)) == nil)
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `rows and snapshots of an older epoch are fenced`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(1, epoch: 1000)]) == [.committed])
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(2, epoch: 1000), row(2, epoch: 1001)]) == [.fenced, .committed])
        #expect(await journal.snapshot(1, lsn: 1, epoch: 1000) == .failed(.fenced(slot)))
        #expect(await journal.flush([row(1, epoch: 1000)]) == [.committed])
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `two snapshots are kept and rows before the older one are trimmed`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        for lsn in UInt64(1)...9 { #expect(await journal.flush([row(lsn, epoch: 1000)]) == [.committed]) }
        #expect(try await journal.trimHolders().map(\.holdsAfter) == [0])
        for lsn in [UInt64(3), 5, 8] {
            #expect(await journal.snapshot(1, lsn: lsn, epoch: 1000, bytes: 3 << 20) == .stored)
        }
        #expect(try await journal.trimHolders().map(\.holdsAfter) == [5])
        let recovery = try await journal.recover(slot)
        #expect(recovery.snapshots.map(\.lsn) == [8])
        #expect(recovery.snapshots.first?.state == [UInt8](repeating: 8, count: 3 << 20))
        #expect(recovery.rows.map(\.lsn) == [9])
        #expect(recovery.notices.isEmpty)
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `a campaign without snapshots keeps every row it needs`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(1, epoch: 1000), row(2, epoch: 1000, campaigns: [2])]).last == .committed)
        for lsn in UInt64(3)...6 { #expect(await journal.flush([row(lsn, epoch: 1000)]) == [.committed]) }
        for lsn in UInt64(3)...6 { #expect(await journal.snapshot(1, lsn: lsn, epoch: 1000) == .stored) }
        #expect(try await journal.recover(slot).rows.map(\.lsn) == [2, 3, 4, 5, 6])
        let index = try await journal.index([slot])
        #expect(index.first?.campaigns.map(\.snapshotLSN) == [6, nil])
        #expect(index.first?.campaigns.map(\.hasRowsAfter) == [false, true])
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `a removed campaign leaves no snapshot and says up to where its entries are void`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(1, epoch: 1000), row(2, epoch: 1000, campaigns: [1, 2])]).count == 2)
        #expect(await journal.snapshot(1, lsn: 1, epoch: 1000) == .stored)
        #expect(await journal.remove(1, lsn: 2, epoch: 1000) == .stored)
        let recovery = try await journal.recover(slot)
        #expect(recovery.snapshots.isEmpty)
        #expect(recovery.removed == [campaign(1): 2])
        #expect(recovery.rows.map(\.lsn) == [2])
        #expect(try await journal.index([slot]).first?.campaigns.map(\.campaign) == [campaign(2)])
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `snapshots with voter data go once a later one has none`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        #expect(await journal.flush([row(1, epoch: 1000), row(2, epoch: 1000)]).last == .committed)
        let later = Timestamp(milliseconds: 2_000_000)
        #expect(await journal.snapshot(1, lsn: 1, epoch: 1000, voters: true) == .stored)
        #expect(try await journal.expireVoterData(before: later).map(\.campaign) == [campaign(1)])
        #expect(await journal.snapshot(1, lsn: 2, epoch: 1000) == .stored)
        _ = try await journal.expireVoterData(before: later)
        #expect(try await journal.recover(slot).snapshots.map(\.lsn) == [2])
        #expect(try await journal.expireVoterData(before: Timestamp(milliseconds: 0)).isEmpty)
        await journal.close()
    }

    @Test(arguments: Kind.allCases)
    func `repair puts empty rows where the given up ones were`(kind: Kind) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        let rows = (1...4).map { row($0, epoch: 1000) }
        #expect(await journal.flush(rows).last == .committed)
        #expect(try await journal.repair(slot, keepThrough: 2) == 2)
        let recovery = try await journal.recover(slot)
        #expect(recovery.rows.map(\.lsn) == [1, 2, 3, 4])
        #expect(recovery.rows.map(\.payload.isEmpty) == [false, false, true, true])
        #expect(await journal.flush([row(5, epoch: 1000)]) == [.committed])
        await journal.close()
    }

    @Test(arguments: Kind.allCases, 1...12)
    func `trimming never removes what a model says recovery needs`(kind: Kind, seed: Int) async throws {
        let folder = try Folder()
        let journal = try await connect(kind, folder)
        _ = try await journal.claim([slot])
        var random = Splitmix(state: UInt64(seed))
        var tail: UInt64 = 0
        var rowsOf: [Int: [UInt64]] = [:]
        var newest: [Int: UInt64] = [:]
        for _ in 0..<60 {
            let number = Int(random.next() % 4) + 1
            if random.next() % 3 > 0 || tail == 0 {
                tail += 1
                #expect(await journal.flush([row(tail, epoch: 1000, campaigns: [number])]) == [.committed])
                rowsOf[number, default: []].append(tail)
            } else if newest[number] ?? 0 < tail, rowsOf[number] != nil {
                #expect(await journal.snapshot(number, lsn: tail, epoch: 1000) == .stored)
                newest[number] = tail
            }
            let recovery = try await journal.recover(slot)
            let found = Set(recovery.rows.map(\.lsn))
            for (number, lsns) in rowsOf {
                let from = newest[number] ?? 0
                #expect(recovery.snapshots.first { $0.campaign == campaign(number) }?.lsn == newest[number])
                #expect(lsns.allSatisfy { $0 <= from || found.contains($0) })
            }
            #expect(recovery.tail == tail)
        }
        await journal.close()
    }
}

struct Splitmix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
