// The thin wrapper over hiredis' asynchronous interface: one connection on one loop. Not thread-safe; it lives inside
// one `RedisSession`.
//
// The library calls back from inside the calls that drive it, and may free itself there. So its callbacks only write
// down what happened; the session reads that after the library has returned, and nobody calls the library from within.
//
// Replies come in the order of the commands, so every command has the same callback, and the session keeps the queue.
// The library always holds one callback more than there are commands: a reply that nobody asked for would otherwise
// run into an assertion of the library and end the process.

internal import CHiredis
internal import Platform

/// A connection of hiredis.
@safe
final class HiredisContext {
    /// What the library told.
    enum Event {
        case connected
        case reply(RedisValue)
        /// A reply of a kind that RESP2 does not have.
        case unreadable
    }

    /// What the library's callbacks see. It outlives the library's object, which holds it unretained.
    @safe fileprivate final class Hooks {
        var context: UnsafeMutablePointer<redisAsyncContext>?
        var poll: PollHandle?
        var watched: Readiness = []
        var events: [Event] = []
        var failure = "the connection broke"
        /// Callbacks that the library still holds.
        var callbacks = 0
        /// What the library's reader makes replies with.
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)

        deinit { unsafe functions.deallocate() }
    }

    private let hooks = Hooks()

    /// Begins to connect to a numeric address; `handler` runs on the loop and is to call `drive`.
    init(
        _ address: TCPAddress, on loop: EventLoop, handler: @escaping @Sendable (Readiness) -> Void
    ) throws(RedisError) {
        guard let context = unsafe redisAsyncConnect(address.host, Int32(address.port)) else {
            throw RedisError(.notSent, .connecting, "no memory for a connection")
        }
        guard unsafe context.pointee.err == 0 else {
            let text = unsafe Self.error(of: context)
            unsafe redisAsyncFree(context)
            throw RedisError(.notSent, .connecting, text)
        }
        do throws(SystemError) {
            hooks.poll = try PollHandle(descriptor: unsafe Int32(context.pointee.c.fd), on: loop, handler: handler)
        } catch {
            unsafe redisAsyncFree(context)
            throw RedisError(.notSent, .connecting, error.description)
        }
        unsafe hooks.context = context
        unsafe tumulte_redis_bound_arrays(context.pointee.c.reader, hooks.functions)
        let data = unsafe Unmanaged.passUnretained(hooks).toOpaque()
        unsafe context.pointee.data = data
        unsafe context.pointee.ev.data = data
        unsafe context.pointee.ev.addRead = { unsafe Hooks.of($0)?.watch(adding: .readable) }
        unsafe context.pointee.ev.delRead = { unsafe Hooks.of($0)?.watch(removing: .readable) }
        unsafe context.pointee.ev.addWrite = { unsafe Hooks.of($0)?.watch(adding: .writable) }
        unsafe context.pointee.ev.delWrite = { unsafe Hooks.of($0)?.watch(removing: .writable) }
        unsafe context.pointee.ev.cleanup = { unsafe Hooks.of($0)?.ended() }
        // This asks for the socket to be watched until it can be written, which is when it is connected.
        unsafe redisAsyncSetConnectCallback(context) { context, status in
            guard status == REDIS_OK, let context = unsafe context else { return }
            unsafe Hooks.of(context.pointee.data)?.events.append(.connected)
        }
        hooks.expectReply()
    }

    deinit { finish() }

    // MARK: - Use

    /// Whether the library still has the connection; `nil`, or why not.
    var failure: String? { unsafe hooks.context == nil ? hooks.failure : nil }

    /// The library's connection, while it has it.
    var open: UnsafeMutablePointer<redisAsyncContext>? { unsafe hooks.context }

    /// Bytes of a reply that is not complete.
    var bufferedByteCount: Int { unsafe hooks.context.map { unsafe Int($0.pointee.c.reader.pointee.len) } ?? 0 }

    /// Lets the library use the socket. A poll error is passed on as readiness for both: only by using the socket does
    /// the library find out that it was refused.
    func drive(_ ready: Readiness) {
        if ready.contains(.readable), let context = unsafe hooks.context { unsafe redisAsyncHandleRead(context) }
        if ready.contains(.writable), let context = unsafe hooks.context { unsafe redisAsyncHandleWrite(context) }
    }

    /// Hands over what happened since the last call.
    func takeEvents() -> [Event] {
        let events = hooks.events
        hooks.events = []
        return events
    }

    /// Puts a command into the output; `false`: the connection is over, and nothing left.
    func send(_ command: EncodedCommand) -> Bool {
        guard let context = unsafe hooks.context else { return false }
        let status = unsafe command.bytes.withUnsafeBytes { buffer -> Int32 in
            let start = unsafe buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self)
            // Word by word: a pointer and a length. A name is never empty, so there is a base address.
            var words = unsafe [UnsafePointer<CChar>?]()
            var lengths: [Int] = []
            var offset = 0
            for end in command.ends {
                unsafe words.append(start + offset)
                lengths.append(end - offset)
                offset = end
            }
            return unsafe redisAsyncCommandArgv(context, Hooks.replied, nil, Int32(lengths.count), &words, lengths)
        }
        guard status == REDIS_OK else { return false }
        hooks.callbacks += 1
        return true
    }

    /// Ends the watch and closes the socket, at once; safe to repeat, never from within `drive`.
    func finish() {
        guard let context = unsafe hooks.context else { return }
        hooks.failure = "this side closed the connection"
        unsafe redisAsyncFree(context)
    }

    static func error(of context: UnsafePointer<redisAsyncContext>) -> String {
        guard let text = unsafe context.pointee.errstr else { return "the connection broke" }
        let words = unsafe String(cString: text)
        return words.isEmpty ? "the connection broke" : words
    }
}

