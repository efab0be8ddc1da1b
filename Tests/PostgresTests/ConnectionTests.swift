import Foundation
import Platform
import TestSupport
import Testing

@testable import Postgres

private let one = PostgresStatement("one", [], "SELECT 1::int")
private let pause = PostgresStatement("pause", [.float8], "SELECT pg_sleep($1)")
private let terminate = PostgresStatement("terminate", [.int32], "SELECT pg_terminate_backend($1)")

@Suite(.needsServer, .timeLimit(.minutes(1)))
struct ConnectionTests {
    @Test func `a connection by TCP and password is set up and answers`() async throws {
        let meter = PostgresMeter()
        try await withConnection(meter: meter) { connection in
            let result = try await connection.execute(one, deadline: within(10))
            #expect(try result.value(0, 0, as: Int32.self) == 1)
            #expect(result.commandTag == "SELECT 1")
            for (name, value) in [
                ("synchronous_commit", "on"), ("default_transaction_isolation", "read committed"),
                ("client_min_messages", "warning"), ("lock_timeout", "5s"), ("application_name", "tumulte"),
                ("idle_in_transaction_session_timeout", "10s"), ("client_encoding", "UTF8"),
            ] {
                let setting = PostgresStatement("setting", [.text], "SELECT current_setting($1)")
                let answer = try await connection.execute(setting, [.text(name)], deadline: within(10))
                #expect(try answer.value(0, 0, as: String.self) == value, "\(name)")
            }
            #expect(await connection.serverVersion >= 130_000)
            #expect(await connection.backendID > 0)
            #expect(meter.statistics.connected == 1)
        }
        let figures = meter.statistics
        #expect(figures.connects == 1 && figures.connected == 0 && figures.losses == 0)
        #expect(figures.queries == 9 && figures.inFlight == 0 && figures.queued == 0)
        #expect(figures.latencyBuckets.reduce(0, +) == 9)
    }

    @Test func `a name is resolved before libpq sees it`() async throws {
        let url = try #require(serverURL).replacingOccurrences(of: "127.0.0.1", with: "localhost")
        try await withConnection(url) { connection in
            _ = try await connection.execute(one, deadline: within(10))
        }
    }

