// A TCP proxy in front of the server that cuts a connection at the worst moment: when a chosen statement has reached the
// server, and before its reply comes back; or before it reaches the server at all.

import Foundation
import Platform

/// Blocking sockets, two threads a connection; `close` ends them all.
final class CuttingProxy: Sendable {
    enum Cut: Sendable, Equatable {
        /// The server gets the statement; what it answers goes nowhere.
        case reply
        /// The server does not get the statement.
        case request
    }

    private struct State {
        var armed: (cut: Cut, marker: [UInt8])?
        var cuts = 0
        var sockets: [Int32] = []
        var isClosed = false
        var isHeld = false
    }

    /// Signalled when connections are taken again.
    private let welcome = NSCondition()

    let port: UInt16
    private let listener: Int32
    private let server: UInt16
    private let state = Locked(State())

    /// - Parameter server: a port on 127.0.0.1.
    init(to server: UInt16) throws {
        self.server = server
        let listener = socket(AF_INET, Self.stream, 0)
        self.listener = listener
        var address = Self.address(0)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(listener, 64) == 0 else { throw CocoaError(.fileReadUnknown) }
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
        }
        port = UInt16(bigEndian: address.sin_port)
        Thread { [self] in accept() }.start()
    }

    var cuts: Int { state.withLock { $0.cuts } }

    /// Cuts the next connection on which the client sends these bytes.
    func arm(_ cut: Cut, at marker: String) { state.withLock { $0.armed = (cut, Array(marker.utf8)) } }

    /// Cuts every connection, and lets new ones wait until `release`.
    func hold() {
        let sockets = state.withLock { state in
            state.isHeld = true
            return state.sockets
        }
        for descriptor in sockets { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    func release() {
        welcome.withLock {
            state.withLock { $0.isHeld = false }
            welcome.broadcast()
        }
    }

    func close() {
        release()
        let sockets = state.withLock { state in
            state.isClosed = true
            return state.sockets
        }
        for descriptor in sockets + [listener] { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    // MARK: - Sockets

    #if canImport(Glibc)
        private static let stream = Int32(SOCK_STREAM.rawValue)
    #else
        private static let stream = SOCK_STREAM
    #endif

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return address
    }

    private func accept() {
        while true {
            let client = Foundation.accept(listener, nil, nil)
            guard client >= 0 else { return }
            welcome.withLock { while state.withLock({ $0.isHeld }) { welcome.wait() } }
            let upstream = socket(AF_INET, Self.stream, 0)
            var address = Self.address(server)
            let connected = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(upstream, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            let isWelcome = state.withLock { state in
                if !state.isClosed { state.sockets += [client, upstream] }
                return !state.isClosed
            }
            let link = Link(client: client, upstream: upstream)
            guard connected == 0, isWelcome else {
                link.cut()
                continue
            }
            Thread { [self] in sendOn(link) }.start()
            Thread { Self.sendBack(link) }.start()
        }
    }

    /// Both ends of one connection.
    private final class Link: Sendable {
        let client: Int32
        let upstream: Int32
        private let isMuted = Locked(false)

        init(client: Int32, upstream: Int32) {
            self.client = client
            self.upstream = upstream
        }

        var isSilent: Bool { isMuted.withLock { $0 } }
        func mute() { isMuted.withLock { $0 = true } }

        /// The descriptors stay taken until the process ends, so that no thread reads another connection's.
        func cut() {
            shutdown(client, Int32(SHUT_RDWR))
            shutdown(upstream, Int32(SHUT_RDWR))
        }
    }

    private func sendOn(_ link: Link) {
        defer { link.cut() }
        while let bytes = Self.read(link.client) {
            let cut = state.withLock { state -> Cut? in
                guard let armed = state.armed, Self.holds(bytes, armed.marker) else { return nil }
                state.armed = nil
                state.cuts += 1
                return armed.cut
            }
            if cut == .request { return }
            if cut == .reply { link.mute() }
            guard Self.write(bytes, to: link.upstream) else { return }
        }
    }

    private static func sendBack(_ link: Link) {
        defer { link.cut() }
        while let bytes = read(link.upstream) {
            // An answer comes after the commit: what it stands for has happened, and the client will never hear it.
            if link.isSilent { return }
            guard write(bytes, to: link.client) else { return }
        }
    }

    private static func holds(_ bytes: [UInt8], _ marker: [UInt8]) -> Bool {
        bytes.count >= marker.count
            && (0...bytes.count - marker.count).contains { bytes[$0..<$0 + marker.count].elementsEqual(marker) }
    }

    private static func read(_ descriptor: Int32) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return count > 0 ? Array(bytes[..<count]) : nil
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }
}
