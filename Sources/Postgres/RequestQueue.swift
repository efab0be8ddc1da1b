// Statements that wait for their turn on a connection, first come first served; while a transaction holds the
// connection only its own statements pass.

internal import Platform

/// A statement that its caller awaits.
struct Request: Sendable {
    enum Command: Sendable {
        case statement(PostgresStatement, [PostgresValue])
        case script(String)
        /// Sends nothing: its turn begins the sole use of the connection.
        case reservation
    }

    let id: UInt64
    let command: Command
    /// The transaction it belongs to.
    let transaction: UInt64?
    let deadline: MonotonicTime
    let continuation: CheckedContinuation<Result<PostgresResult?, PostgresError>, Never>
    /// About how many bytes it takes.
    let byteCount: Int

    init(
        id: UInt64, command: Command, transaction: UInt64?, deadline: MonotonicTime,
        continuation: CheckedContinuation<Result<PostgresResult?, PostgresError>, Never>
    ) {
        self.id = id
        self.command = command
        self.transaction = transaction
        self.deadline = deadline
        self.continuation = continuation
        byteCount =
            switch command {
            case .statement(_, let values): values.reduce(0) { $0 + $1.sizeHint }
            case .script(let text): text.utf8.count
            case .reservation: 0
            }
    }
}

/// A bounded queue in which one transaction at a time may hold the front.
struct RequestQueue {
    private var everyone: [Request] = []
    private var head = 0
    /// Statements of the transaction that holds the connection.
    private var holders: [Request] = []
    private var holder: UInt64?
    private(set) var byteCount = 0

    var count: Int { everyone.count - head + holders.count }

    /// `false`: the request belongs to a transaction that is over.
    mutating func append(_ request: Request) -> Bool {
        if let transaction = request.transaction {
            guard transaction == holder else { return false }
            holders.append(request)
        } else {
            everyone.append(request)
        }
        byteCount += request.byteCount
        return true
    }

    /// The next request whose turn it is. A reservation that is returned holds the connection from now on.
    mutating func next() -> Request? {
        if holder != nil {
            guard !holders.isEmpty else { return nil }
            let request = holders.removeFirst()
            byteCount -= request.byteCount
            return request
        }
        guard head < everyone.count else { return nil }
        let request = everyone[head]
        head += 1
        if head == everyone.count || head > 256 {
            everyone.removeFirst(head)
            head = 0
        }
        byteCount -= request.byteCount
        if case .reservation = request.command { holder = request.id }
        return request
    }

    /// Ends a transaction's hold and returns what it left behind.
    mutating func release(_ transaction: UInt64) -> [Request] {
        guard holder == transaction else { return [] }
        holder = nil
        defer { holders = [] }
        for request in holders { byteCount -= request.byteCount }
        return holders
    }

    /// Takes out what may not wait any longer.
    mutating func takeExpired(_ now: MonotonicTime) -> [Request] { take { $0.deadline <= now } }

    /// Takes out everything.
    mutating func takeAll() -> [Request] {
        holder = nil
        return take { _ in true }
    }

    private mutating func take(_ matches: (Request) -> Bool) -> [Request] {
        let all = holders + everyone[head...]
        let taken = all.filter(matches)
        guard !taken.isEmpty else { return [] }
        holders.removeAll(where: matches)
        everyone = everyone[head...].filter { !matches($0) }
        head = 0
        for request in taken { byteCount -= request.byteCount }
        return taken
    }

    /// The earliest deadline of those who wait.
    var earliestDeadline: MonotonicTime? {
        (holders.map(\.deadline) + everyone[head...].map(\.deadline)).min()
    }
}
