import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(5)))
struct StreamTests {
    /// A stream on the loop with a blocking client at its other end.
    private func withPair(
        _ handler: TestHandler, options: TCPListenerOptions = TCPListenerOptions(), receiveBufferBytes: Int32? = nil,
        _ body: (EventLoop, TCPStream, Client) async throws -> Void
    ) async throws {
        try await withLoops(1) { group in
            let accepted = Signal()
            let streams = Recorder<TCPStream>()
            let listener = try await listen(group, options: options) { _, stream in
                stream.handler = handler
                stream.startReading()
                streams.append(stream)
                accepted.set()
            }
            let address = listener.boundAddress
            let client = await onThread { Client(address, receiveBufferBytes: receiveBufferBytes) }
            await accepted.wait()
            await close(listener, group)
            try await body(group.loops[0], streams.all[0], client)
            await handler.closed.wait()
            #expect(handler.reasons.count == 1)
        }
        withExtendedLifetime(handler) {}
    }

    @Test func `five hundred connections each get their own bytes back`() async throws {
        try await withLoops(2) { group in
            let echo = EchoHandler()
            let listener = try await listen(group) { _, stream in
                echo.open.add(1, ordering: .relaxed)
                stream.handler = echo
                stream.startReading()
            }
            let address = listener.boundAddress
            let correct = await onThread {
                let clients = (0..<500).map { _ in Client(address) }
                for (index, client) in clients.enumerated() { client.send(Array("hello \(index)".utf8)) }
                var correct = 0
                for (index, client) in clients.enumerated() {
                    let expected = Array("hello \(index)".utf8)
                    if client.receive(exactly: expected.count) == expected { correct += 1 }
                }
                for client in clients { client.close() }
                return correct
            }
            #expect(correct == 500)
            await echo.allClosed.wait()
            #expect(echo.reasons.all == Array(repeating: .endOfFile, count: 500))
            await close(listener, group)
        }
    }

