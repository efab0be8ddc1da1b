// A reply that is lost leaves its sender in the dark: the same sealed row, sent again, is acknowledged once and stored
// once, whether the server had taken it or not.

import Foundation
import Platform
import Postgres
import Protocol
import Testing

@testable import Journal

@Suite(.needsServer, .serialized, .timeLimit(.minutes(2)))
struct LostReplyTests {
    let slot = Slot(7)

    /// A journal behind a proxy.
    private func withProxy(
        _ body: (TestDatabase, PostgresJournal, CuttingProxy) async throws -> Void
    ) async throws {
        let database = try await TestDatabase.make()
        var parts = try #require(URLComponents(string: database.url))
        let proxy = try CuttingProxy(to: UInt16(try #require(parts.port)))
        parts.host = "127.0.0.1"
        parts.port = Int(proxy.port)
        let journal = try await TestDatabase(url: try #require(parts.string)).journal(budget: 3)
        try await body(database, journal, proxy)
        await journal.close()
        proxy.close()
    }

    /// Sends a row until it is known what became of it; returns every outcome.
    private func insist(_ row: SealedRow, _ journal: PostgresJournal) async -> [FlushOutcome] {
        var outcomes: [FlushOutcome] = []
        repeat { outcomes += await journal.flush([row]) } while outcomes.last != .committed && outcomes.last != .fenced
        return outcomes
    }

    @Test func `a row whose reply or request was lost is acknowledged once and stored once`() async throws {
        try await withProxy { database, journal, proxy in
            let epoch = try await journal.claim([slot])[0].epoch
            // Prepares the statement, so that from now on its name means that it is run.
            #expect(await journal.flush([row(1, epoch: epoch)]) == [.committed])
            var rows = [row(1, epoch: epoch)]
            for lsn in UInt64(2)...6 {
                proxy.arm(lsn % 3 == 0 ? .request : .reply, at: "journal.flush")
                let next = row(lsn, epoch: epoch)
                rows.append(next)
                let outcomes = await insist(next, journal)
                #expect(outcomes.count > 1)
                #expect(outcomes.filter { $0 == .committed }.count == 1)
                #expect(outcomes.last == .committed)
            }
            #expect(proxy.cuts == 5)
            #expect(try await journal.recover(slot).rows == rows)
            #expect(journal.statistics.rows == 6)
            #expect(try await database.sql("SELECT count(*)::text FROM journal") == ["6"])
        }
    }

    @Test func `a row that waits for a connection is not stored behind rows that the server has lost`() async throws {
        try await withProxy { database, journal, proxy in
            let epoch = try await journal.claim([slot])[0].epoch
            for lsn in UInt64(1)...5 { #expect(await journal.flush([row(lsn, epoch: epoch)]) == [.committed]) }
            proxy.hold()
            async let outcome = journal.flush([row(6, epoch: epoch)])
            // It has its place behind row 5 by now, and waits.
            while journal.connections.waiters == 0 { await Task.yield() }
            try await database.sql("DELETE FROM journal WHERE lsn > 3 RETURNING 'lost'")
            proxy.release()
            #expect(await outcome != [.committed])
            #expect(try await database.sql("SELECT max(lsn)::text FROM journal") == ["3"])
            let claimed = try await journal.claim([slot])[0]
            #expect(claimed.tail == 3)
            #expect(await journal.flush([row(4, epoch: claimed.epoch)]) == [.committed])
        }
    }

    @Test func `the first row after trouble is stored, also if its connection is replaced meanwhile`() async throws {
        try await withProxy { _, journal, proxy in
            let epoch = try await journal.claim([slot])[0].epoch
            #expect(await journal.flush([row(1, epoch: epoch)]) == [.committed])
            // Until nothing is sent any more, for a while.
            let refused = FlushOutcome.failed(.unavailable("the database was just found in trouble"))
            var outcome: [FlushOutcome] = []
            while outcome != [refused] {
                proxy.arm(.request, at: "journal.flush")
                outcome = await journal.flush([row(2, epoch: epoch)])
            }
            proxy.hold()
            async let outcomes = insist(row(2, epoch: epoch), journal)
            while journal.connections.waiters == 0 { await Task.yield() }
            proxy.release()
            #expect(await outcomes.last == .committed)
            #expect(await journal.flush([row(3, epoch: epoch)]) == [.committed])
        }
    }

    @Test func `a row whose reply was lost is fenced where another took the slot before it was sent`() async throws {
        try await withProxy { database, journal, proxy in
            let epoch = try await journal.claim([slot])[0].epoch
            #expect(await journal.flush([row(1, epoch: epoch)]) == [.committed])
            let other = try await database.journal()
            for (cut, lsn) in [(CuttingProxy.Cut.reply, UInt64(2)), (.request, 3)] {
                proxy.arm(cut, at: "journal.flush")
                let claimed = lsn == 2 ? epoch : try await journal.claim([slot])[0].epoch
                let next = row(lsn, epoch: claimed)
                #expect(await journal.flush([next]) != [.committed])
                try await database.sql(
                    "UPDATE slot_lease SET epoch = epoch + 1, owner = NULL WHERE slot = 7 RETURNING 'ceded'")
                #expect(await insist(next, journal).last == (cut == .reply ? .committed : .fenced))
            }
            let taken = try #require(try await other.claim([slot]).first)
            #expect(taken.tail == 2)
            #expect(await other.flush([row(3, epoch: taken.epoch)]) == [.committed])
            await other.close()
        }
    }

    @Test func `a claim whose reply was lost is made anew under a higher epoch`() async throws {
        try await withProxy { database, journal, proxy in
            let first = try await journal.claim([slot])[0]
            proxy.arm(.reply, at: "transaction.commit")
            await #expect(throws: JournalError.self) { _ = try await journal.claim([slot]) }
            let third = try await journal.claim([slot])[0]
            // The second is lost, and was made.
            #expect(third.epoch >= first.epoch + 2)
            #expect(await journal.flush([row(1, epoch: first.epoch)]) == [.fenced])
            #expect(await journal.flush([row(1, epoch: first.epoch + 1)]) == [.fenced])
            #expect(await journal.flush([row(1, epoch: third.epoch)]) == [.committed])
            #expect(proxy.cuts == 1)
            #expect(try await database.sql("SELECT count(*)::text FROM journal") == ["1"])
        }
    }
}
