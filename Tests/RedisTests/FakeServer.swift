// A server that says what a test wants it to say, right or wrong.

import Foundation
import Platform

@testable import Redis

/// Listens on a port of its own; each connection runs the script on a thread.
final class FakeServer: Sendable {
    let port: UInt16
    private let listener: Int32

    init(_ script: @escaping @Sendable (FakePeer) -> Void) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                precondition(bind(listener, address, length) == 0 && listen(listener, 16) == 0)
                precondition(getsockname(listener, address, &length) == 0)
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        Thread {
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { break }
                Thread {
                    script(FakePeer(client))
                    Foundation.close(client)
                }.start()
            }
            Foundation.close(listener)
        }.start()
    }

    var url: String { "redis://127.0.0.1:\(port)" }

    /// From now on connections are refused. The thread closes the descriptor, which nobody may get before it is gone.
    func close() { shutdown(listener, Int32(SHUT_RDWR)) }
}

/// One client of a fake server.
final class FakePeer {
    private let client: Int32
    private var buffer: [UInt8] = []

    init(_ client: Int32) { self.client = client }

    func write(_ text: String) { write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// The next command's words; `nil` at the end.
    func readCommand() -> [String]? {
        guard let count = readLine().flatMap({ Int($0.dropFirst()) }) else { return nil }
        var words: [String] = []
        for _ in 0..<count {
            guard let length = readLine().flatMap({ Int($0.dropFirst()) }) else { return nil }
            while buffer.count < length + 2 { if !fill() { return nil } }
            words.append(String(decoding: buffer.prefix(length), as: UTF8.self))
            buffer.removeFirst(length + 2)
        }
        return words
    }

    /// Waits for the client to hang up.
    func drain() { while fill() { buffer = [] } }

    private func readLine() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 10) {
                let line = String(decoding: buffer[..<end].dropLast(), as: UTF8.self)
                buffer.removeFirst(end + 1)
                return line
            }
            if !fill() { return nil }
        }
    }

    private func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = recv(client, &chunk, chunk.count, 0)
        guard count > 0 else { return false }
        buffer.append(contentsOf: chunk[..<count])
        return true
    }
}
