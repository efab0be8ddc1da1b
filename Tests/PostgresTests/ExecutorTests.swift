import Platform
import TestSupport
import Testing

@testable import Postgres

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct ExecutorTests {
    @Test func `an answer comes back on the loop, without a trip through other threads`() async throws {
        try await withConnection { connection in
            let one = PostgresStatement("one", [], "SELECT 1::int")
            _ = try await connection.execute(one, deadline: within(10))
            for _ in 0..<1000 {
                _ = try await connection.execute(one, deadline: within(10))
                guard connection.loop.isCurrent else {
                    Issue.record("resumed on another thread")
                    return
                }
            }
        }
    }
}
