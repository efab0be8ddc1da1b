// Server-Sent Events: the lines of an event stream, and the position that a reconnecting client sends back.

/// Writes and reads what an event stream consists of.
public enum ServerSentEvents {
    /// The media type of a stream.
    public static let mediaType = "text/event-stream"

    /// Appends one event.
    ///
    /// - Parameters:
    ///   - name: the event's name; a line break in it is a programming error and stops the process.
    ///   - position: becomes `id: epoch-seq`; nil leaves the client's last id as it was.
    ///   - data: UTF-8 text; each of its lines (LF, CR LF or CR) becomes a `data:` line.
    public static func append(
        event name: String, position: (epoch: UInt64, seq: UInt64)?, data: UnsafeRawBufferPointer,
        into out: inout [UInt8]
    ) {
        precondition(!name.utf8.contains { $0 == 10 || $0 == 13 }, "a line break in an event's name")
        out.append(contentsOf: "event: ".utf8)
        out.append(contentsOf: name.utf8)
        if let position {
            out.append(contentsOf: "\nid: ".utf8)
            out.append(contentsOf: String(position.epoch).utf8)
            out.append(0x2D)
            out.append(contentsOf: String(position.seq).utf8)
        }
        out.append(contentsOf: "\ndata: ".utf8)
        var wasCR = false
        for index in 0..<data.count {
            let byte = unsafe data[index]
            if byte == 10, wasCR {
                wasCR = false
                continue
            }
            wasCR = byte == 13
            if byte == 10 || byte == 13 {
                out.append(contentsOf: "\ndata: ".utf8)
            } else {
                out.append(byte)
            }
        }
        out.append(contentsOf: "\n\n".utf8)
    }

    /// Appends one event; see the other form.
    public static func append(
        event name: String, position: (epoch: UInt64, seq: UInt64)?, data: [UInt8], into out: inout [UInt8]
    ) {
        unsafe data.withUnsafeBytes { bytes in
            unsafe append(event: name, position: position, data: bytes, into: &out)
        }
    }

    /// Appends a comment, which keeps the connection busy and means nothing.
    public static func appendPing(into out: inout [UInt8]) {
        out.append(contentsOf: ": ping\n\n".utf8)
    }

    /// Appends how long a client should wait before it reconnects.
    public static func appendRetry(milliseconds: Int, into out: inout [UInt8]) {
        out.append(contentsOf: "retry: \(max(0, milliseconds))\n\n".utf8)
    }

    /// Reads a `Last-Event-ID`: two decimal numbers below 2^53 with a hyphen, without signs, blanks or leading zeros.
    public static func parseLastEventID(_ text: String) -> (epoch: UInt64, seq: UInt64)? {
        let parts = text.utf8.split(separator: 0x2D, maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 2, let epoch = number(parts[0]), let seq = number(parts[1]) else { return nil }
        return (epoch, seq)
    }

    private static func number(_ digits: Substring.UTF8View) -> UInt64? {
        guard (1...16).contains(digits.count), digits.allSatisfy(HTTPByte.isDigit) else { return nil }
        guard digits.count == 1 || digits.first != 0x30 else { return nil }
        let value = digits.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 0x30) }
        return value < 1 << 53 ? value : nil
    }
}
