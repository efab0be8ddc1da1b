// Numeric socket addresses. Names are not resolved here: see `AddressResolver`.

// Whole-module builds see the system's address types through the first module that brings them.
internal import CUV

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// An IPv4 or IPv6 address with a port.
public struct TCPAddress: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16 bytes.
    public let bytes: [UInt8]
    /// 0 lets the system choose.
    public let port: UInt16

    /// Takes the bytes of an address; 4 or 16.
    public init(bytes: [UInt8], port: UInt16) {
        precondition(bytes.count == 4 || bytes.count == 16)
        self.bytes = bytes
        self.port = port
    }

    /// Parses `127.0.0.1:8080` or `[::1]:8080`; `nil` for anything else, names included.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        // Neither a sign before the port nor a zero byte that ends the host early.
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits),
            !text.utf8.contains(0)
        else { return nil }
        var host = text[..<colon]
        let isV6 = host.hasPrefix("[") && host.hasSuffix("]")
        if isV6 { host = host.dropFirst().dropLast() }
        var bytes = [UInt8](repeating: 0, count: isV6 ? 16 : 4)
        let status = unsafe bytes.withUnsafeMutableBytes { memory in
            unsafe inet_pton(isV6 ? AF_INET6 : AF_INET, String(host), memory.baseAddress)
        }
        guard status == 1 else { return nil }
        self.init(bytes: bytes, port: port)
    }

    /// Whether only this machine can reach it.
    public var isLoopback: Bool {
        if bytes.count == 4 { return bytes[0] == 127 }
        if bytes.dropLast().allSatisfy({ $0 == 0 }) { return bytes[15] == 1 }
        return bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127])
    }

    /// The address alone, without brackets or port.
    public var host: String {
        var text = [CChar](repeating: 0, count: 64)
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        unsafe bytes.withUnsafeBytes { memory in
            _ = unsafe inet_ntop(family, memory.baseAddress, &text, 64)
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The form that `init(_:)` parses.
    public var description: String { bytes.count == 4 ? "\(host):\(port)" : "[\(host)]:\(port)" }

    /// The address of this end of a socket; `nil` where it is of another family, or no socket.
    public init?(ofSocket socket: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe getsockname(socket, address, &length)
            }
        }
        guard status == 0, let address = Self.read(&storage) else { return nil }
        self = address
    }

    /// Lends the address in the form of the socket interface.
    func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        if bytes.count == 4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &address.sin_addr) { unsafe $0.copyBytes(from: bytes) }
            return unsafe withUnsafeBytes(of: &address) { memory in
                unsafe body(
                    memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: sockaddr.self),
                    socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        unsafe withUnsafeMutableBytes(of: &address.sin6_addr) { unsafe $0.copyBytes(from: bytes) }
        return unsafe withUnsafeBytes(of: &address) { memory in
            unsafe body(
                memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: sockaddr.self),
                socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
    }

    /// Reads what the socket interface filled in; `nil` for another family.
    static func read(_ storage: inout sockaddr_storage) -> TCPAddress? {
        unsafe withUnsafeBytes(of: &storage) { memory -> TCPAddress? in
            switch Int32(unsafe memory.load(as: sockaddr.self).sa_family) {
            case AF_INET:
                let address = unsafe memory.load(as: sockaddr_in.self)
                let bytes = unsafe withUnsafeBytes(of: address.sin_addr) { unsafe Array($0) }
                return TCPAddress(bytes: bytes, port: UInt16(bigEndian: address.sin_port))
            case AF_INET6:
                let address = unsafe memory.load(as: sockaddr_in6.self)
                let bytes = unsafe withUnsafeBytes(of: address.sin6_addr) { unsafe Array($0) }
                return TCPAddress(bytes: bytes, port: UInt16(bigEndian: address.sin6_port))
            default: return nil
            }
        }
    }
}
