// The id of an HTTP request: the client's own from `X-Request-ID`, or one that the node made which was asked. It stands
// in the answer and in the log of that node, and goes with the request's commands to the node that serves the campaign,
// whose log has it too. Messages of a WebSocket have none: their marks mean something on their connection alone.

import Protocol

enum HTTPRequestID {
    /// Bytes of an id.
    static let bytes = 1...Limits.requestIDBytesLimit

    /// Whether an id may be sent back, logged and passed on: visible ASCII in one word.
    static func isFit(_ text: String) -> Bool {
        bytes.contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}

extension ReplyTicket {
    /// The id of the HTTP request that the command came in; `nil` for what came otherwise.
    var httpRequest: String? {
        guard isOfHTTP, case .string(let id)? = request else { return nil }
        return id
    }

    /// The same way back for a command that came in this HTTP request, if in any.
    func with(httpRequest id: String?) -> ReplyTicket {
        guard let id else { return self }
        var ticket = self
        ticket.request = .string(id)
        ticket.isOfHTTP = true
        return ticket
    }
}

/// Commands of one HTTP request in a row, among others.
struct RequestTrace: Sendable, Equatable {
    let id: String
    /// Their places.
    var commands: Range<Int>
}
