// A WebSocket client in the binary subprotocol, on the bytes of a simulated connection.

import Platform
import Protocol

/// `@unchecked Sendable`: a world lives on one thread.
final class WebSocketClient: @unchecked Sendable {
    private let side: Side
    private let dice: Dice
    private var bytes: [UInt8] = []
    private var isUpgraded = false
    private(set) var isClosed = false
    private let onOpen: () -> Void
    private let onMessage: (ServerMessage) -> Void
    private let onClosed: () -> Void

    /// Takes over a connection that was just made.
    init(
        _ side: Side, host: String, _ dice: Dice, onOpen: @escaping () -> Void,
        onMessage: @escaping (ServerMessage) -> Void, onClosed: @escaping () -> Void
    ) {
        self.side = side
        self.dice = dice
        self.onOpen = onOpen
        self.onMessage = onMessage
        self.onClosed = onClosed
        side.onParcel = { [weak self] parcel in self?.arrived(parcel) }
        let request =
            "GET /v1/ws HTTP/1.1\r\nHost: \(host)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + "Sec-WebSocket-Protocol: \(BinaryClientCodec.subprotocol)\r\n\r\n"
        side.send(.bytes(Array(request.utf8)))
    }

    func send(_ message: ClientMessage) {
        var payload: [UInt8] = []
        BinaryClientCodec.encode(message, into: &payload)
        frame(0x82, payload)
    }

    private func frame(_ first: UInt8, _ payload: [UInt8]) {
        guard !isClosed else { return }
        var frame = [first]
        if payload.count < 126 {
            frame.append(0x80 | UInt8(payload.count))
        } else {
            frame += [0x80 | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        }
        let mask = dice.next()
        let key = (0..<4).map { UInt8(truncatingIfNeeded: mask >> (8 * UInt64($0))) }
        frame += key
        for (index, byte) in payload.enumerated() { frame.append(byte ^ key[index & 3]) }
        side.send(.bytes(frame))
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        side.close()
        onClosed()
    }

    private func arrived(_ parcel: Side.Parcel) {
        switch parcel {
        case .bytes(let new):
            bytes += new
            read()
        case .call: break
        case .end, .broken: close()
        }
    }

    private func read() {
        if !isUpgraded {
            guard let end = Self.headEnd(bytes) else { return }
            guard bytes.starts(with: "HTTP/1.1 101".utf8) else { return close() }
            bytes.removeFirst(end)
            isUpgraded = true
            onOpen()
        }
        var start = 0
        while !isClosed, let (opcode, payload, end) = Self.frame(bytes, start) {
            start = end
            take(opcode, payload)
        }
        if !isClosed { bytes.removeFirst(start) }
    }

    private func take(_ opcode: UInt8, _ payload: [UInt8]) {
        switch opcode {
        case 2:
            do throws(ClientDecodeError) {
                onMessage(try BinaryClientCodec.decodeServer(payload.span))
            } catch {
                preconditionFailure("a server's message cannot be read: \(error)")
            }
        case 8: close()
        case 9: frame(0x8A, payload)
        default: break
        }
    }

    static func headEnd(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 3..<bytes.count
        where bytes[index] == 10 && bytes[index - 1] == 13 && bytes[index - 2] == 10 && bytes[index - 3] == 13 {
            return index + 1
        }
        return nil
    }

    /// The frame that begins at `start`, if all of it is there; a server's frames are not masked.
    private static func frame(_ bytes: [UInt8], _ start: Int) -> (UInt8, [UInt8], Int)? {
        guard bytes.count - start >= 2 else { return nil }
        var (count, head) = (Int(bytes[start + 1] & 0x7F), 2)
        if count >= 126 {
            let width = count == 126 ? 2 : 8
            guard bytes.count - start >= 2 + width else { return nil }
            count = bytes[start + 2..<start + 2 + width].reduce(0) { $0 << 8 | Int($1) }
            head = 2 + width
        }
        guard bytes.count - start >= head + count else { return nil }
        let body = start + head
        return (bytes[start] & 0x0F, Array(bytes[body..<body + count]), body + count)
    }
}
