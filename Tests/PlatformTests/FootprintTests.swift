// Memory and descriptors over time. Each test has a process of its own, where nothing else allocates.

import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled(if: getenv("TUMULTE_SANITIZER") == nil, "a sanitizer's own memory would be measured"))
struct FootprintTests {
    @Test func `an idle connection costs little memory`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            try await withLoops(1) { group in
                try await withEcho(group) { address, echo in
                    let warm = await openAndClose(20, address)
                    precondition(warm == 20)
                    await echo.allClosed.wait()
                    let before = (resident: ProcessFacts.residentBytes, heap: heapBytes())
                    let clients = await onThread { () -> [Client] in
                        let clients = (0..<500).map { _ in Client(address) }
                        // The answer shows that the connection is there.
                        for client in clients { client.send([1]) }
                        for client in clients { precondition(client.receive(exactly: 1) == [1]) }
                        return clients
                    }
                    let resident = (ProcessFacts.residentBytes - before.resident) / 500
                    let heap = (heapBytes() - before.heap) / 500
                    print("figure: an idle connection takes \(resident) resident bytes, \(heap) of them on the heap")
                    precondition(heap < 4096)
                    await onThread { for client in clients { client.close() } }
                }
            }
        }
        show(result)
    }

    @Test func `two thousand connections that come and go leave nothing behind`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            try await withLoops(2) { group in
                try await withEcho(group) { address, echo in
                    let warm = await openAndClose(500, address)
                    precondition(warm == 500)
                    let descriptors = ProcessFacts.openDescriptors
                    let before = (resident: ProcessFacts.residentBytes, heap: heapBytes())
                    let ended = await openAndClose(2000, address)
                    precondition(ended == 2000)
                    // One more, whose end is seen on each loop, follows all others.
                    for loop in group.loops { await on(loop) {} }
                    let resident = ProcessFacts.residentBytes - before.resident
                    let heap = heapBytes() - before.heap
                    print("figure: 2,000 connections left \(resident) resident bytes, \(heap) on the heap")
                    precondition(resident < 4 << 20)
                    precondition(heap < 200_000)
                    precondition(ProcessFacts.openDescriptors <= descriptors + 2)
                }
            }
        }
        show(result)
    }

    @Test func `ten thousand messages on one connection do not grow the heap`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            try await withLoops(1) { group in
                try await withEcho(group) { address, echo in
                    let grown = await onThread { () -> (Int, Double) in
                        let client = Client(address)
                        let message = [UInt8](repeating: 7, count: 100)
                        func exchange(_ count: Int) {
                            for _ in 0..<count {
                                client.send(message)
                                precondition(client.receive(exactly: 100).count == 100)
                            }
                        }
                        exchange(500)
                        let before = heapBytes()
                        let start = MonotonicTime.now
                        exchange(10_000)
                        let time = Double(MonotonicTime.now.nanoseconds - start.nanoseconds) / 10_000
                        let grown = heapBytes() - before
                        client.close()
                        return (grown, time)
                    }
                    print("figure: 10,000 echoes grew the heap by \(grown.0) bytes, \(Int(grown.1)) ns each")
                    precondition(grown.0 < 16_384)
                }
            }
        }
        show(result)
    }

    @Test func `a peer that never reads blocks the stream at once, and memory stays at what was handed in`() async {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            try await withLoops(1) { group in
                let block = [UInt8](repeating: 1, count: 65_536)
                let handler = TestHandler()
                let written = Atomic<Int>(0)
                let blocked = Signal()
                var options = TCPListenerOptions()
                options.sendBufferBytes = 32_768
                let listener = try await listen(group, options: options) { _, stream in
                    stream.handler = handler
                    stream.startReading()
                    while !stream.isBlocked {
                        block.withUnsafeBytes { stream.write($0) }
                        written.add(block.count, ordering: .relaxed)
                    }
                    blocked.set()
                }
                let before = heapBytes()
                let address = listener.boundAddress
                let client = await onThread { Client(address, receiveBufferBytes: 4096) }
                await blocked.wait()
                let grown = heapBytes() - before
                print("figure: blocked after \(written.load(ordering: .relaxed)) bytes, \(grown) more on the heap")
                precondition(grown < block.count + 32_768)
                precondition(written.load(ordering: .relaxed) < 4 << 20)
                client.reset()
                await handler.closed.wait()
                precondition(handler.reasons.count == 1)
                await close(listener, group)
            }
        }
        show(result)
    }
}

/// Prints the figures that a test's own process has written.
private func show(_ result: ExitTest.Result?) {
    for line in String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
    where line.hasPrefix("figure") { print(line) }
}

/// Bytes that the allocator has given out, by its own report: what it holds less what is free.
private func heapBytes() -> Int {
    guard let symbol = dlsym(dlopen(nil, RTLD_NOW), "malloc_info") else { return 0 }
    var text = [CChar](repeating: 0, count: 1 << 18)
    guard let file = fmemopen(&text, text.count, "w") else { return 0 }
    let report = unsafeBitCast(symbol, to: (@convention(c) (Int32, UnsafeMutablePointer<FILE>) -> Int32).self)
    precondition(report(0, file) == 0)
    fclose(file)
    let lines = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        .split(separator: "\n")
    // The last line of a kind is the sum of all arenas.
    func size(_ kind: String) -> Int {
        guard let line = lines.last(where: { $0.hasPrefix("<\(kind)") }),
            let size = line.split(separator: "\"").dropLast().last
        else { return 0 }
        return Int(size) ?? 0
    }
    return size("system type=\"current\"") - size("total type=\"fast\"") - size("total type=\"rest\"")
        + size("total type=\"mmap\"")
}

private func withEcho(_ group: LoopGroup, _ body: (TCPAddress, EchoHandler) async throws -> Void) async throws {
    let echo = EchoHandler()
    let listener = try await listen(group) { _, stream in
        echo.open.add(1, ordering: .relaxed)
        stream.handler = echo
        stream.startReading()
    }
    try await body(listener.boundAddress, echo)
    await close(listener, group)
    withExtendedLifetime(echo) {}
}

/// Opens connections one after the other, each of which sees its echo and its end.
private func openAndClose(_ count: Int, _ address: TCPAddress) async -> Int {
    await onThread {
        var ended = 0
        for _ in 0..<count {
            let client = Client(address)
            client.send([9])
            if client.receive(exactly: 1) == [9] { client.finish() }
            if client.receive() == [] { ended += 1 }
            client.close()
        }
        return ended
    }
}
