// The head of every answer, with the headers that every answer carries.

import Web

enum ResponseHeaders {
    /// Nothing that an API answer could make a browser load.
    static let apiPolicy = "default-src 'none'; frame-ancestors 'none'"

    /// The headers that a refusal of the HTTP layer asks for, as names of this program's own.
    static func known(_ headers: [HTTPHeader]) -> [(StaticString, String)] {
        let names: [StaticString] = ["Upgrade", "Sec-WebSocket-Version", "Allow"]
        return headers.compactMap { header in
            names.first { $0.description == header.name }.map { ($0, header.value) }
        }
    }

    static func appendHead(
        status: Int, contentType: String, bodyBytes: Int?, exchange: Exchange, node: String, policy: String,
        headers: [(StaticString, String)], closes: Bool, date: [UInt8],
        to output: inout [UInt8]
    ) {
        var head = HTTPResponseHead(status: status)
        if status != 204, status != 304 { head.add("Content-Type", contentType) }
        head.add("X-Request-ID", exchange.requestID)
        head.add("X-Tumulte-Node", node)
        head.add("X-Content-Type-Options", "nosniff")
        head.add("Referrer-Policy", "no-referrer")
        head.add("Cross-Origin-Resource-Policy", "same-origin")
        head.add("Content-Security-Policy", policy)
        var namesCache = false
        for (name, value) in headers {
            head.add(name, value)
            namesCache = namesCache || name.description == "Cache-Control"
        }
        if !namesCache { head.add("Cache-Control", "no-store") }
        if let origin = exchange.allowedOrigin {
            head.add("Access-Control-Allow-Origin", origin)
            head.add("Access-Control-Expose-Headers", "X-Request-ID, X-Tumulte-Node, Retry-After")
            head.add("Vary", "Origin")
        }
        let framing: HTTPResponseFraming
        if status == 204 || status == 304 {
            framing = .none
        } else if let bodyBytes {
            framing = .length(bodyBytes)
        } else {
            framing = .untilClose
        }
        head.append(
            framing: framing, date: date, keepAlive: !closes, minorVersion: exchange.minorVersion, into: &output)
    }
}
