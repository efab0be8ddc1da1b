import Testing

@testable import Node

struct BrowserOriginTests {
    @Test(
        arguments: [
            ("https://studio.example", "https://studio.example"), ("HTTPS://Studio.EXAMPLE", "https://studio.example"),
            ("https://a.example:443", "https://a.example"), ("http://a.example:80", "http://a.example"),
            ("http://a.example:443", "http://a.example:443"), ("https://a.example:8443", "https://a.example:8443"),
            ("http://localhost:5173", "http://localhost:5173"), ("http://127.0.0.1:1", "http://127.0.0.1:1"),
            ("http://[::1]:65535", "http://[::1]:65535"), ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("https://my_host-1.example", "https://my_host-1.example"),
        ] as [(String, String)])
    func `an origin is kept in the form that browsers send`(text: String, origin: String) {
        #expect(BrowserOrigin.normalized(text) == origin)
    }

    @Test(arguments: [
        "", "studio.example", "*", "null", "ftp://a.example", "https://", "https://*.example", "https://*",
        "https://:443", "https://a.example:", "https://a.example:0", "https://a.example:65536", "https://a.example:+1",
        "https://a.example:080", "https://a.example:x", "https://a.example:1:2", "https://a.example/",
        "https://a.example/path", "https://a.example?q", "https://a.example#f", "https://user@a.example",
        "https://a b.example", "https://a.example\\b", "https://.example", "https://a..example", "https://a.example.",
        "https://-a.example", "https://a-.example", "https://1.2.3", "https://1.2.3.256", "https://[::1",
        "https://[::g]",
        "https://[::1]x", "https://[]", "https://münchen.example", "https://a.example\n", "https:///a", "https//a",
    ])
    func `what no browser sends is refused`(text: String) { #expect(BrowserOrigin.normalized(text) == nil) }

    @Test func `labels and names end at their lengths`() {
        func label(_ count: Int) -> String { String(repeating: "x", count: count) }
        #expect(BrowserOrigin.normalized("https://\(label(63)).example") != nil)
        #expect(BrowserOrigin.normalized("https://\(label(64)).example") == nil)
        let long = Array(repeating: label(62), count: 4).joined(separator: ".")
        #expect(long.utf8.count == 251)
        #expect(BrowserOrigin.normalized("https://\(long).x") != nil)
        #expect(BrowserOrigin.normalized("https://\(long).xx") == nil)
    }

    @Test func `a list may have blanks around its commas, and names each origin once`() {
        #expect(
            BrowserOrigin.parseList(" https://a.example , http://b.example:81,https://A.example:443 ")
                == ["https://a.example", "http://b.example:81"])
        for text in ["https://a.example,", ",https://a.example", "https://a.example,,https://b.example", " ", ","] {
            #expect(BrowserOrigin.parseList(text) == nil, "\(text)")
        }
    }
}
