// libsodium, wrapped. Nothing else in the project knows it.

internal import CSodium

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

private let isReady: Void = precondition(sodium_init() >= 0, "libsodium could not be initialised")

/// The bytes of a value in memory, for a C function that fills or reads them.
@inline(__always)
private func withBytes<Value>(of value: inout Value, _ body: (UnsafeMutablePointer<UInt8>) -> Void) {
    unsafe withUnsafeMutablePointer(to: &value) { pointer in
        unsafe body(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt8.self))
    }
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short inputs.
public enum SipHash {
    /// 64 bits of `bytes` under a key of 16 bytes.
    public static func hash64(_ bytes: [UInt8], key: [UInt8]) -> UInt64 {
        precondition(key.count == 16)
        var output: UInt64 = 0
        unsafe withBytes(of: &output) { output in
            _ = unsafe crypto_shorthash_siphash24(output, bytes, UInt64(bytes.count), key)
        }
        return UInt64(littleEndian: output)
    }

    /// 64 bits of a 16-byte integer, most significant byte first, under a key of 16 bytes; allocates nothing.
    public static func hash64(_ value: UInt128, key: [UInt8]) -> UInt64 {
        precondition(key.count == 16)
        var input = value.bigEndian
        var output: UInt64 = 0
        unsafe withBytes(of: &output) { output in
            unsafe withBytes(of: &input) { input in
                _ = unsafe crypto_shorthash_siphash24(output, input, 16, key)
            }
        }
        return UInt64(littleEndian: output)
    }

    /// 128 bits of a text's UTF-8 under a key of two words; allocates nothing for native strings.
    public static func hash128(_ text: String, keyHigh: UInt64, keyLow: UInt64) -> (high: UInt64, low: UInt64) {
        var text = text
        var key = (keyHigh.littleEndian, keyLow.littleEndian)
        var output: (UInt64, UInt64) = (0, 0)
        text.withUTF8 { bytes in
            unsafe withBytes(of: &output) { output in
                unsafe withBytes(of: &key) { key in
                    _ = unsafe crypto_shorthash_siphashx24(
                        output, bytes.baseAddress ?? UnsafePointer(key), UInt64(bytes.count), key)
                }
            }
        }
        return (UInt64(littleEndian: output.0), UInt64(littleEndian: output.1))
    }
}

/// BLAKE2b (RFC 7693) without a key.
public enum Blake2b {
    /// 128 bits: nobody finds two inputs that meet.
    public static func hash128(_ bytes: [UInt8]) -> (high: UInt64, low: UInt64) {
        _ = isReady
        var output: (UInt64, UInt64) = (0, 0)
        unsafe withBytes(of: &output) { output in
            _ = unsafe crypto_generichash(output, 16, bytes, UInt64(bytes.count), nil, 0)
        }
        return (UInt64(bigEndian: output.0), UInt64(bigEndian: output.1))
    }
}

/// HMAC-SHA-256 (RFC 2104).
public enum HMACSHA256 {
    /// The 32-byte tag of `message` under a key of any length.
    public static func tag(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        _ = isReady
        var state = crypto_auth_hmacsha256_state()
        var tag = [UInt8](repeating: 0, count: 32)
        unsafe crypto_auth_hmacsha256_init(&state, key, key.count)
        unsafe crypto_auth_hmacsha256_update(&state, message, UInt64(message.count))
        unsafe crypto_auth_hmacsha256_final(&state, &tag)
        return tag
    }
}

/// SHA-256 (FIPS 180-4).
public enum SHA256 {
    /// The 32-byte digest.
    public static func digest(_ message: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: 32)
        unsafe crypto_hash_sha256(&digest, message, UInt64(message.count))
        return digest
    }
}

/// Comparison whose time does not tell where two secrets differ.
public enum ConstantTime {
    /// Whether both are equal; only a difference in length is told by time.
    public static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        return unsafe sodium_memcmp(a, b, a.count) == 0
    }
}