extension HiredisContext.Hooks {
    fileprivate static func of(_ data: UnsafeMutableRawPointer?) -> HiredisContext.Hooks? {
        unsafe data.map { unsafe Unmanaged<HiredisContext.Hooks>.fromOpaque($0).takeUnretainedValue() }
    }

    fileprivate func watch(adding events: Readiness) {
        watched.formUnion(events)
        // Asked again even where nothing changed: the loop stops a watch by itself when it reports an error.
        poll?.watch(watched)
    }

    fileprivate func watch(removing events: Readiness) {
        watched.subtract(events)
        poll?.watch(watched)
    }

    /// The library frees itself and closes the descriptor right after: the watch must end before.
    fileprivate func ended() {
        poll?.close()
        poll = nil
        guard let context = unsafe context else { return }
        if unsafe context.pointee.err != 0 { failure = unsafe HiredisContext.error(of: context) }
        unsafe self.context = nil
    }

    /// Registers a callback without sending a command: the library looks at the words, and adds none of them.
    fileprivate func expectReply() {
        guard let context = unsafe context else { return }
        let status = unsafe redisAsyncFormattedCommand(context, Self.replied, nil, "$4\r\nPING\r\n", 0)
        if status == REDIS_OK { callbacks += 1 }
    }

    fileprivate static let replied:
        @convention(c) (
            UnsafeMutablePointer<redisAsyncContext>?, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?
        ) -> Void = { context, reply, _ in
            // Without a reply the library is about to free itself; the session learns that by itself.
            guard let context = unsafe context, let reply = unsafe reply,
                let hooks = unsafe of(context.pointee.data)
            else { return }
            hooks.callbacks -= 1
            if hooks.callbacks == 0 { hooks.expectReply() }
            let value = unsafe RedisValue(reply.assumingMemoryBound(to: redisReply.self))
            hooks.events.append(value.map { .reply($0) } ?? .unreadable)
        }
}

extension RedisValue {
    /// Copies a reply of the library, which nests no deeper than nine arrays; `nil` for kinds beyond RESP2.
    fileprivate init?(_ reply: UnsafePointer<redisReply>) {
        switch unsafe reply.pointee.type {
        case REDIS_REPLY_NIL: self = .null
        case REDIS_REPLY_INTEGER: self = .integer(unsafe reply.pointee.integer)
        case REDIS_REPLY_STRING: self = .bytes(unsafe Array(Self.bytes(of: reply)))
        case REDIS_REPLY_STATUS: self = .status(unsafe String(decoding: Self.bytes(of: reply), as: UTF8.self))
        case REDIS_REPLY_ERROR:
            self = .error(RedisReplyError(unsafe String(decoding: Self.bytes(of: reply), as: UTF8.self)))
        case REDIS_REPLY_ARRAY:
            var values: [RedisValue] = []
            values.reserveCapacity(unsafe reply.pointee.elements)
            for index in 0..<(unsafe reply.pointee.elements) {
                guard let element = unsafe reply.pointee.element[index], let value = unsafe RedisValue(element) else {
                    return nil
                }
                values.append(value)
            }
            self = .array(values)
        default: return nil
        }
    }

    private static func bytes(of reply: UnsafePointer<redisReply>) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len)
    }
}
