// A whole node in the test's process, on a port that the system chooses, and clients that see its bytes: blocking
// sockets on threads of their own, which wait for what must come and give up only where it never does.

import Foundation
import Glibc
import Platform
import TestSupport

@testable import Node

/// Runs `body`, on a thread of its own, against a node with a fresh data folder; the node stops when it ends.
func withLiveNode(
    loops: Int = 1, adminToken: String? = nil, _ body: @escaping @Sendable (TCPAddress) throws -> Void
) async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tumulte-live-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var configuration = NodeConfiguration()
    configuration.http = TCPAddress(bytes: [127, 0, 0, 1], port: 0)
    configuration.dataFolder = folder.path
    configuration.loopCount = loops
    configuration.adminToken = adminToken.map { Array($0.utf8) }
    let node = try NodeServer(configuration, log: .silent)
    try await node.start()
    let address = await node.address
    let outcome = await onThread { Result { try body(address) } }
    await node.stop(isHurried: true)
    try outcome.get()
}

/// What a client expected and did not find.
struct Unexpected: Error, Equatable, CustomStringConvertible {
    let description: String
}

func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
    guard condition else { throw Unexpected(description: what()) }
}

/// One answer of a node.
struct LiveAnswer {
    let status: Int
    let head: String
    let body: String

    /// The id of what the body describes.
    func id() throws -> String {
        guard let mark = body.range(of: #""id":""#) else { throw Unexpected(description: "no id in \(body)") }
        return String(body[mark.upperBound...].prefix(36))
    }
}

/// One connection to a node.
final class LiveClient {
    /// The node has reset the connection.
    static let reset = Unexpected(description: "recv: \(ECONNRESET)")

    private let socket: Int32
    private let address: TCPAddress
    private var buffer: [UInt8] = []

    /// - Parameter receiveBufferBytes: a small one makes a slow reader.
    init(_ address: TCPAddress, receiveBufferBytes: Int32? = nil) throws {
        self.address = address
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if var bytes = receiveBufferBytes { setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, 4) }
        var isOn: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, 4)
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = address.port.bigEndian
        name.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try expect(status == 0, "connect: \(errno)")
    }

    deinit { close(socket) }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            try expect(count > 0, "send: \(errno)")
            rest = rest.dropFirst(count)
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func sendByteByByte(_ bytes: [UInt8]) throws { for byte in bytes { try send([byte]) } }

    /// Says that nothing more will be sent.
    func finish() { shutdown(socket, Int32(SHUT_WR)) }

    /// What a request looks like.
    func request(_ method: String, _ path: String, _ body: String? = nil, more: String = "") -> String {
        let content = body.map { "Content-Type: application/json\r\nContent-Length: \($0.utf8.count)\r\n" } ?? ""
        return "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\n\(content)\(more)\r\n\(body ?? "")"
    }

    func ask(_ method: String, _ path: String, _ body: String? = nil) throws -> LiveAnswer {
        try send(request(method, path, body))
        return try answer()
    }

    /// The next answer, whole.
    func answer() throws -> LiveAnswer {
        let end: [UInt8] = [13, 10, 13, 10]
        var length: Int?
        while length == nil {
            length = buffer.indices.first { buffer[$0...].starts(with: end) }.map { $0 + 4 }
            if length == nil { try more() }
        }
        let head = String(decoding: buffer[..<(length ?? 0)], as: UTF8.self)
        buffer.removeFirst(length ?? 0)
        let size = head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
            .flatMap { Int($0.dropFirst("content-length:".count).drop { $0 == " " }) }
        while buffer.count < size ?? 0 { try more() }
        let body = String(decoding: buffer[..<(size ?? 0)], as: UTF8.self)
        buffer.removeFirst(size ?? 0)
        let status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return LiveAnswer(status: status, head: head, body: body)
    }

    /// Whether the node closes without another byte.
    func isAtEnd() -> Bool {
        var byte: UInt8 = 0
        return buffer.isEmpty && recv(socket, &byte, 1, 0) == 0
    }

    // MARK: - WebSocket

    func upgrade() throws {
        try send(
            request(
                "GET", "/v1/ws",
                more: "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tumulte.v1.json\r\n"))
        let answer = try answer()
        try expect(answer.status == 101 && answer.head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), answer.head)
    }

    /// A text frame under a mask that changes nothing.
    static func frame(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        let length =
            bytes.count < 126
            ? [0x80 | UInt8(bytes.count)]
            : [0xFE, UInt8(truncatingIfNeeded: bytes.count >> 8), UInt8(bytes.count & 255)]
        return [0x81] + length + [0, 0, 0, 0] + bytes
    }

    func say(_ text: String) throws { try send(Self.frame(text)) }

    /// The next frame: its opcode and payload.
    func frame() throws -> (opcode: UInt8, payload: [UInt8]) {
        while buffer.count < 2 { try more() }
        var (size, head) = (Int(buffer[1]), 2)
        if size == 126 {
            while buffer.count < 4 { try more() }
            (size, head) = (Int(buffer[2]) << 8 | Int(buffer[3]), 4)
        }
        while buffer.count < head + size { try more() }
        let opcode = buffer[0] & 15
        let payload = Array(buffer[head..<(head + size)])
        buffer.removeFirst(head + size)
        return (opcode, payload)
    }

    /// The next message that contains all of `parts`; others before it are passed over.
    func message(_ parts: String...) throws -> String {
        while true {
            let (opcode, payload) = try frame()
            let text = String(decoding: payload, as: UTF8.self)
            try expect(opcode != 8, "closed before a message with \(parts)")
            if opcode == 1, parts.allSatisfy({ text.contains($0) }) { return text }
        }
    }

    private func more() throws {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(socket, &chunk, chunk.count, 0)
        try expect(count > 0, count == 0 ? "the node closed" : "recv: \(errno)")
        buffer += chunk[..<count]
    }
}
