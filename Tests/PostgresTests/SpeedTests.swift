import Platform
import Testing

@testable import Postgres

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct SpeedTests {
    @Test func `an answer comes back on the loop, without a trip through other threads`() async throws {
        try await withConnection { connection in
            let one = PostgresStatement("one", [], "SELECT 1::int")
            _ = try await connection.execute(one, deadline: within(10))
            let started = MonotonicTime.now
            for _ in 0..<5000 {
                _ = try await connection.execute(one, deadline: within(10))
            }
            let elapsed = started.nanoseconds(until: .now)
            print("SPEED \(elapsed / 5000) ns a statement")
        }
    }
}
