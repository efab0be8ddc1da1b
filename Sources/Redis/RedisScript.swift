public import Platform

/// A Lua script that the server keeps once it has seen it: normally only its digest is sent.
public struct RedisScript: Hashable, Sendable {
    /// The Lua text.
    public let text: String
    /// The SHA-1 of the text, by which the server knows it.
    public let digest: String

    /// Takes the text.
    public init(_ text: String) {
        self.text = text
        digest = SHA1.hex(Array(text.utf8))
    }

    /// Runs the script: `EVALSHA`, and where the server does not know it (a restart, `SCRIPT FLUSH`) `EVAL`, which
    /// teaches it. Errors and the deadline as with `RedisConnection.command`.
    public func run(
        on connection: RedisConnection, keys: [String], arguments: [RedisArgument] = [], deadline: MonotonicTime
    ) async throws(RedisError) -> RedisValue {
        let words = [RedisArgument(keys.count)] + keys.map { RedisArgument($0) } + arguments
        guard words.count < EncodedCommand.wordsLimit - 1 else {
            throw RedisError(.notSent, .configuration, "a script gets more than \(EncodedCommand.wordsLimit) words")
        }
        do throws(RedisError) {
            let command = EncodedCommand("EVALSHA", [RedisArgument(digest)] + words)
            return try await connection.run(command, deadline: deadline)
        } catch {
            guard error.outcome == .refusedByServer, error.code == "NOSCRIPT" else { throw error }
        }
        return try await connection.run(EncodedCommand("EVAL", [RedisArgument(text)] + words), deadline: deadline)
    }
}
