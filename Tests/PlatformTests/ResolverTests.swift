import Glibc
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(1)))
struct ResolverTests {
    /// What a resolver of its own answers.
    private func resolve(_ host: String, seconds: Double = 20) async throws -> Result<[TCPAddress], ResolveError> {
        let answers = Recorder<Result<[TCPAddress], ResolveError>>()
        try await withLoops(1) { group in
            let resolver = AddressResolver(on: group.loops[0])
            do throws(ResolveError) {
                answers.append(.success(try await resolver.resolve(host, deadline: within(seconds))))
            } catch {
                answers.append(.failure(error))
            }
            await resolver.close()
        }
        return try #require(answers.all.first)
    }

    @Test func `the local name has a local address`() async throws {
        let addresses = try await resolve("localhost").get()
        #expect(!addresses.isEmpty && addresses.allSatisfy { $0.isLoopback && $0.port == 0 })
        #expect(Set(addresses).count == addresses.count)
    }

    @Test(arguments: ["127.0.0.1", "::1", "10.1.2.3", "2001:db8::7"])
    func `an address is its own`(_ text: String) async throws {
        #expect(try await resolve(text).get().map(\.host) == [text])
    }

    @Test func `a name that nobody knows fails with the system's words`() async throws {
        let answer = try await resolve("no-such-host.invalid")
        guard case .failure(.failed(let host, let reason)) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(host == "no-such-host.invalid" && !reason.isEmpty)
    }

    @Test func `a deadline that has passed ends the wait`() async throws {
        #expect(
            try await resolve("no-such-host.invalid", seconds: 0) == .failure(.timedOut(host: "no-such-host.invalid")))
    }

    @Test(arguments: ["", "a\0b"])
    func `what is no name is not asked for`(_ text: String) async throws {
        #expect(try await resolve(text) == .failure(.failed(host: text, reason: "not a name")))
    }

    @Test func `many who ask for one name share a query, closing fails who waits`() async throws {
        try await withLoops(1) { group in
            let resolver = AddressResolver(on: group.loops[0])
            let refused = try await withThrowingTaskGroup(of: Bool.self) { tasks in
                for _ in 0..<100 {
                    tasks.addTask {
                        do throws(ResolveError) {
                            return try await !resolver.resolve("localhost", deadline: within(20)).isEmpty
                        } catch {
                            return false
                        }
                    }
                }
                return try await tasks.reduce(into: 0) { $0 += $1 ? 0 : 1 }
            }
            #expect(refused == 0)
            await resolver.close()
            let late = await Task {
                try await resolver.resolve("localhost", deadline: within(20))
            }.result
            #expect(throws: ResolveError.refused(host: "localhost")) { try late.get() }
        }
    }
}

@Suite(.timeLimit(.minutes(1)))
struct PollHandleTests {
    /// Both ends of a local stream.
    private func pair() -> (Int32, Int32) {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    @Test func `a descriptor is watched for what is asked, until it is closed`() async throws {
        let (mine, other) = pair()
        let seen = Recorder<Readiness>()
        let (isWritable, isReadable, isDone) = (Signal(), Signal(), Signal())
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let box = Locked<PollHandle?>(nil)
            let handle = try await on(loop) {
                Result { () throws(SystemError) in
                    try PollHandle(descriptor: mine, on: loop) { ready in
                        seen.append(ready)
                        let handle = box.withLock { $0 }
                        if ready.contains(.readable) {
                            // From inside its own handler.
                            handle?.close()
                            isReadable.set()
                        } else {
                            handle?.watch(.readable)
                            isWritable.set()
                        }
                    }
                }
            }.get()
            box.withLock { $0 = handle }
            await on(loop) { handle.watch([.readable, .writable]) }
            await isWritable.wait()
            _ = await onThread { write(other, "x", 1) }
            await isReadable.wait()
            await on(loop) {
                handle.watch(.writable)
                handle.close()
                isDone.set()
            }
            await isDone.wait()
            box.withLock { $0 = nil }
        }
        #expect(seen.all == [.writable, .readable])
        close(mine)
        close(other)
    }

    @Test func `a new descriptor under the old number is watched anew`() async throws {
        let (first, firstOther) = pair()
        let ready = Signal()
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let handle = try await on(loop) { () -> Result<PollHandle, SystemError> in
                Result { () throws(SystemError) in
                    let old = try PollHandle(descriptor: first, on: loop) { _ in }
                    old.watch(.readable)
                    old.close()
                    var ends: [Int32] = [0, 0]
                    precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
                    // Closes the first one; the second takes its number.
                    precondition(dup2(ends[0], first) == first)
                    close(ends[0])
                    let new = try PollHandle(descriptor: first, on: loop) { _ in ready.set() }
                    new.watch(.readable)
                    close(ends[1])
                    return new
                }
            }.get()
            await ready.wait()
            await on(loop) { handle.close() }
        }
        close(first)
        close(firstOther)
    }

    @Test func `a descriptor that is none is refused`() async throws {
        try await withLoops(1) { group in
            let loop = group.loops[0]
            let answer = await on(loop) {
                Result { () throws(SystemError) in try PollHandle(descriptor: 999_999, on: loop) { _ in } }
            }
            #expect(throws: SystemError.self) { try answer.get() }
        }
    }
}
