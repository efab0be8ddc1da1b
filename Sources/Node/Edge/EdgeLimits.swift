/// Times after which an edge gives up on a connection, in seconds.
enum EdgeTimeouts {
    /// A request's head and body must be complete.
    static let headSeconds: UInt32 = 10
    /// The owner of a campaign must have answered; it says `timeout` itself long before.
    static let answerSeconds: UInt32 = 30
    /// A kept-alive connection may rest.
    static let idleSeconds: UInt32 = 60
    /// A WebSocket connection must present a token, where one is needed.
    static let helloSeconds: UInt32 = 10
    /// Between the server's pings.
    static let pingSeconds: UInt32 = 25
    /// A WebSocket peer may be silent.
    static let silenceSeconds: UInt32 = 60
    /// Between comments on an event stream.
    static let eventStreamPingSeconds: UInt32 = 15
    /// A connection without a request that a draining node closes has been silent for so long, rounded up.
    static let drainQuietSeconds: UInt32 = 2
    /// For the last bytes of a connection to leave.
    static let closingSeconds: UInt32 = 5
}

/// Bounds of what an edge keeps in memory for its connections.
enum EdgeBuffers {
    /// Capacity up to which a write buffer is kept for reuse.
    static let keptBytesLimit = 32 * 1024
    /// Write buffers that are kept.
    static let keptCountLimit = 256
    /// Commands of one connection that may wait for their answer; over it the edge stops reading.
    static let outstandingLimit = 1024
    /// Bytes of a pipelining client that may wait while a request is answered.
    static let unreadLimit = 128 * 1024
}
