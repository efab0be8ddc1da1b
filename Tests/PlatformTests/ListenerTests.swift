import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(5)))
struct ListenerTests {
    @Test func `connections are dealt exactly evenly over the loops`() async throws {
        try await withLoops(3) { group in
            let loops = Recorder<Int>()
            let all = Signal()
            let echo = EchoHandler()
            let listener = try await listen(group) { loop, stream in
                precondition(loop.isCurrent && stream.loop === loop)
                stream.handler = echo
                echo.open.add(1, ordering: .relaxed)
                stream.startReading()
                loops.append(loop.index)
                if loops.count == 60 { all.set() }
            }
            let address = listener.boundAddress
            #expect(address.port != 0)
            let clients = await onThread { (0..<60).map { _ in Client(address) } }
            await all.wait()
            for index in 0..<3 { #expect(loops.all.filter { $0 == index }.count == 20) }
            for client in clients { client.close() }
            await echo.allClosed.wait()
            #expect(echo.reasons.all.allSatisfy { $0 == .endOfFile })
            await close(listener, group)
        }
    }

    @Test func `accepted sockets inherit the options, and send without delay`() async throws {
        try await withLoops(1) { group in
            var options = TCPListenerOptions()
            options.sendBufferBytes = 20_000
            options.notSentLowWater = 12_345
            let handler = TestHandler()
            let accepted = Signal()
            let seen = Recorder<TCPStream>()
            let listener = try await listen(group, options: options) { _, stream in
                stream.handler = handler
                stream.startReading()
                seen.append(stream)
                accepted.set()
            }
            let address = listener.boundAddress
            let client = await onThread { Client(address) }
            await accepted.wait()
            // The accepted descriptor is the one whose peer is the client.
            let descriptor = try #require(descriptorWithPeer(of: client.socket))
            #expect(option(descriptor, SOL_SOCKET, SO_SNDBUF) == 40_000)  // the kernel doubles it
            #expect(option(descriptor, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT) == 12_345)
            #expect(option(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY) == 1)
            client.close()
            await handler.closed.wait()
            await close(listener, group)
        }
    }

    @Test func `a port in use is an error that names the address, and leaks no descriptor`() async {
        await #expect(processExitsWith: .success) {
            try await withLoops(1) { group in
                let first = try await listen(group) { _, stream in stream.close() }
                let before = ProcessFacts.openDescriptors
                for _ in 0..<10 {
                    do {
                        _ = try await listen(group, address: first.boundAddress) { _, stream in stream.close() }
                        preconditionFailure("two listeners on one port")
                    } catch let error as SystemError {
                        precondition(error.code == EADDRINUSE)
                        precondition(error.description.contains("listen on \(first.boundAddress)"))
                    }
                }
                precondition(ProcessFacts.openDescriptors == before)
                await close(first, group)
            }
        }
    }

    @Test func `where descriptors run out connections are refused, the loop rests, and accepting goes on`() async {
        await #expect(processExitsWith: .success) {
            try await withLoops(1) { group in
                let loop = group.loops[0]
                let echo = EchoHandler()
                let listener = try await listen(group) { _, stream in
                    echo.open.add(1, ordering: .relaxed)
                    stream.handler = echo
                    stream.startReading()
                }
                let address = listener.boundAddress
                // The sockets of the clients exist before the descriptors run out; they connect afterwards.
                let sockets = (0..<20).map { _ in Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
                let fillers = exhaustDescriptors()
                let start = MonotonicTime.now
                let before = await on(loop) { loop.turnCount }
                for socket in sockets {
                    _ = address.withSocketAddress { connect(socket, $0, $1) }
                    var byte: UInt8 = 0
                    // Refused: the connection ends without a byte.
                    precondition(recv(socket, &byte, 1, 0) <= 0)
                }
                let rested = Signal()
                await on(loop) { OneShot.after(30_000_000, on: loop) { rested.set() } }
                await rested.wait()
                let turns = await on(loop) { loop.turnCount } - before
                precondition(turns < 200 + restTurns(since: start), "\(turns) turns")

                for filler in fillers + sockets { _ = closeDescriptor(filler) }
                let client = Client(address)
                client.send([1, 2, 3])
                precondition(client.receive(exactly: 3) == [1, 2, 3])
                client.close()
                await echo.allClosed.wait()
                await close(listener, group)
            }
        }
    }

