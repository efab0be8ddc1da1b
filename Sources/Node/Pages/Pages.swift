// The pages that the node serves from its own binary: the console, the overlay, the cluster and the client module. The files of
// `Assets` are compiled in, so there is nothing to install beside the binary and nothing to read while serving.
//
// Nothing here is inline, so the policy that goes with a page forbids inline script and style altogether.

import Protocol

/// One page, style sheet, script or picture, ready to send.
public struct Page: Sendable {
    /// Value of `Content-Type`.
    public let contentType: String
    /// The whole body, at most some tens of kilobytes.
    public let body: [UInt8]
    /// Value of `ETag`, quotes included: the same bytes have the same tag in every process.
    public let etag: String

    /// Value of `Content-Security-Policy` for every page: only what comes from the node itself, and its WebSocket.
    public static let contentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"

    /// Value of `Cache-Control` for every page: kept by browsers, but asked for again with its tag, so that an
    /// upgrade of the node is seen at once.
    public static let cacheControl = "no-cache"

    /// The page at a request's path, without its query; `nil` where there is none.
    ///
    /// An overlay's page is the same for every campaign; whether the campaign exists shows when it subscribes. Its
    /// address must hold an id in the one accepted form.
    public static func page(for path: String) -> Page? {
        switch path {
        case "/": console
        case "/console.css": consoleStyle
        case "/console.js": consoleScript
        case "/overlay.css": overlayStyle
        case "/overlay.js": overlayScript
        case "/admin": admin
        case "/admin.css": adminStyle
        case "/admin.js": adminScript
        case "/tumulte.js": client
        case "/favicon.svg": icon
        default: isOverlay(path) ? overlay : nil
        }
    }

    private static let console = Page(html, PackageResources.console_html)
    private static let consoleStyle = Page(css, PackageResources.console_css)
    private static let consoleScript = Page(javaScript, PackageResources.console_js)
    private static let overlay = Page(html, PackageResources.overlay_html)
    private static let overlayStyle = Page(css, PackageResources.overlay_css)
    private static let overlayScript = Page(javaScript, PackageResources.overlay_js)
    private static let admin = Page(html, PackageResources.admin_html)
    private static let adminStyle = Page(css, PackageResources.admin_css)
    private static let adminScript = Page(javaScript, PackageResources.admin_js)
    private static let client = Page(javaScript, PackageResources.tumulte_js)
    private static let icon = Page("image/svg+xml", PackageResources.favicon_svg)

    private static let html = "text/html; charset=utf-8"
    private static let css = "text/css; charset=utf-8"
    private static let javaScript = "text/javascript; charset=utf-8"

    private init(_ contentType: String, _ body: [UInt8]) {
        self.contentType = contentType
        self.body = body
        etag = Self.tag(of: body)
    }

    private static func isOverlay(_ path: String) -> Bool {
        let prefix = "/overlay/"
        guard path.hasPrefix(prefix) else { return false }
        return UUIDv7(String(path.dropFirst(prefix.count))) != nil
    }

    /// The length and a 64-bit FNV-1a hash, in hexadecimal; it tells versions of a file apart, nothing more.
    private static func tag(of body: [UInt8]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in body { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return "\"\(String(body.count, radix: 16))-\(String(hash, radix: 16))\""
    }
}
