// What a request means, and that the way in which its bytes arrive makes no difference.
import Testing

@testable import Web

/// Feeds bytes cut at the given sizes, and describes everything that came out, request by request.
func parseHTTP(_ bytes: [UInt8], cuts: (Int) -> Int = { $0 }, limits: HTTPLimits = HTTPLimits()) -> [String] {
    var parser = HTTPRequestParser(limits: limits)
    var said: [String] = []
    var rest = bytes[...]
    while !rest.isEmpty {
        let piece = Array(rest.prefix(max(1, cuts(rest.count))))
        let (consumed, outcome) = piece.withUnsafeBytes { parser.feed($0) }
        rest = rest.dropFirst(consumed)
        switch outcome {
        case .needMore: #expect(consumed == piece.count)
        case .wantsContinue: continue
        case .request(let request):
            said.append(describe(request))
            if request.isWebSocketUpgrade {
                said.append("rest \(rest.count)")
                return said
            }
        case .failed(let failure):
            said.append("failed \(failure.status)")
            return said
        }
    }
    if !parser.isIdle { said.append("open") }
    return said
}

func parseHTTP(_ text: String, limits: HTTPLimits = HTTPLimits()) -> [String] {
    parseHTTP(Array(text.utf8), limits: limits)
}

private func describe(_ request: HTTPRequest) -> String {
    let body = String(decoding: request.body, as: UTF8.self)
    let flags = "\(request.keepAlive ? "k" : "c")\(request.isWebSocketUpgrade ? "u" : "")"
    return "\(request.method) \(request.path) ?\(request.query ?? "-") \(request.authority) \(flags) [\(body)]"
        + " \(request.headerCount)"
}

/// Requests that mean something, and what.
let goodRequests: [(text: String, said: [String])] = [
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ["get / ?- a k [] 1"]),
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ["get / ?- a k [] 1"]),
    ("GET / HTTP/1.0\r\n\r\n", ["get / ?-  c [] 0"]),
    ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ["get / ?-  k [] 1"]),
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", ["get / ?- a c [] 2"]),
    ("HEAD /a%20b/%2f%C3%A9?x=1?&y HTTP/1.1\r\nHost: a:80\r\n\r\n", ["head /a b/%2Fé ?x=1?&y a:80 k [] 1"]),
    ("GET http://b:8/p?q HTTP/1.1\r\nHost: a\r\n\r\n", ["get /p ?q b:8 k [] 1"]),
    ("GET HTTPS://[::1]:8?q HTTP/1.1\r\nHost: a\r\n\r\n", ["get / ?q [::1]:8 k [] 1"]),
    ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", ["options * ?- a k [] 1"]),
    ("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", ["other / ?- a k [] 1"]),
    ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t b\t \r\n\r\n", ["get / ?- a k [] 3"]),
    ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", ["get / ?- a k [] 3"]),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
        ["post / ?- a k [hello] 2", "get /2 ?- b k [] 1"]
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n", ["post / ?- a k [] 2"]),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n002\r\nde\r\n0\r\nT: 1\r\n\r\nGET",
        ["post / ?- a k [abcde] 2", "open"]
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", ["post / ?- a k [hi] 3"]),
    (
        "GET /w HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n\u{1}frames",
        ["get /w ?- a ku [] 3", "rest 7"]
    ),
]

@Suite struct HTTPRequestTests {
    @Test(arguments: goodRequests.indices)
    func `a good request is read for what it says`(index: Int) {
        #expect(parseHTTP(goodRequests[index].text) == goodRequests[index].said)
    }

    @Test(arguments: goodRequests.indices)
    func `a request cut anywhere is the same request`(index: Int) {
        let (text, said) = goodRequests[index]
        let bytes = Array(text.utf8)
        #expect(parseHTTP(bytes, cuts: { _ in 1 }) == said)
        for first in 1..<bytes.count {
            #expect(parseHTTP(bytes, cuts: { $0 == bytes.count ? first : $0 }) == said)
        }
    }

    @Test(arguments: goodRequests.indices)
    func `no prefix of a request yields more than the whole`(index: Int) {
        let (text, said) = goodRequests[index]
        let bytes = Array(text.utf8)
        for length in 0..<bytes.count {
            let part = parseHTTP(Array(bytes[..<length])).filter { $0 != "open" && !$0.hasPrefix("rest") }
            #expect(said.starts(with: part), "\(length)")
        }
    }

    @Test(arguments: goodRequests.indices)
    func `a corrupted byte is read alike in one piece and in many`(index: Int) {
        let bytes = Array(goodRequests[index].text.utf8)
        for position in bytes.indices {
            for value: UInt8 in [0, 9, 10, 13, 32, 58, 0x7F, 0xFF, bytes[position] ^ 0x20, bytes[position] ^ 1] {
                var corrupted = bytes
                corrupted[position] = value
                #expect(parseHTTP(corrupted) == parseHTTP(corrupted, cuts: { _ in 1 }), "\(position) \(value)")
            }
        }
    }

    @Test func `a header is found in any case, with all its values`() throws {
        let request = try request("GET / HTTP/1.1\r\nHost: a\r\nAccept: x, ,y\r\nACCEPT:\tz \r\n\r\n")
        #expect(request.header("accept") == "x, ,y")
        #expect(request.headers("Accept") == ["x, ,y", "z"])
        #expect(request.headerList("accept") == ["x", "y", "z"])
        #expect(request.header("missing") == nil)
    }

    @Test func `a client that waits for 100 Continue is told so before its body`() {
        var parser = HTTPRequestParser()
        let head = Array("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n".utf8)
        guard case (head.count, .wantsContinue) = head.withUnsafeBytes({ parser.feed($0) }) else {
            Issue.record("no wantsContinue")
            return
        }
        guard case (2, .request(let request)) = Array("hi".utf8).withUnsafeBytes({ parser.feed($0) }) else {
            Issue.record("no request")
            return
        }
        #expect(request.body == Array("hi".utf8))
        #expect(request.expectsContinue)
    }

    @Test func `a refused stream stays refused`() {
        var parser = HTTPRequestParser()
        for text in [" ", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            guard case (0, .failed(let failure)) = Array(text.utf8).withUnsafeBytes({ parser.feed($0) }) else {
                Issue.record("accepted")
                return
            }
            #expect(failure.status == 400)
            let isIdle = parser.isIdle
            #expect(!isIdle)
        }
    }

    @Test func `an idle parser is small`() {
        #expect(MemoryLayout<HTTPRequestParser>.size <= 128)
    }

    private func request(_ text: String) throws -> HTTPRequest {
        var parser = HTTPRequestParser()
        guard case (_, .request(let request)) = Array(text.utf8).withUnsafeBytes({ parser.feed($0) }) else {
            throw HTTPFailure.bad("no request")
        }
        return request
    }
}
