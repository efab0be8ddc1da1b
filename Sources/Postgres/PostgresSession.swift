// What every session is set to, and what a server must be for a commit to mean what we say it means.

/// Settings of each session.
public struct PostgresSessionOptions: Sendable {
    /// How long a statement waits for a lock before the server refuses it.
    public var lockTimeoutMilliseconds = 5_000
    /// How long a transaction may stay open without a statement before the server ends the session.
    public var idleInTransactionMilliseconds = 10_000
    /// Statements that may wait on one connection; beyond, they are refused.
    public var queuedStatementsLimit = 1_024
    /// Bytes of parameters that may wait on one connection.
    public var queuedBytesLimit = 256 << 20
    /// Told of what the server says unasked; called on the loop.
    public var onNotice: @Sendable (PostgresNotice) -> Void = { _ in }

    /// The defaults.
    public init() {}
}

enum PostgresSession {
    /// The oldest major version that is known to work.
    static let oldestServerVersion = 130_000

    /// Sets the session up and reads, in the same row, what the server must not be. A server that waits for a standby
    /// to apply a commit is left doing so.
    ///
    /// Plans are made once and never read a whole table where an index helps: each statement of a node names its rows
    /// by key, and statistics of tables that grow by thousands of rows a second are always of the past. Nor is a plan
    /// compiled (`jit`), which takes longer than any of them runs.
    static func setUp(_ options: PostgresSessionOptions, serverVersion: Int) -> PostgresStatement {
        // From 14 on a server on Linux can notice by itself that we hung up on a statement, and free its locks.
        let check =
            serverVersion < 140_000
            ? "''"
            : "CASE WHEN version() ~ 'linux' THEN set_config('client_connection_check_interval', '2s', false) END"
        return PostgresStatement(
            "session.setup", [],
            """
            SELECT current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery(),
                current_setting('standard_conforming_strings'),
                set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                    WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
                set_config('default_transaction_isolation', 'read committed', false),
                set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
                set_config('jit', 'off', false),
                set_config('client_min_messages', 'warning', false),
                set_config('lock_timeout', '\(options.lockTimeoutMilliseconds)', false),
                set_config('idle_in_transaction_session_timeout', '\(options.idleInTransactionMilliseconds)', false),
                \(check)
            """)
    }

    /// Why a server may not be used, from the answer to `setUp`; `nil` where it may.
    static func objection(_ result: PostgresResult) throws(PostgresError) -> PostgresError? {
        func unsuitable(_ reason: String) -> PostgresError { PostgresError(.notSent, .unsuitableServer, reason) }
        if try result.value(0, 2, as: Bool.self) {
            return unsuitable("the server is a standby (in recovery): name the primary")
        }
        if try result.value(0, 0, as: String.self) != "on" {
            return unsuitable("the server runs with fsync = off, so that a crash loses committed votes: set it on")
        }
        if try result.value(0, 1, as: String.self) != "on" {
            return unsuitable(
                "the server runs with full_page_writes = off, so that a crash may damage its files: set it on")
        }
        if try result.value(0, 3, as: String.self) != "on" {
            return unsuitable("the server runs with standard_conforming_strings = off: set it on")
        }
        return nil
    }
}
