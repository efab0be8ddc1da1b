// Names to addresses without blocking the loop: libuv asks the system's resolver on a thread of its pool. The pool is
// small and a query to a dead name server takes long, so callers that ask for the same name share one query, and a
// caller whose deadline has passed leaves while the query goes on for the next one.

internal import CUV

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Why a name gave no address.
public enum ResolveError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The resolver's answer, in words.
    case failed(host: String, reason: String)
    /// No answer by the deadline.
    case timedOut(host: String)
    /// Too many queries run, or the resolver was closed.
    case refused(host: String)

    /// One line for the log.
    public var description: String {
        switch self {
        case .failed(let host, let reason): "resolving \(host): \(reason)"
        case .timedOut(let host): "resolving \(host): no answer in time"
        case .refused(let host): "resolving \(host): refused, too many queries run or the resolver is closed"
        }
    }
}

/// Resolves names for the actors of one loop.
public actor AddressResolver {
    /// Names that are asked for at a time.
    public static let queriesLimit = 16
    /// Addresses of one name that are returned.
    public static let addressesLimit = 16

    /// The loop it lives on.
    public nonisolated let loop: EventLoop
    /// The executor is the loop.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private typealias Answer = Result<[TCPAddress], ResolveError>

    private struct Waiter {
        let id: UInt64
        let timer: LoopTimer
        let continuation: CheckedContinuation<Answer, Never>
    }

    private var waiters: [String: [Waiter]] = [:]
    private var lastID: UInt64 = 0
    private var isClosed = false

    /// Makes a resolver without queries.
    public init(on loop: EventLoop) { self.loop = loop }

    /// The addresses of a host, in the order of the system's preference, with port 0. Numeric ones come back at once.
    public func resolve(_ host: String, deadline: MonotonicTime) async throws(ResolveError) -> [TCPAddress] {
        if let numeric = TCPAddress("\(host):0") ?? TCPAddress("[\(host)]:0") { return [numeric] }
        guard !host.isEmpty, !host.utf8.contains(0) else { throw .failed(host: host, reason: "not a name") }
        let answer: Answer = await withCheckedContinuation { continuation in
            let now = MonotonicTime.now
            guard !isClosed, waiters[host] != nil || waiters.count < Self.queriesLimit else {
                return continuation.resume(returning: .failure(.refused(host: host)))
            }
            guard now < deadline else { return continuation.resume(returning: .failure(.timedOut(host: host))) }
            lastID += 1
            let id = lastID
            let timer = LoopTimer(on: loop) { [self] in
                assumeIsolated { $0.give(.failure(.timedOut(host: host)), host: host, to: id) }
            }
            timer.schedule(afterNanoseconds: deadline.nanoseconds - now.nanoseconds)
            let isAsked = waiters[host] != nil
            waiters[host, default: []].append(Waiter(id: id, timer: timer, continuation: continuation))
            if !isAsked { ask(host) }
        }
        return try answer.get()
    }

    /// Refuses further questions and fails those that wait. A query that runs is left to end by itself; the loop ends
    /// after it.
    public func close() {
        isClosed = true
        for host in waiters.keys { answer(host, .failure(.refused(host: host))) }
    }

    private func ask(_ host: String) {
        let query = ResolverQuery { [self] answer in assumeIsolated { $0.answer(host, answer) } }
        if let error = query.start(host, on: loop) { answer(host, .failure(error)) }
    }

    private func answer(_ host: String, _ answer: Answer) {
        for waiter in waiters.removeValue(forKey: host) ?? [] {
            waiter.timer.close()
            waiter.continuation.resume(returning: answer)
        }
    }

    /// Answers one of those who wait; the query stays known, for whoever asks next.
    private func give(_ answer: Answer, host: String, to id: UInt64) {
        guard let index = waiters[host]?.firstIndex(where: { $0.id == id }),
            let waiter = waiters[host]?.remove(at: index)
        else { return }
        waiter.timer.close()
        waiter.continuation.resume(returning: answer)
    }
}

/// One query; it keeps itself alive until libuv has called back.
@safe private final class ResolverQuery {
    private let request: UnsafeMutablePointer<uv_getaddrinfo_t>
    private let completion: @Sendable (Result<[TCPAddress], ResolveError>) -> Void
    private var host = ""

    init(_ completion: @escaping @Sendable (Result<[TCPAddress], ResolveError>) -> Void) {
        unsafe request = .allocate(capacity: 1)
        self.completion = completion
    }

    deinit { unsafe request.deallocate() }

    func start(_ host: String, on loop: EventLoop) -> ResolveError? {
        self.host = host
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        #if canImport(Glibc)
            unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
            unsafe hints.ai_socktype = SOCK_STREAM
        #endif
        let retained = unsafe Unmanaged.passRetained(self)
        unsafe request.pointee.data = retained.toOpaque()
        let status = unsafe uv_getaddrinfo(
            loop.handle, request,
            { request, status, list in
                guard let context = unsafe request?.pointee.data else { return }
                unsafe Unmanaged<ResolverQuery>.fromOpaque(context).takeRetainedValue().ended(status, list)
            }, host, nil, &hints)
        guard status != 0 else { return nil }
        unsafe retained.release()
        return failure(status)
    }

    private func failure(_ status: Int32) -> ResolveError {
        .failed(host: host, reason: unsafe String(cString: uv_strerror(status)))
    }

    private func ended(_ status: Int32, _ list: UnsafeMutablePointer<addrinfo>?) {
        defer { unsafe uv_freeaddrinfo(list) }
        guard status == 0 else { return completion(.failure(failure(status))) }
        var addresses: [TCPAddress] = []
        var next = unsafe list
        while let entry = unsafe next, addresses.count < AddressResolver.addressesLimit {
            if let raw = unsafe entry.pointee.ai_addr {
                var storage = sockaddr_storage()
                let length = unsafe min(Int(entry.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
                unsafe withUnsafeMutableBytes(of: &storage) { memory in
                    unsafe memory.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: length))
                }
                if let address = TCPAddress.read(&storage), !addresses.contains(address) { addresses.append(address) }
            }
            unsafe next = entry.pointee.ai_next
        }
        guard !addresses.isEmpty else {
            return completion(.failure(.failed(host: host, reason: "no address")))
        }
        completion(.success(addresses))
    }
}
