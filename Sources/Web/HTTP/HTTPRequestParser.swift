// The machine that turns what a connection reads into requests.
//
//   bytes ─► guard (grammar, limits) ─► lexer (C parser) ─► head (meaning) ─► body ─► request
//
// It does no input or output and knows no time: the caller reads, answers, arms the 408 timer and closes. Between
// requests it holds nothing, so an idle keep-alive connection costs only the size of this struct.

/// Parses the requests of one connection, one after the other.
///
/// Call `feed` with what was read. It takes the bytes up to the end of one request and no further, so that pipelined
/// requests are answered in order: feed the rest after the answer. Behind a WebSocket upgrade the rest is frames.
public struct HTTPRequestParser: ~Copyable {
    /// What a call of `feed` led to.
    public enum Outcome: Sendable {
        /// All bytes were taken; the request goes on.
        case needMore
        /// The client waits for `HTTPResponseHead.continueResponse` before it sends the body. Said once, and only
        /// where the body was not under way yet; then feed on.
        case wantsContinue
        /// One whole request.
        case request(HTTPRequest)
        /// Answer with this and close. Every later call says the same.
        case failed(HTTPFailure)
    }

    /// A request under way; in a box of its own, so that an idle connection does not carry its size.
    private final class Work {
        var lexer = HTTPLexer()
        var head: [UInt8] = []
        var stage = Stage.head(HTTPHeadGuard())
    }

    private enum Stage {
        case head(HTTPHeadGuard)
        case length(HTTPRequest, remaining: Int)
        case chunked(HTTPRequest, HTTPChunkGuard)
    }

    private let limits: HTTPLimits
    private var work: Work?
    private var failure: HTTPFailure?

    /// A parser before its first request.
    public init(limits: HTTPLimits = HTTPLimits()) {
        self.limits = limits
    }

    /// Whether no byte of a request has come: the connection is idle, and may be closed without losing anything.
    public var isIdle: Bool {
        guard let work else { return failure == nil }
        if case .head(let guarding) = work.stage { return guarding.isAtStart }
        return false
    }

    /// Takes bytes up to the end of the current request.
    ///
    /// - Returns: how many bytes were taken, and what they led to. All are taken with `.needMore`; the body's bytes
    ///   stay untaken with `.wantsContinue` (there are none yet); nothing more is to be fed after `.failed`.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> (consumed: Int, outcome: Outcome) {
        if let failure { return (0, .failed(failure)) }
        guard unsafe !bytes.isEmpty else { return (0, .needMore) }
        let current = work.take() ?? Work()
        do throws(HTTPFailure) {
            let (consumed, outcome) = try unsafe advance(current, bytes)
            if case .request = outcome { return (consumed, outcome) }
            work = current
            return (consumed, outcome)
        } catch {
            failure = error
            return (0, .failed(error))
        }
    }

    private func advance(
        _ work: Work, _ bytes: UnsafeRawBufferPointer
    ) throws(HTTPFailure) -> (consumed: Int, outcome: Outcome) {
        var taken = 0
        if case .head(var guarding) = work.stage {
            let span = unsafe bytes.bytes
            switch guarding.scan(Span(_bytes: span), limits: limits) {
            case .refused(let failure): throw failure
            case .more:
                unsafe work.head.append(contentsOf: bytes)
                work.stage = .head(guarding)
                return (bytes.count, .needMore)
            case .ended(let count):
                taken = count
                unsafe work.head.append(contentsOf: bytes[..<count])
            }
            if let request = try finishHead(work) { return (taken, .request(request)) }
            if case .length(let request, _) = work.stage, request.expectsContinue, taken == bytes.count {
                return (taken, .wantsContinue)
            }
            if case .chunked(let request, _) = work.stage, request.expectsContinue, taken == bytes.count {
                return (taken, .wantsContinue)
            }
        }
        let (count, request) = try unsafe advanceBody(work, UnsafeRawBufferPointer(rebasing: bytes[taken...]))
        return (taken + count, request.map { .request($0) } ?? .needMore)
    }

    /// Cuts and checks the whole head. Returns the request if it has no body.
    private func finishHead(_ work: Work) throws(HTTPFailure) -> HTTPRequest? {
        let outcome = unsafe work.head.withUnsafeBytes { bytes in unsafe work.lexer.execute(bytes) }
        let ended = work.lexer.gathered.messageEnded
        switch outcome {
        case .fine(let consumed): guard consumed == work.head.count else { throw .bad("The request is malformed.") }
        case .unknownMethod: throw HTTPFailure(501, "bad_request", "The method is not known.")
        case .malformed: throw .bad("The request is malformed.")
        }
        guard work.lexer.gathered.headEnded else { throw .bad("The request is malformed.") }
        let (request, framing) = try HTTPHead.read(
            work.head, work.lexer.gathered.fields, keepAlive: ended ? work.lexer.gathered.keepAlive : nil,
            limits: limits)
        work.head = []
        // Two parsers must agree on whether there is a body, or the message is one that servers read differently.
        guard ended == (framing == .none) else { throw .bad("The request's length is ambiguous.") }
        switch framing {
        case .none: return request
        case .length(let length): work.stage = .length(request, remaining: length)
        case .chunked: work.stage = .chunked(request, HTTPChunkGuard())
        }
        return nil
    }

    /// Takes body bytes; returns the request once it is whole.
    private func advanceBody(
        _ work: Work, _ bytes: UnsafeRawBufferPointer
    ) throws(HTTPFailure) -> (consumed: Int, request: HTTPRequest?) {
        let count: Int
        let ended: Bool
        var request: HTTPRequest
        switch work.stage {
        case .head: preconditionFailure("a body before its head")
        case .length(let pending, let remaining):
            count = min(remaining, bytes.count)
            ended = count == remaining
            request = pending
            work.stage = .length(pending, remaining: remaining - count)
        case .chunked(let pending, var guarding):
            let span = unsafe bytes.bytes
            switch guarding.scan(Span(_bytes: span), limits: limits) {
            case .refused(let failure): throw failure
            case .more: (count, ended) = (bytes.count, false)
            case .ended(let end): (count, ended) = (end, true)
            }
            request = pending
            work.stage = .chunked(pending, guarding)
        }
        let outcome = unsafe work.lexer.execute(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        guard outcome == .fine(consumed: count), work.lexer.gathered.messageEnded == ended else {
            throw .bad("The request's body is malformed.")
        }
        guard ended else { return (count, nil) }
        request.body = work.lexer.gathered.body
        return (count, request)
    }
}
