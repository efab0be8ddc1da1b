// The state of one accepted connection. It belongs to its edge and is touched on its edge's loop alone.
//
//   http ─► webSocket      upgrade
//        └► eventStream    Server-Sent Events
//   any  ─► closing        what is queued leaves, then the socket goes

import Platform
import Protocol
import Web

/// One request of an HTTP connection that waits for its answer.
struct Exchange {
    /// Echoed in `X-Request-ID`.
    var requestID: String
    var method = HTTPMethod.other
    var route: Route?
    var keepAlive: Bool
    var isHead: Bool
    /// The client's minor version of HTTP/1.
    var minorVersion = 1
    /// Set for a vote: how its results are wrapped.
    var votes: VoteResults?
    /// Browser origin to allow, where there is one.
    var allowedOrigin: String?
}

/// Results of a single vote or of a batch, in the order of the request.
struct VoteResults {
    let isBatch: Bool
    var results: [Result<(status: VoteStatus, position: Position), ClientError>?]
    var remaining: Int
}

/// A subscription of one connection.
struct Subscription {
    let topic: Topic
    let variant: WireVariant
    /// The client's mark on the message that asked for it.
    let request: RequestID?
    /// The connection's place in the topic; negative while the answer is awaited.
    var place: Int
}

final class Connection {
    enum Phase {
        case http
        case webSocket
        case eventStream
        case closing
    }

    let stream: TCPStream
    let index: UInt32
    let generation: UInt32

    var phase = Phase.http
    var principal: Principal?
    /// When the token that opened this connection expires.
    var expiresAt: Timestamp?

    // Writing: `tail` is what this turn appends; `lane` is what waits while the socket takes nothing.
    var tail: [UInt8] = []
    var lane = Lane()
    var isDirty = false
    /// Bytes are still to be written before the socket closes.
    var closesWhenDrained = false

    // HTTP
    var parser: HTTPRequestParser
    var exchange: Exchange?
    /// Bytes that came while an answer was awaited.
    var unread: [UInt8] = []
    /// The client sends nothing more: the connection ends with the last answer.
    var hasPeerFinished = false
    /// Guards against recursion: an answer that is ready at once is followed by the next request in the same loop.
    var isFeeding = false

    // WebSocket
    var webSocket: WebSocketState?
    var subscriptions: [Subscription] = []
    /// Commands without an answer yet.
    var outstanding = 0
    var isReadingPaused = false

    // Drain
    /// It came when the drain had begun: it gets one answer.
    var isLate = false
    /// Nothing more is taken from it; it is told to leave once its last answer is out.
    var isLeaving = false

    // Deadlines, in seconds of the edge's clock
    var lastHeard: UInt32
    var deadline: UInt32
    var deadlineMeaning = DeadlineMeaning.none
    /// The second under which the wheel holds this connection; `nil` where it does not.
    var filedUnder: UInt32?

    enum DeadlineMeaning {
        /// The head or body of a request must be complete.
        case head
        /// The next request must begin.
        case idle
        /// A WebSocket connection must say who it is.
        case hello
        /// Ping or give up.
        case heartbeat
        /// The owner must have answered.
        case answer
        /// What is queued must have left.
        case closing
        /// Nothing is waited for.
        case none
    }

    init(stream: TCPStream, index: UInt32, generation: UInt32, now: UInt32, limits: HTTPLimits) {
        parser = HTTPRequestParser(limits: limits)
        self.stream = stream
        self.index = index
        self.generation = generation
        lastHeard = now
        deadline = now
    }

    /// The topic gave this connection another place in its list.
    func moved(in topic: Topic, to place: Int) {
        guard let index = subscriptions.firstIndex(where: { $0.topic === topic }) else { return }
        subscriptions[index].place = place
    }
}

/// What only a WebSocket connection has.
final class WebSocketState {
    var parser: WebSocketFrameParser
    let isBinary: Bool
    let deflates: Bool
    /// The voter named in `hello` by a service.
    var voter: String?
    var limiter: MessageRateLimiter?
    /// Refusals in a row for too many messages.
    var rateRefusals = 0
    var lastPing: UInt32
    /// A close frame was sent; the peer's is awaited.
    var closeSent = false

    init(parser: WebSocketFrameParser, isBinary: Bool, deflates: Bool, now: UInt32) {
        self.parser = parser
        self.isBinary = isBinary
        self.deflates = deflates
        lastPing = now
    }

    var variant: WireVariant {
        switch (isBinary, deflates) {
        case (false, false): .json
        case (false, true): .jsonDeflated
        case (true, false): .binary
        case (true, true): .binaryDeflated
        }
    }
}
