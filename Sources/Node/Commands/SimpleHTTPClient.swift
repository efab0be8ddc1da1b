// One HTTP/1.1 request over a blocking socket, for commands that ask a node. Not for the node itself: it blocks.

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

enum SimpleHTTPClient {
    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]
    }

    /// Why there is no answer.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let timeoutSeconds = 30
    /// A plan that moves every slot between nodes with long names has 1.5 MB.
    static let answerBytesLimit = 4 << 20

    /// Sends a request and reads the whole answer.
    ///
    /// - Parameter body: JSON.
    static func send(
        _ method: String, _ url: String, _ path: String, bearer: String?, body: [UInt8]? = nil
    ) throws(Failure) -> Answer {
        let (host, port) = try parse(url)
        let socket = try connect(host, port)
        defer { _ = close(socket) }
        let name = host.contains(":") ? "[\(host)]" : host
        var request =
            "\(method) \(path) HTTP/1.1\r\nHost: \(name):\(port)\r\nConnection: close\r\n"
            + "Content-Length: \(body?.count ?? 0)\r\n"
        if body != nil { request += "Content-Type: application/json\r\n" }
        if let bearer { request += "Authorization: Bearer \(bearer)\r\n" }
        var bytes = (Array((request + "\r\n").utf8) + (body ?? []))[...]
        while !bytes.isEmpty {
            let sent = unsafe bytes.withUnsafeBytes { unsafe write(socket, $0.baseAddress, $0.count) }
            guard sent > 0 else { throw failure("sending to \(url)") }
            bytes = bytes.dropFirst(sent)
        }
        return try readAnswer(socket, url)
    }

    private static func parse(_ url: String) throws(Failure) -> (host: String, port: String) {
        guard url.hasPrefix("http://") else { throw Failure(description: "\(url): the URL must begin with http://") }
        var authority = url.dropFirst("http://".count)
        while authority.hasSuffix("/") { authority.removeLast() }
        var port = "80"
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            port = String(authority[authority.index(after: colon)...])
            authority = authority[..<colon]
        }
        if authority.hasPrefix("["), authority.hasSuffix("]") { authority = authority.dropFirst().dropLast() }
        guard !authority.isEmpty, !authority.contains("/") else {
            throw Failure(description: "\(url): the URL must be http://host:port")
        }
        return (String(authority), port)
    }

    private static func connect(_ host: String, _ port: String) throws(Failure) -> Int32 {
        var hints = unsafe addrinfo()
        #if canImport(Glibc)
            unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
            hints.ai_socktype = SOCK_STREAM
        #endif
        var found: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, port, &hints, &found) == 0, let first = unsafe found else {
            throw Failure(description: "the name \(host) is unknown")
        }
        defer { unsafe freeaddrinfo(first) }
        var entry = unsafe Optional(first)
        while let address = unsafe entry {
            let info = unsafe address.pointee
            let socket = unsafe socket(info.ai_family, info.ai_socktype, info.ai_protocol)
            if socket >= 0 {
                var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
                let size = socklen_t(MemoryLayout<timeval>.size)
                unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
                unsafe setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
                if unsafe Glibc_connect(socket, info.ai_addr, info.ai_addrlen) == 0 { return socket }
                _ = close(socket)
            }
            unsafe entry = info.ai_next
        }
        throw failure("connecting to \(host):\(port)")
    }

    private static func readAnswer(_ socket: Int32, _ url: String) throws(Failure) -> Answer {
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 * 1024)
        while content.count <= answerBytesLimit {
            let count = unsafe read(socket, &chunk, chunk.count)
            guard count >= 0 else { throw failure("reading from \(url)") }
            if count == 0 { break }
            content.append(contentsOf: chunk[..<count])
        }
        let text = String(decoding: content.prefix(64), as: UTF8.self)
        let words = text.split(separator: " ", maxSplits: 2)
        guard words.count > 1, words[0].hasPrefix("HTTP/1."), let status = Int(words[1].prefix(3)),
            let end = headEnd(content)
        else { throw Failure(description: "\(url) did not answer with HTTP") }
        return Answer(status: status, body: Array(content[end...]))
    }

    /// Where the body begins.
    private static func headEnd(_ content: [UInt8]) -> Int? {
        guard content.count >= 4 else { return nil }
        return (0...(content.count - 4)).first { Array(content[$0..<($0 + 4)]) == [13, 10, 13, 10] }.map { $0 + 4 }
    }

    private static func failure(_ doing: String) -> Failure {
        unsafe Failure(description: "\(doing): \(String(cString: strerror(errno)))")
    }
}

private func Glibc_connect(_ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>, _ size: socklen_t) -> Int32 {
    unsafe connect(socket, address, size)
}
