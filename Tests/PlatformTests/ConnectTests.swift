import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(5)))
struct ConnectTests {
    private typealias Outcome = Result<TCPStream, SystemError>

    private func connect(
        _ address: TCPAddress, on loop: EventLoop, timeout: UInt64 = 20_000_000_000,
        then: @escaping @Sendable (TCPConnectAttempt) -> Void = { _ in }
    ) async -> Outcome {
        await withCheckedContinuation { continuation in
            loop.execute {
                let attempt = TCPConnectAttempt(to: address, on: loop, timeoutNanoseconds: timeout) { outcome in
                    precondition(loop.isCurrent)
                    continuation.resume(returning: outcome)
                }
                then(attempt)
            }
        }
    }

    private func code(_ outcome: Outcome) -> Int32? {
        guard case .failure(let error) = outcome else { return nil }
        return error.code
    }

    @Test func `a dialled stream carries bytes both ways, and sends without delay`() async throws {
        try await withLoops(2) { group in
            let echo = EchoHandler()
            let listener = try await listen(group) { _, stream in
                echo.open.add(1, ordering: .relaxed)
                stream.handler = echo
                stream.startReading()
            }
            let loop = group.loops[1]
            let stream = try await connect(listener.boundAddress, on: loop).get()
            #expect(stream.peer == listener.boundAddress)
            #expect(stream.loop === loop)
            let isBack = Signal()
            let handler = TestHandler(received: { _, bytes in if bytes.elementsEqual([1, 2, 3]) { isBack.set() } })
            await on(loop) {
                stream.handler = handler
                stream.startReading()
                [UInt8]([1, 2, 3]).withUnsafeBytes { stream.write($0) }
            }
            await isBack.wait()
            await on(loop) { stream.close() }
            await handler.closed.wait()
            await echo.allClosed.wait()
            #expect(handler.reasons.all == [.local])
            await close(listener, group)
        }
    }

    @Test func `a port on which nobody listens refuses`() async throws {
        try await withLoops(1) { group in
            let listener = try await listen(group) { _, stream in stream.close() }
            let address = listener.boundAddress
            await close(listener, group)
            let outcome = await connect(address, on: group.loops[0])
            #expect(code(outcome) == ECONNREFUSED)
        }
    }

    @Test func `an address to which there is no way fails`() async throws {
        try await withLoops(1) { group in
            // A multicast address takes no TCP connection.
            let address = TCPAddress(bytes: [224, 0, 0, 1], port: 9)
            #expect(code(await connect(address, on: group.loops[0])) != nil)
        }
    }

    /// A listener whose queue is full: further connections wait.
    private func withFullListener(_ body: (TCPAddress) async throws -> Void) async throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { _ = closeDescriptor(socket) }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let isListening = TCPAddress(bytes: [127, 0, 0, 1], port: 0).withSocketAddress { bind(socket, $0, $1) } == 0
        try #require(isListening && Glibc.listen(socket, 0) == 0)
        _ = withUnsafeMutablePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        let address = try #require(TCPAddress.read(&storage))
        let filler = await onThread { Client(address) }
        defer { filler.close() }
        try await body(address)
    }

    @Test func `an attempt ends in time`() async throws {
        try await withFullListener { address in
            try await withLoops(1) { group in
                let outcome = await connect(address, on: group.loops[0], timeout: 20_000_000)
                #expect(code(outcome) == ETIMEDOUT)
            }
        }
    }

    @Test func `a cancelled attempt says so, once`() async throws {
        try await withFullListener { address in
            try await withLoops(1) { group in
                let outcome = await connect(address, on: group.loops[0]) { attempt in
                    attempt.cancel()
                    attempt.cancel()
                }
                #expect(code(outcome) == ECANCELED)
            }
        }
    }

    @Test func `attempts leave no descriptor behind, however they end`() async {
        await #expect(processExitsWith: .success) {
            try await withLoops(1) { group in
                let loop = group.loops[0]
                let before = ProcessFacts.openDescriptors
                let address = TCPAddress(bytes: [127, 0, 0, 1], port: 1)
                for round in 0..<20 {
                    let outcome = await withCheckedContinuation { continuation in
                        loop.execute {
                            let attempt = TCPConnectAttempt(to: address, on: loop, timeoutNanoseconds: 1_000_000_000) {
                                continuation.resume(returning: $0)
                            }
                            if round % 2 == 0 { attempt.cancel() }
                        }
                    }
                    guard case .failure = outcome else { preconditionFailure("somebody listens on port 1") }
                }
                await on(loop) {}
                precondition(ProcessFacts.openDescriptors == before)
            }
        }
    }
}
