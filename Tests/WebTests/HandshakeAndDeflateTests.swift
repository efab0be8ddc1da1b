// The opening handshake, compression, answers and event streams, by their published examples.
import Testing

@testable import Web

private func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct HandshakeAndDeflateTests {
    @Test func `SHA-1 and the key of RFC 6455 give the published values`() {
        let hex = SHA1.digest(utf8("abc")).map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }
            .joined()
        #expect(hex == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(WebSocketHandshake.acceptValue(key: "dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func `a handshake agrees on what both sides can`() throws {
        let request = try upgrade(
            "Sec-WebSocket-Protocol: x, tumulte.v1.binary, tumulte.v1.json\r\n"
                + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
        let accepted = try WebSocketHandshake.accept(
            request, subprotocols: ["tumulte.v1.json", "tumulte.v1.binary"], allowsCompression: true)
        #expect(accepted.subprotocol == "tumulte.v1.binary")
        #expect(accepted.compresses)
        var out: [UInt8] = []
        accepted.append(into: &out)
        let text = String(decoding: out, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
        #expect(text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(text.hasSuffix("client_no_context_takeover\r\n\r\n"))
    }

    @Test func `another version gets 426 and a bad key 400`() throws {
        for (field, value, status) in [("Version", "12", 426), ("Key", "dG9vIHNob3J0", 400)] {
            let request = try upgrade("", replacing: field, by: value)
            #expect {
                try WebSocketHandshake.accept(request, subprotocols: [], allowsCompression: true)
            } throws: { ($0 as? HTTPFailure)?.status == status }
        }
    }

    @Test(arguments: [
        ("permessage-deflate", true), ("permessage-deflate; server_no_context_takeover", true),
        ("permessage-deflate; client_max_window_bits=10", true),
        ("permessage-deflate; server_max_window_bits=15", true),
        ("permessage-deflate; server_max_window_bits=10", false), ("permessage-deflate; server_max_window_bits", false),
        ("permessage-deflate; client_max_window_bits=16", false), ("permessage-deflate; unknown", false),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", false),
        ("x-webkit-deflate-frame", false),
    ])
    func `an offer of compression is taken only if it can be met`(offer: String, isTaken: Bool) {
        #expect(WebSocketHandshake.isDeflate(offer) == isTaken)
    }

    @Test func `the messages of RFC 7692 are unpacked, and packed ones come back`() {
        let inflater = MessageInflater()
        let hello = MessageInflater.Outcome.message(utf8("Hello"))
        #expect(inflater.inflate([0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], bytesLimit: 5) == hello)
        #expect(
            inflater.inflate([0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00], bytesLimit: 9) == hello
        )
        #expect(inflater.inflate([0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00], bytesLimit: 9) == hello)
        let blocks: [UInt8] = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00]
        #expect(inflater.inflate(blocks, bytesLimit: 9) == hello)
        #expect(inflater.inflate([0xF2, 0x48], bytesLimit: 9) == .corrupt)
        let deflater = MessageDeflater()
        #expect(deflater.compress(utf8("Hello")) == [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00])
        #expect(deflater.compress([]) == [0])
        var random = SeededGenerator(seed: 1)
        for size in [0, 1, 100, 65_536] {
            let message = (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next() & 0x0F) }
            #expect(inflater.inflate(deflater.compress(message), bytesLimit: max(size, 1)) == .message(message))
        }
    }

    @Test func `a compressed message that grows beyond the limit closes with 1009`() {
        let bomb = MessageDeflater().compress([UInt8](repeating: 0x61, count: 65_537))
        let fits = MessageDeflater().compress([UInt8](repeating: 0x61, count: 65_536))
        for (payload, said) in [
            (bomb, Said.violation(1009)), (fits, .text([UInt8](repeating: 0x61, count: 65_536))),
            ([0xFF], .violation(1007)), (MessageDeflater().compress([0xFF]), .violation(1007)),
        ] {
            var wire: [UInt8] = []
            WebSocketFrame.appendMasked(.text, payload, mask: 7, isCompressed: true, into: &wire)
            #expect(parseFrames(wire, compression: true) == [said])
        }
    }

    @Test func `no value can end its header`() {
        var head = HTTPResponseHead(status: 200)
        let added = (head.add("X", "a\r\nSet-Cookie: b"), head.add("X-Request-ID", "r"))
        #expect(added == (false, true))
        var out: [UInt8] = []
        head.append(framing: .length(3), date: HTTPDate.format(unixSeconds: 784_111_777), keepAlive: false, into: &out)
        #expect(
            String(decoding: out, as: UTF8.self) == "HTTP/1.1 200 OK\r\nX-Request-ID: r\r\n"
                + "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
    }

    @Test func `events, their ids and queries are written and read strictly`() {
        var out: [UInt8] = []
        ServerSentEvents.append(event: "poll:end", position: (7, 9), data: utf8("a\r\nb"), into: &out)
        #expect(String(decoding: out, as: UTF8.self) == "event: poll:end\nid: 7-9\ndata: a\ndata: b\n\n")
        let read = ServerSentEvents.parseLastEventID("7-9007199254740991")
        #expect(read?.epoch == 7 && read?.seq == 9_007_199_254_740_991)
        for bad in ["", "7", "7-", "-9", "07-9", "7-9-1", "+7-9", "7-9007199254740992", " 7-9"] {
            #expect(ServerSentEvents.parseLastEventID(bad) == nil, "\(bad)")
        }
        #expect(HTTPQuery("a=1&b=x%20y+z&a=2")?["b"] == "x y z")
        #expect(HTTPQuery("a=1&a=2")?["a"] == "1")
        #expect(HTTPQuery("a=%4") == nil && HTTPQuery("a=%FF") == nil && HTTPQuery("a=%00") == nil)
    }

    private func upgrade(_ extra: String, replacing field: String = "", by value: String = "") throws -> HTTPRequest {
        let version = field == "Version" ? value : "13"
        let key = field == "Key" ? value : "dGhlIHNhbXBsZSBub25jZQ=="
        let text =
            "GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Version: \(version)\r\nSec-WebSocket-Key: \(key)\r\n\(extra)\r\n"
        var parser = HTTPRequestParser()
        guard case (_, .request(let request)) = utf8(text).withUnsafeBytes({ parser.feed($0) }) else {
            throw HTTPFailure.bad("no request")
        }
        return request
    }
}
