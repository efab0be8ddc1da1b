// TLS of connections to Redis, where the library has it.

internal import CHiredis

/// What the TLS sessions of one configuration are made of: whose certificates are believed.
///
/// `@unchecked Sendable`: OpenSSL's object is counted and locked by itself, and is not changed once it is made.
@safe
final class HiredisTLS: @unchecked Sendable {
    /// Whether hiredis was built into this program with TLS.
    static var isThere: Bool { tumulte_redis_has_tls == 1 }

    /// Why TLS is refused, in one line.
    static let whyNot =
        "it asks for TLS, and hiredis \(HIREDIS_MAJOR).\(HIREDIS_MINOR) is used without it here; "
        + "use redis:// within a private network"

    fileprivate let authorities: UnsafeMutableRawPointer

    /// Reads the certificates that are believed: those of a file, otherwise the system's. `nil` where that fails.
    init?(authorities file: String?) {
        let made =
            if let file {
                unsafe file.withCString { unsafe tumulte_redis_tls($0) }
            } else {
                unsafe tumulte_redis_tls(nil)
            }
        guard let made = unsafe made else { return nil }
        unsafe authorities = made
    }

    deinit { unsafe tumulte_redis_tls_free(authorities) }

    /// Begins TLS with the host of that name, or numeric address.
    fileprivate func start(_ context: UnsafeMutablePointer<redisAsyncContext>, host: String) -> Bool {
        unsafe host.withCString { unsafe tumulte_redis_start_tls(context, authorities, $0) } == 1
    }
}

extension HiredisContext {
    /// Begins TLS on a connection that has just been made; nothing may have been sent. What is sent from here on leaves
    /// once the server has shown a certificate of this host that is believed.
    /// - Returns: why it cannot be, or `nil`.
    func startTLS(_ tls: HiredisTLS, host: String) -> String? {
        guard let context = unsafe open else { return failure }
        return unsafe tls.start(context, host: host) ? nil : "TLS cannot begin: \(unsafe Self.error(of: context))"
    }
}
