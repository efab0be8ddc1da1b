// One key whose value only moves forward: eight bytes of version, big-endian, and then the content.
//
// What is no such value (another type, fewer than eight bytes) counts as absent, version 0: whatever someone did to the
// key, the next swap from 0 puts it right. Lua has no 64-bit integers and compares strings by locale, so versions are
// compared for equality, or byte by byte.

public import Platform

/// A content and its version.
public struct RedisVersionedValue: Hashable, Sendable {
    /// Grows with each swap; 0 means that there is nothing.
    public let version: UInt64
    /// The content.
    public let bytes: [UInt8]

    /// Takes the parts.
    public init(version: UInt64, bytes: [UInt8]) {
        self.version = version
        self.bytes = bytes
    }
}

/// A value in Redis that is replaced only by whoever knows its version.
public struct CompareAndSet: Sendable {
    /// What became of a swap.
    public enum Outcome: Hashable, Sendable {
        /// The new value is stored.
        case swapped
        /// Another version is stored, this one; `nil` where there is none.
        case conflict(RedisVersionedValue?)
    }

    /// The key.
    public let key: String

    /// Names the key; nothing is sent.
    public init(key: String) { self.key = key }

    /// Stores `new` if the stored version is `expected`, where 0 means that nothing is stored.
    ///
    /// `new.version` is to be greater than `expected`, unless what is stored there is found to be no content at all: readers
    /// tell newer from older by versions alone. An error with the outcome `unknown` leaves open whether it is stored: read.
    public func swap(
        from expected: UInt64, to new: RedisVersionedValue, on connection: RedisConnection, deadline: MonotonicTime
    ) async throws(RedisError) -> Outcome {
        let arguments = [
            RedisArgument(Self.encode(expected)), RedisArgument(Self.encode(new.version) + new.bytes),
        ]
        let reply = try await Self.swapping.run(on: connection, keys: [key], arguments: arguments, deadline: deadline)
        switch reply {
        case .integer(1): return .swapped
        case .null: return .conflict(nil)
        default: return .conflict(try Self.decode(reply))
        }
    }

    /// The stored value if its version is greater than `version`; otherwise `nil`, for which the server looks at eight
    /// bytes and sends none of them.
    public func read(
        newerThan version: UInt64 = 0, on connection: RedisConnection, deadline: MonotonicTime
    ) async throws(RedisError) -> RedisVersionedValue? {
        let arguments = [RedisArgument(Self.encode(version))]
        let reply = try await Self.reading.run(on: connection, keys: [key], arguments: arguments, deadline: deadline)
        return reply == .null ? nil : try Self.decode(reply)
    }

    // MARK: - Bytes

    private static let versionByteCount = 8

    private static func encode(_ version: UInt64) -> [UInt8] {
        (0..<versionByteCount).map { UInt8(truncatingIfNeeded: version >> UInt64(56 - 8 * $0)) }
    }

    private static func decode(_ reply: RedisValue) throws(RedisError) -> RedisVersionedValue {
        guard let bytes = reply.bytes, bytes.count >= versionByteCount else {
            throw RedisError(.unreadable, .decoding, "the reply is no value with a version")
        }
        let version = bytes.prefix(versionByteCount).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return RedisVersionedValue(version: version, bytes: Array(bytes.dropFirst(versionByteCount)))
    }

    // MARK: - Scripts

    /// Reads the stored version into `head`; only a wrong type counts as nothing, other errors are the caller's.
    private static let head = """
        local head = redis.pcall('GETRANGE', KEYS[1], 0, 7)
        if type(head) == 'table' then
            if string.sub(head.err, 1, 9) ~= 'WRONGTYPE' then return head end
            head = ''
        end
        if #head < 8 then head = string.rep('\\0', 8) end

        """

    private static let swapping = RedisScript(
        head + """
            if head == ARGV[1] then
                redis.call('SET', KEYS[1], ARGV[2])
                return 1
            end
            if head == string.rep('\\0', 8) then return false end
            return redis.call('GET', KEYS[1])
            """)

    private static let reading = RedisScript(
        head + """
            for i = 1, 8 do
                local stored, known = string.byte(head, i), string.byte(ARGV[1], i)
                if stored > known then return redis.call('GET', KEYS[1]) end
                if stored < known then return false end
            end
            return false
            """)
}
