// What an operator wishes, as the nodes of a database see it.

import Platform
import Postgres
import Protocol
import TestSupport
import Testing

@testable import Journal

@Suite(.needsServer, .serialized, .timeLimit(.minutes(2)))
struct WishTests {
    @Test func `a wish to drain is the newest process's of that name, and a later one is not asked`() async throws {
        let database = try await TestDatabase.make()
        let first = try await database.journal(name: "a")
        let other = try await database.journal(name: "b")
        #expect(try await other.askToDrain("nobody", true) == nil)
        #expect(try await other.askToDrain("a", true)?.hasChanged == true)
        let again = try #require(try await first.askToDrain("a", true))
        #expect(!again.hasChanged && !again.isLeaving && again.incarnation == first.identity.incarnation)
        #expect(try await other.nodes().map(\.isAskedToDrain) == [true, false])
        // What it says of itself is another matter.
        #expect(try await other.nodes().map(\.isDraining) == [false, false])

        let second = try await database.journal(name: "a")
        #expect(try await other.nodes().map(\.isAskedToDrain) == [true, false, false])
        #expect(try await other.askToDrain("a", false)?.hasChanged == false)
        try await second.announceDrain(true)
        #expect(try await other.askToDrain("a", true)?.isLeaving == true)
        await second.close()
        // The newest that lives is the first one again.
        #expect(try await other.askToDrain("a", false)?.incarnation == first.identity.incarnation)
        #expect(try await other.nodes().map(\.isAskedToDrain) == [false, false])
        await first.close()
        await other.close()
    }

    @Test func `every change of a pin raises the version that nodes look at, and the holdings show it`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal()
        let slot = Slot(17)
        let before = try await journal.ownershipVersion()
        #expect(try await journal.pin(slot, to: "a"))
        #expect(try await journal.ownershipVersion() == before + 1)
        #expect(try await !journal.pin(slot, to: "a"))
        #expect(try await journal.ownershipVersion() == before + 1)
        #expect(try await journal.pin(slot, to: "b"))
        #expect(try await journal.pin(Slot(4095), to: "a"))
        let holdings = try await journal.holdings()
        #expect(holdings.count == Slot.count && holdings[17].pin == "b" && holdings[4095].pin == "a")
        #expect(holdings.count { $0.pin != nil } == 2)
        #expect(try await journal.pin(slot, to: nil))
        #expect(try await !journal.pin(slot, to: nil))
        #expect(try await journal.ownershipVersion() == before + 4)
        #expect(try await journal.holdings()[17].pin == nil)
        _ = try await journal.claim([slot])
        #expect(try await journal.ownershipVersion() > before + 4)
        await journal.close()
    }

    @Test func `leases tell how long they last`() async throws {
        let database = try await TestDatabase.make()
        let journal = try await database.journal(name: "a")
        let leases = try await journal.leases()
        #expect(leases.map(\.incarnation) == [journal.identity.incarnation])
        #expect(leases.allSatisfy { (1...120_000).contains($0.remainingMilliseconds) })
        await journal.close()
    }

    @Test func `a database of the first schema is brought to this one, with its rows`() async throws {
        let database = try await TestDatabase.make(migrated: false)
        try await TestDatabase.withPool(database.url) { pool in
            try await pool.withConnection(.read, deadline: within(60)) { connection async throws(PostgresError) in
                try await connection.run(
                    script: """
                        BEGIN; \(PostgresSchema.steps[0]); CREATE TABLE schema_version(version integer NOT NULL);
                        INSERT INTO schema_version VALUES(1); INSERT INTO pin VALUES(9, 'a'); COMMIT
                        """, deadline: within(60))
            }
        }
        try await database.migrate()
        let journal = try await database.journal(name: "a")
        #expect(try await journal.holdings()[9].pin == "a")
        #expect(try await journal.nodes().map(\.isAskedToDrain) == [false])
        await journal.close()
    }
}