    @Test func `of several servers the one that answers is taken`() async throws {
        let url = try #require(serverURL).replacingOccurrences(
            of: "127.0.0.1", with: "127.0.0.1:1,no-such-host.invalid:2,127.0.0.1")
        try await withConnection(url) { connection in
            _ = try await connection.execute(one, deadline: within(10))
        }
    }

    @Test func `a wrong password is refused in the server's words`() async throws {
        let url = try #require(serverURL).replacingOccurrences(of: "tumulte:tumulte@", with: "tumulte:wrong-secret@")
        let error = try await failureToOpen(url)
        #expect(error?.reason == .connecting && error?.outcome == .notSent)
        #expect(error?.message.contains("password authentication failed") == true)
        #expect(error?.description.contains("wrong-secret") == false)
    }

    @Test func `a refused port says so`() async throws {
        let error = try await failureToOpen("postgres://u:p@127.0.0.1:1/db")
        #expect(error?.reason == .connecting && error?.outcome == .notSent)
        #expect(error?.message.contains("Connection refused") == true)
    }

    @Test func `a missing socket says so`() async throws {
        let error = try await failureToOpen("host=/no/such/folder user=u")
        #expect(error?.reason == .connecting)
        #expect(error?.message.contains("/no/such/folder") == true)
    }

    @Test func `a name that nobody knows says so`() async throws {
        let error = try await failureToOpen("postgres://u:p@no-such-host.invalid/db")
        #expect(error?.reason == .connecting && error?.outcome == .notSent)
        #expect(error?.message.contains("no-such-host.invalid") == true)
    }

    @Test func `a server that accepts and never answers ends at the deadline`() async throws {
        let silent = SilentServer()
        let started = MonotonicTime.now
        let error = try await failureToOpen("postgres://u:p@127.0.0.1:\(silent.port)/db?sslmode=disable", seconds: 0.2)
        #expect(error?.reason == .deadline && error?.outcome == .notSent)
        #expect(error?.message == "127.0.0.1:\(silent.port) did not answer in time")
        #expect(started.nanoseconds(until: .now) >= 200_000_000)
        silent.close()
    }

    @Test func `a server that never answers does not take the others' turn`() async throws {
        let silent = SilentServer()
        let url = try #require(serverURL).replacingOccurrences(
            of: "127.0.0.1", with: "127.0.0.1:\(silent.port),127.0.0.1")
        try await withConnection(url, openWithin: 6) { connection in
            _ = try await connection.execute(one, deadline: within(10))
        }
        silent.close()
    }

    @Test func `a backend that is killed leaves the statement in flight unknown`() async throws {
        let lost = Recorder<PostgresError>()
        let meter = PostgresMeter()
        try await withConnection(meter: meter, onLost: { lost.append($0) }) { victim in
            let backend = await victim.backendID
            async let answer = failure { () async throws(PostgresError) in
                try await victim.execute(pause, [.float8(30)], deadline: within(30))
            }
            async let waiting = failure { () async throws(PostgresError) in
                try await victim.execute(one, deadline: within(30))
            }
            try await withConnection { killer in
                let running = PostgresStatement(
                    "running", [.int32],
                    "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%pg_sleep%'")
                while try await killer.execute(running, [.int32(backend)], deadline: within(10)).rowCount == 0 {}
                _ = try await killer.execute(terminate, [.int32(backend)], deadline: within(10))
            }
            let error = await answer
            #expect(error?.outcome == .unknown)
            #expect(error?.sqlState == "57P01")
            #expect(await waiting?.outcome == .notSent)
            await lost.reached(1)
            #expect(await victim.isOpen == false)
            let late = await failure { () async throws(PostgresError) in
                try await victim.execute(one, deadline: within(1))
            }
            #expect(late?.outcome == .notSent)
        }
        #expect(lost.all.count == 1)
        #expect(meter.statistics.losses == 1 && meter.statistics.unknownOutcomes == 1)
        #expect(meter.statistics.inFlight == 0 && meter.statistics.queued == 0 && meter.statistics.connected == 0)
    }

    @Test func `an idle backend that is killed is noticed at once`() async throws {
        let lost = Recorder<PostgresError>()
        let notices = Recorder<PostgresNotice>()
        var options = PostgresSessionOptions()
        options.onNotice = { notices.append($0) }
        try await withConnection(options: options, onLost: { lost.append($0) }) { victim in
            let backend = await victim.backendID
            try await withConnection { killer in
                _ = try await killer.execute(terminate, [.int32(backend)], deadline: within(10))
            }
            await lost.reached(1)
        }
        #expect(lost.all.first?.reason == .connectionLost)
        #expect(notices.all.map(\.sqlState) == ["57P01"])
    }

    @Test func `a deadline in flight closes the connection, one in the queue does not`() async throws {
        try await withConnection { connection in
            async let long = connection.execute(pause, [.float8(0.3)], deadline: within(10))
            await sent(2, on: connection)
            let early = await failure { () async throws(PostgresError) in
                try await connection.execute(one, deadline: within(0.05))
            }
            #expect(early?.outcome == .notSent && early?.reason == .deadline)
            _ = try await long
            #expect(await connection.isOpen)
            async let behind = failure { () async throws(PostgresError) in
                try await connection.execute(pause, [.float8(20)], deadline: within(0.1))
            }
            await sent(3, on: connection)
            let queued = await failure { () async throws(PostgresError) in
                try await connection.execute(one, deadline: within(10))
            }
            let error = await behind
            #expect(error?.outcome == .unknown && error?.reason == .deadline)
            #expect(queued?.outcome == .notSent)
            #expect(await connection.isOpen == false)
        }
    }

    @Test func `a refusal carries the server's code and leaves the connection usable`() async throws {
        try await withConnection { connection in
            let bad = PostgresStatement("bad", [.int32], "SELECT 1 / $1")
            let error = await failure { () async throws(PostgresError) in
                try await connection.execute(bad, [.int32(0)], deadline: within(10))
            }
            #expect(error?.outcome == .refusedByServer && error?.sqlState == "22012")
            let wrong = await failure { () async throws(PostgresError) in
                try await connection.execute(PostgresStatement("wrong", [], "SELEKT"), deadline: within(10))
            }
            #expect(wrong?.outcome == .refusedByServer && wrong?.sqlState == "42601")
            let mismatch = await failure { () async throws(PostgresError) in
                try await connection.execute(bad, [.text("0")], deadline: within(10))
            }
            #expect(mismatch?.outcome == .notSent && mismatch?.reason == .configuration)
            let good = try await connection.execute(bad, [.int32(1)], deadline: within(10))
            #expect(try good.value(0, 0, as: Int32.self) == 1)
        }
    }

    @Test func `statements are prepared once and answered in order`() async throws {
        try await withConnection { connection in
            let echo = PostgresStatement("echo", [.int32], "SELECT $1::int")
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<1000 {
                    group.addTask {
                        let result = try await connection.execute(echo, [.int32(Int32(index))], deadline: within(30))
                        return try result.value(0, 0, as: Int32.self) == Int32(index)
                    }
                }
                for try await isRight in group { #expect(isRight) }
            }
            let count = PostgresStatement(
                "count", [], "SELECT count(*) FROM pg_prepared_statements WHERE name = 'echo'")
            let counted = try await connection.execute(count, deadline: within(10))
            #expect(try counted.value(0, 0, as: Int64.self) == 1)
        }
    }

    @Test func `what goes beyond the queue is refused`() async throws {
        var options = PostgresSessionOptions()
        options.queuedStatementsLimit = 10
        try await withConnection(options: options) { connection in
            let outcomes = Recorder<PostgresError.Reason?>()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        let error = await failure { () async throws(PostgresError) in
                            try await connection.execute(pause, [.float8(0.01)], deadline: within(30))
                        }
                        outcomes.append(error?.reason)
                    }
                }
            }
            #expect(outcomes.all.filter { $0 == .overloaded }.count == 9)
            #expect(outcomes.all.filter { $0 == nil }.count == 11)
        }
    }

    @Test func `ten megabytes go there and back`() async throws {
        try await withConnection { connection in
            let bytes = (0..<10_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            let echo = PostgresStatement("echo.bytes", [.bytes], "SELECT $1, length($1)")
            let result = try await connection.execute(echo, [.bytes(bytes)], deadline: within(30))
            #expect(try result.value(0, 0, as: [UInt8].self) == bytes)
            #expect(try result.value(0, 1, as: Int32.self) == 10_000_000)
        }
    }

    @Test func `closing answers everyone`() async throws {
        try await withConnection { connection in
            async let flying = failure { () async throws(PostgresError) in
                try await connection.execute(pause, [.float8(20)], deadline: within(30))
            }
            await sent(2, on: connection)
            await connection.close()
            await connection.close()
            let error = await flying
            #expect(error?.outcome == .unknown && error?.reason == .closed)
        }
    }
}

/// Waits until a connection has sent its so manieth statement, the session's set-up being the first.
private func sent(_ count: Int, on connection: PostgresConnection) async {
    while await connection.sentCount < count { await Task.yield() }
}

/// A socket that accepts into its backlog, and nothing more.
final class SilentServer: Sendable {
    let port: UInt16
    private let descriptor: Int32

    init() {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = bind(descriptor, address, length)
                _ = listen(descriptor, 16)
                _ = getsockname(descriptor, address, &length)
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
    }

    func close() { Foundation.close(descriptor) }
}
