// Browser origins as `TUMULTE_ORIGINS` lists them, in the one form in which a browser writes them (RFC 6454, 6.2): scheme
// and host in lower case, the port only where it is not the scheme's own. What a browser never sends is refused, since
// it would be a rule that never holds.

import Platform

enum BrowserOrigin {
    /// Origins separated by commas, each once; `nil` where one of them is none.
    static func parseList(_ text: String) -> [String]? {
        var origins: [String] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let origin = normalized(part.trimmingBlanks()) else { return nil }
            if !origins.contains(origin) { origins.append(origin) }
        }
        return origins
    }

    /// The form that browsers send; `nil` for anything but `http` or `https`, a host and perhaps a port.
    static func normalized(_ text: some StringProtocol) -> String? {
        let text = text.lowercased()
        for (scheme, ownPort) in [("https://", "443"), ("http://", "80")] where text.hasPrefix(scheme) {
            let authority = text.dropFirst(scheme.count)
            guard let (written, port) = split(authority), let host = host(written) else { return nil }
            guard let port else { return scheme + host }
            guard isPort(port) else { return nil }
            return port == ownPort ? scheme + host : "\(scheme)\(host):\(port)"
        }
        return nil
    }

    /// Host and port; the colons of an address in brackets are its own.
    private static func split(_ authority: Substring) -> (host: Substring, port: Substring?)? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let rest = authority[authority.index(after: end)...]
            if rest.isEmpty { return (authority, nil) }
            return rest.hasPrefix(":") ? (authority[...end], rest.dropFirst()) : nil
        }
        guard let colon = authority.firstIndex(of: ":") else { return (authority, nil) }
        return (authority[..<colon], authority[authority.index(after: colon)...])
    }

    /// From 1 to 65535, as browsers write it: without a sign or a leading zero.
    private static func isPort(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, (0x31...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { (0x30...0x39).contains($0) } && UInt16(text) != nil
    }

    /// An address in its shortest form, or a name of labels of letters, digits, hyphens and underscores.
    private static func host(_ text: Substring) -> String? {
        if text.hasPrefix("[") || text.utf8.allSatisfy({ $0 == 0x2E || (0x30...0x39).contains($0) }) {
            return TCPAddress("\(text):1").map { String($0.description.dropLast(2)) }
        }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        return text.utf8.count <= 253 && labels.allSatisfy(isLabel) ? String(text) : nil
    }

    private static func isLabel(_ label: Substring) -> Bool {
        let bytes = label.utf8
        return (1...63).contains(bytes.count) && bytes.first != 0x2D && bytes.last != 0x2D
            && bytes.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F
            }
    }
}