    @Test func `gathered buffers reach a slow reader whole and in order`() async throws {
        var options = TCPListenerOptions()
        options.sendBufferBytes = 8192
        // 300 buffers of every size from nothing up, more than one system call gathers.
        let parts = (0..<300).map { index in
            SharedBytes((0..<index * 17).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ index) })
        }
        let expected = parts.flatMap(\.array)
        let handler = TestHandler()
        try await withPair(handler, options: options, receiveBufferBytes: 4096) { loop, stream, client in
            let isBlocked = await on(loop) {
                stream.write(parts)
                return stream.isBlocked
            }
            #expect(isBlocked)
            #expect(handler.drains.load(ordering: .relaxed) == 0)
            let received = await onThread {
                var all: [UInt8] = []
                while all.count < expected.count, let more = client.receive(3000), !more.isEmpty { all += more }
                return all
            }
            #expect(received == expected)
            await on(loop) {}
            #expect(handler.drains.load(ordering: .relaxed) == 1)
            #expect(await on(loop) { !stream.isBlocked })
            client.close()
        }
        #expect(handler.reasons.all == [.endOfFile])
    }

    @Test func `each blockage ends in one drain, from which more may be written`() async throws {
        var options = TCPListenerOptions()
        options.sendBufferBytes = 8192
        let block = [UInt8](repeating: 9, count: 300_000)
        let blockages = Atomic<Int>(0)
        let writes = Atomic<Int>(0)
        let write: @Sendable (TCPStream) -> Void = { stream in
            while !stream.isBlocked, writes.load(ordering: .relaxed) < 10 {
                writes.add(1, ordering: .relaxed)
                block.withUnsafeBytes { stream.write($0) }
                if stream.isBlocked { blockages.add(1, ordering: .relaxed) }
            }
            if !stream.isBlocked { stream.finishWriting() }
        }
        let handler = TestHandler(drained: write)
        try await withPair(handler, options: options, receiveBufferBytes: 4096) { loop, stream, client in
            await on(loop) { write(stream) }
            let received = await onThread {
                // The end of the stream comes after the last byte, though it was finished from inside a drain.
                let bytes = client.receive(exactly: 3_000_001)
                client.send([1])
                client.finish()
                return bytes.count
            }
            #expect(received == 3_000_000)
        }
        #expect(blockages.load(ordering: .relaxed) > 0)
        #expect(handler.drains.load(ordering: .relaxed) == blockages.load(ordering: .relaxed))
        #expect(handler.bytes.load(ordering: .relaxed) == 1)
        #expect(handler.reasons.all == [.endOfFile])
    }

    @Test func `after the own end the peer's bytes still arrive`() async throws {
        let handler = TestHandler()
        try await withPair(handler) { loop, stream, client in
            await on(loop) {
                [UInt8]("bye".utf8).withUnsafeBytes { stream.write($0) }
                stream.finishWriting()
                stream.finishWriting()
            }
            await onThread {
                #expect(client.receive(exactly: 10) == Array("bye".utf8))
                client.send([1, 2, 3, 4])
                client.close()
            }
        }
        #expect(handler.bytes.load(ordering: .relaxed) == 4)
        #expect(handler.reasons.all == [.endOfFile])
    }

    @Test func `what is blocked when the own end is asked for leaves first`() async throws {
        let block = [UInt8](repeating: 5, count: 8_000_000)
        let handler = TestHandler()
        try await withPair(handler, receiveBufferBytes: 4096) { loop, stream, client in
            await on(loop) {
                block.withUnsafeBytes { stream.write($0) }
                precondition(stream.isBlocked)
                stream.finishWriting()
            }
            let count = await onThread {
                defer { client.close() }
                return client.receive(exactly: block.count + 1).count
            }
            #expect(count == block.count)
        }
        #expect(handler.reasons.all == [.endOfFile])
    }

    @Test func `a reset by the peer is a failure, told once`() async throws {
        let handler = TestHandler()
        try await withPair(handler) { _, _, client in client.reset() }
        #expect(handler.reasons.all == [.failed(ECONNRESET)])
    }

    @Test func `a reset is seen by the peer, and is a local close here`() async throws {
        let handler = TestHandler()
        try await withPair(handler) { loop, stream, client in
            await on(loop) {
                stream.reset()
                stream.reset()
                stream.close()
            }
            let isReset = await onThread {
                defer { client.close() }
                return client.receive() == nil && errno == ECONNRESET
            }
            #expect(isReset)
        }
        #expect(handler.reasons.all == [.local])
    }

    @Test func `a close in the handler of arriving bytes ends the stream at once`() async throws {
        let handler = TestHandler(received: { stream, _ in
            stream.close()
            [1].withUnsafeBytes { stream.write($0) }
            stream.startReading()
            stream.finishWriting()
        })
        try await withPair(handler) { _, _, client in
            await onThread {
                client.send([1])
                #expect(client.receive() == [])
                client.close()
            }
        }
        #expect(handler.reasons.all == [.local])
    }

    @Test(arguments: [false, true])
    func `a close while bytes wait drops them, without a drain`(_ resets: Bool) async throws {
        let block = [UInt8](repeating: 5, count: 8_000_000)
        let handler = TestHandler()
        try await withPair(handler, receiveBufferBytes: 4096) { loop, stream, client in
            await on(loop) {
                block.withUnsafeBytes { stream.write($0) }
                precondition(stream.isBlocked)
                if resets { stream.reset() } else { stream.close() }
            }
            let count = await onThread {
                defer { client.close() }
                return client.receive(exactly: block.count).count
            }
            #expect(count < block.count)
        }
        #expect(handler.reasons.all == [.local])
        #expect(handler.drains.load(ordering: .relaxed) == 0)
    }

    @Test func `a peer that goes while bytes wait for it is told once`() async throws {
        let block = [UInt8](repeating: 5, count: 8_000_000)
        let handler = TestHandler()
        try await withPair(handler, receiveBufferBytes: 4096) { loop, stream, client in
            await on(loop) {
                block.withUnsafeBytes { stream.write($0) }
                precondition(stream.isBlocked)
            }
            client.reset()
        }
        #expect(handler.drains.load(ordering: .relaxed) == 0)
        #expect(handler.reasons.all == [.failed(ECONNRESET)] || handler.reasons.all == [.failed(EPIPE)])
    }

    @Test func `while reading rests no byte arrives, and none is lost`() async throws {
        let handler = TestHandler()
        try await withPair(handler) { loop, stream, client in
            await on(loop) { stream.stopReading() }
            await onThread {
                client.send([UInt8](repeating: 1, count: 10_000))
                client.finish()
            }
            let rested = Signal()
            await on(loop) { OneShot.after(10_000_000, on: loop) { rested.set() } }
            await rested.wait()
            #expect(handler.bytes.load(ordering: .relaxed) == 0)
            await on(loop) {
                stream.startReading()
                stream.startReading()
            }
            await handler.closed.wait()
            client.close()
        }
        #expect(handler.bytes.load(ordering: .relaxed) == 10_000)
    }

    @Test func `shared bytes hold what they were made of`() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(SharedBytes(bytes).array == bytes)
        #expect(bytes.withUnsafeBytes { SharedBytes(copying: $0) }.array == bytes)
        let joined = SharedBytes(joining: [SharedBytes([]), SharedBytes([1, 2]), SharedBytes([]), SharedBytes([3])])
        #expect(joined.array == [1, 2, 3])
        #expect(joined.count == 3)
        #expect(SharedBytes(joining: []).count == 0)
    }
}
