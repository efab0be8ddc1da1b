// One HTTP request on a connection of its own.

import Platform

/// What came of a request.
struct HTTPAnswer {
    /// 0 where no answer came.
    let status: Int
    let body: String

    /// The text of the first field of this name.
    func text(_ field: String) -> String? {
        guard let start = body.firstRange(of: "\"\(field)\":\"")?.upperBound else { return nil }
        return body[start...].firstIndex(of: "\"").map { String(body[start..<$0]) }
    }
}

/// `@unchecked Sendable`: a world lives on one thread.
final class HTTPCall: @unchecked Sendable {
    private var bytes: [UInt8] = []
    private var side: Side?
    private var completion: ((HTTPAnswer) -> Void)?

    /// Longer than any answer may take.
    static let patience = Span.seconds(15)

    /// Asks, and tells the answer exactly once.
    @discardableResult
    init(
        _ method: String, _ path: String, body: String = "", headers: [String] = [], at address: TCPAddress,
        from host: Host, _ completion: @escaping (HTTPAnswer) -> Void
    ) {
        self.completion = completion
        var text = "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n"
        for header in headers { text += header + "\r\n" }
        if !body.isEmpty { text += "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n" }
        let request = Array((text + "\r\n" + body).utf8)
        host.network.connect(from: host, to: address, on: nil) { [self] outcome in
            switch outcome {
            case .failure: end(nil)
            case .success(let side):
                guard self.completion != nil else { return side.close() }
                self.side = side
                side.onParcel = { [self] parcel in arrived(parcel) }
                side.send(.bytes(request))
            }
        }
        host.world.after(Self.patience, host: host) { [self] in end(nil) }
    }

    private func arrived(_ parcel: Side.Parcel) {
        switch parcel {
        case .bytes(let new): bytes += new
        case .call: break
        case .end, .broken: return end(answer())
        }
        if let answer = answer() { end(answer) }
    }

    private func answer() -> HTTPAnswer? {
        guard let head = WebSocketClient.headEnd(bytes) else { return nil }
        let lines = String(decoding: bytes[..<head], as: UTF8.self).split(separator: "\r\n")
        let status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        var length = 0
        for line in lines where line.lowercased().hasPrefix("content-length:") {
            length = line.split(separator: ":").last.flatMap { Int($0.drop { $0 == " " }) } ?? 0
        }
        guard bytes.count >= head + length else { return nil }
        return HTTPAnswer(status: status, body: String(decoding: bytes[head..<head + length], as: UTF8.self))
    }

    private func end(_ answer: HTTPAnswer?) {
        guard let completion else { return }
        self.completion = nil
        side?.close()
        side = nil
        completion(answer ?? HTTPAnswer(status: 0, body: ""))
    }
}
