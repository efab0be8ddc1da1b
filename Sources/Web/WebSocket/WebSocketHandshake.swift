// The opening handshake (RFC 6455 section 4.2, RFC 7692 section 7): from an upgrade request to the 101 answer, or to
// the refusal. Who may connect (origin, token) is decided elsewhere.

/// What a handshake agreed on.
public struct WebSocketAcceptance: Sendable, Equatable {
    /// The subprotocol, or nil where the client named none that the server speaks: the default holds then.
    public let subprotocol: String?
    /// Whether messages may be compressed, in both directions, each on its own.
    public let compresses: Bool
    let accept: String

    /// Appends the whole `101 Switching Protocols` answer.
    public func append(extra: HTTPResponseHead? = nil, into out: inout [UInt8]) {
        var head = extra.map { $0.status == 101 ? $0 : HTTPResponseHead(status: 101) } ?? HTTPResponseHead(status: 101)
        head.add("Upgrade", "websocket")
        head.add("Connection", "Upgrade")
        head.add("Sec-WebSocket-Accept", accept)
        if let subprotocol { head.add("Sec-WebSocket-Protocol", subprotocol) }
        if compresses { head.add("Sec-WebSocket-Extensions", WebSocketHandshake.deflateAnswer) }
        head.append(framing: .none, date: nil, keepAlive: true, into: &out)
    }
}

/// The server's side of the opening handshake.
public enum WebSocketHandshake {
    static let deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    private static let magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    /// Checks an upgrade request.
    ///
    /// - Parameters:
    ///   - subprotocols: what the server speaks. The client's order of preference decides.
    ///   - allowsCompression: whether permessage-deflate is offered to clients that ask for it.
    /// - Throws: 400 for a request that is none, 426 for a version other than 13.
    public static func accept(
        _ request: HTTPRequest, subprotocols: [String], allowsCompression: Bool
    ) throws(HTTPFailure) -> WebSocketAcceptance {
        guard request.isWebSocketUpgrade else {
            throw HTTPFailure(
                426, "bad_request", "This address speaks WebSocket only.",
                headers: [
                    HTTPHeader(name: "Sec-WebSocket-Version", value: "13"),
                    HTTPHeader(name: "Upgrade", value: "websocket"),
                ])
        }
        guard request.headers("sec-websocket-version") == ["13"] else {
            throw HTTPFailure(
                426, "bad_request", "Only version 13 of WebSocket is spoken here.",
                headers: [
                    HTTPHeader(name: "Sec-WebSocket-Version", value: "13"),
                    HTTPHeader(name: "Upgrade", value: "websocket"),
                ])
        }
        let keys = request.headers("sec-websocket-key")
        guard keys.count == 1, let key = keys.first, Base64.encodes16Bytes(key) else {
            throw .bad("Sec-WebSocket-Key is missing or malformed.")
        }
        let offered = request.headerList("sec-websocket-protocol")
        return WebSocketAcceptance(
            subprotocol: offered.first(where: subprotocols.contains),
            compresses: allowsCompression && request.headerList("sec-websocket-extensions").contains(where: isDeflate),
            accept: acceptValue(key: key))
    }

    /// `Sec-WebSocket-Accept` for a key.
    static func acceptValue(key: String) -> String {
        Base64.encode(SHA1.digest(Array((key + magic).utf8)))
    }

    /// Whether an extension offer is permessage-deflate with parameters that can be met.
    ///
    /// An offer with `server_max_window_bits` below 15 is passed over: the frame of a broadcast is compressed once
    /// for everyone, with the whole window. `client_max_window_bits` needs no answer, as the window that unpacks is
    /// the largest.
    static func isDeflate(_ offer: String) -> Bool {
        let parts = offer.split(separator: ";", omittingEmptySubsequences: false).map(trim)
        guard parts.first?.lowercased() == "permessage-deflate" else { return false }
        var seen: Set<String> = []
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(trim)
            let name = pair[0].lowercased()
            guard seen.insert(name).inserted else { return false }
            switch (name, pair.count > 1 ? unquote(pair[1]) : nil) {
            case ("server_no_context_takeover", nil), ("client_no_context_takeover", nil): continue
            case ("client_max_window_bits", nil), ("server_max_window_bits", "15"): continue
            case ("client_max_window_bits", let bits?):
                guard ["8", "9", "10", "11", "12", "13", "14", "15"].contains(bits) else { return false }
            default: return false
            }
        }
        return true
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }

    private static func unquote(_ text: Substring) -> String {
        guard text.count >= 2, text.first == "\"", text.last == "\"" else { return String(text) }
        return String(text.dropFirst().dropLast())
    }
}