    @Test func `a lost reserve does not make the loop spin`() async {
        await #expect(processExitsWith: .success) {
            try await withLoops(1) { group in
                let loop = group.loops[0]
                let echo = EchoHandler()
                // The listener is made where its reserve cannot be had: one descriptor is left, for its socket.
                let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                var fillers = exhaustDescriptors()
                _ = closeDescriptor(fillers.removeLast())
                let listener = try await listen(group) { _, stream in
                    echo.open.add(1, ordering: .relaxed)
                    stream.handler = echo
                    stream.startReading()
                }
                let address = listener.boundAddress
                let start = MonotonicTime.now
                let before = await on(loop) { loop.turnCount }
                precondition(address.withSocketAddress { connect(socket, $0, $1) } == 0)
                let rested = Signal()
                await on(loop) { OneShot.after(200_000_000, on: loop) { rested.set() } }
                await rested.wait()
                let turns = await on(loop) { loop.turnCount } - before
                precondition(turns < 20 + restTurns(since: start), "\(turns) turns")

                // The connection that waited is served once there is room.
                for filler in fillers { _ = closeDescriptor(filler) }
                var byte: UInt8 = 7
                precondition(send(socket, &byte, 1, 0) == 1)
                byte = 0
                precondition(recv(socket, &byte, 1, 0) == 1 && byte == 7)
                _ = closeDescriptor(socket)
                await echo.allClosed.wait()
                await close(listener, group)
            }
        }
    }

    @Test func `a closed listener takes no connection, and its connections go on`() async throws {
        try await withLoops(1) { group in
            let echo = EchoHandler()
            let listener = try await listen(group) { _, stream in
                echo.open.add(1, ordering: .relaxed)
                stream.handler = echo
                stream.startReading()
            }
            let address = listener.boundAddress
            let client = await onThread {
                let client = Client(address)
                client.send([1])
                precondition(client.receive(exactly: 1) == [1])
                return client
            }
            await close(listener, group)
            await close(listener, group)
            let isRefused = await onThread {
                let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                defer { _ = closeDescriptor(socket) }
                return address.withSocketAddress { connect(socket, $0, $1) } == -1 && errno == ECONNREFUSED
            }
            #expect(isRefused)
            let answer = await onThread {
                client.send([2])
                return client.receive(exactly: 1)
            }
            #expect(answer == [2])
            client.close()
            await echo.allClosed.wait()
        }
    }

    @Test(
        arguments: [
            ("127.0.0.1:8080", [127, 0, 0, 1], 8080), ("0.0.0.0:0", [0, 0, 0, 0], 0),
            ("[::1]:65535", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 65535),
        ] as [(String, [UInt8], UInt16)])
    func `an address is parsed and written`(_ text: String, _ bytes: [UInt8], _ port: UInt16) throws {
        let address = try #require(TCPAddress(text))
        #expect(address == TCPAddress(bytes: bytes, port: port))
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", ":", "1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+80", "127.0.0.1:-1", "127.0.0:80",
        "::1:80", "[::1]", "[::1]:", "[127.0.0.1]:80", "[:80", "[]:80", "localhost:80", "127.0.0.1\0.9:80",
        " 127.0.0.1:80",
    ])
    func `what is no address is refused`(_ text: String) { #expect(TCPAddress(text) == nil) }

    @Test func `loopback is told apart`() {
        for text in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            #expect(TCPAddress(text)?.isLoopback == true)
        }
        for text in ["128.0.0.1:1", "0.0.0.0:1", "[::]:1", "[::2]:1", "[1::1]:1", "[::ffff:10.0.0.1]:1"] {
            #expect(TCPAddress(text)?.isLoopback == false)
        }
    }
}

/// Turns that a loop may take which looks every 50 ms whether there is room again, with a margin of two.
private func restTurns(since start: MonotonicTime) -> UInt64 {
    (MonotonicTime.now.nanoseconds - start.nanoseconds) / 25_000_000
}

private func option(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32 {
    var value: Int32 = -1
    var length = socklen_t(4)
    getsockopt(descriptor, level, name, &value, &length)
    return value
}

private func port(
    _ descriptor: Int32, _ ask: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
)
    -> UInt16?
{
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(descriptor, $0, &length) }
    }
    return status == 0 && Int32(address.sin_family) == AF_INET ? UInt16(bigEndian: address.sin_port) : nil
}

private func descriptorWithPeer(of client: Int32) -> Int32? {
    let own = port(client, getsockname)
    return (0..<65_536).first { $0 != client && port($0, getpeername) == own }
}

/// Lowers the limit of descriptors and takes all that are left.
private func exhaustDescriptors() -> [Int32] {
    var limit = rlimit(rlim_cur: 256, rlim_max: 256)
    precondition(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    var fillers: [Int32] = []
    while true {
        let descriptor = dup(0)
        guard descriptor >= 0 else { return fillers }
        fillers.append(descriptor)
    }
}
