import Protocol
import Testing

@testable import Platform

private func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

private func bytes(littleEndian word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
}

private func bytes(bigEndian word: UInt64) -> [UInt8] { bytes(littleEndian: word).reversed() }

@Suite struct CryptoTests {
    /// The vectors of the hash's authors: the key 00…0f, messages 00, 00 01, and so on.
    static let sipHash64 = [
        "310e0edd47db6f72",
        "fd67dc93c539f874",
        "5a4fa9d909806c0d",
        "2d7efbd796666785",
        "b7877127e09427cf",
        "8da699cd64557618",
        "cee3fe586e46c9cb",
        "37d1018bf50002ab",
        "6224939a79f5f593",
        "b0e4a90bdf82009e",
        "f3b9dd94c5bb5d7a",
        "a7ad6b22462fb3f4",
        "fbe50e86bc8f1e75",
        "903d84c02756ea14",
        "eef27a8e90ca23f7",
        "e545be4961ca29a1",
    ]

    /// The authors' vectors for the 128-bit form, with the same key and messages.
    static let sipHash128 = [
        "a3817f04ba25a8e66df67214c7550293",
        "da87c1d86b99af44347659119b22fc45",
        "8177228da4a45dc7fca38bdef60affe4",
        "9c70b60c5267a94e5f33b6b02985ed51",
        "f88164c12d9c8faf7d0f6e7c7bcd5579",
        "1368875980776f8854527a07690e9627",
        "14eeca338b208613485ea0308fd7a15e",
        "a1f1ebbed8dbc153c0b84aa61ff08239",
        "3b62a9ba6258f5610f83e264f31497b4",
        "264499060ad9baabc47f8b02bb6d71ed",
        "00110dc378146956c95447d3f3d0fbba",
        "0151c568386b6677a2b4dc6f81e5dc18",
        "d626b266905ef35882634df68532c125",
        "9869e247e9c08b10d029934fc4b952f7",
        "31fcefac66d7de9c7ec7485fe4494902",
        "5493e99933b0a8117e08ec0f97cfc3d9",
    ]

    @Test func `SipHash-2-4 of 64 bits meets the vectors of its authors`() {
        for (length, expected) in Self.sipHash64.enumerated() {
            let hash = SipHash.hash64(Array(0..<UInt8(length)), key: Array(0..<16))
            #expect(hex(bytes(littleEndian: hash)) == expected)
        }
    }

    @Test func `SipHash-2-4 of 128 bits meets the vectors of its authors`() {
        for (length, expected) in Self.sipHash128.enumerated() {
            // The messages are ASCII, hence texts too.
            let text = String(decoding: 0..<UInt8(length), as: UTF8.self)
            let hash = SipHash.hash128(text, keyHigh: 0x0706_0504_0302_0100, keyLow: 0x0F0E_0D0C_0B0A_0908)
            #expect(hex(bytes(littleEndian: hash.high) + bytes(littleEndian: hash.low)) == expected)
        }
    }

    /// The expected values come from Python's `hashlib.blake2b(digest_size=16)`.
    @Test(
        arguments: [
            ([], "cae66941d9efbd404e4d88758ea67670"),
            (Array("abc".utf8), "cf4ab791c62b8d2b2109c90275287816"),
            (Array(0..<200), "61479efa6267fea757b3f881e2979bbc"),
            ([UInt8](repeating: 97, count: 1_000_000), "7b704218d19f31b3a0fb7e4336822ae1"),
        ] as [([UInt8], String)])
    func `BLAKE2b of 128 bits meets another implementation`(_ message: [UInt8], _ expected: String) {
        let hash = Blake2b.hash128(message)
        #expect(hex(bytes(bigEndian: hash.high) + bytes(bigEndian: hash.low)) == expected)
    }

    /// RFC 4231, cases 1, 2, 6 and 7.
    @Test(
        arguments: [
            (
                [UInt8](repeating: 0x0B, count: 20),
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131),
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            (
                [UInt8](repeating: 0xAA, count: 131),
                "This is a test using a larger than block-size key and a larger than block-size data. "
                    + "The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
            ),
        ] as [([UInt8], String, String)])
    func `HMAC-SHA-256 meets RFC 4231`(_ key: [UInt8], _ message: String, _ expected: String) {
        #expect(hex(HMACSHA256.tag(Array(message.utf8), key: key)) == expected)
    }

    /// RFC 4231, cases 3 and 4, whose messages are no texts.
    @Test func `HMAC-SHA-256 meets RFC 4231 for bytes that are no text`() {
        let third = HMACSHA256.tag(
            [UInt8](repeating: 0xDD, count: 50), key: [UInt8](repeating: 0xAA, count: 20))
        #expect(hex(third) == "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")
        let fourth = HMACSHA256.tag([UInt8](repeating: 0xCD, count: 50), key: Array(1...25))
        #expect(hex(fourth) == "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b")
    }

    /// FIPS 180-4's examples.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            String(repeating: "a", count: 1_000_000),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    ])
    func `SHA-256 meets FIPS 180-4`(_ message: String, _ expected: String) {
        #expect(hex(SHA256.digest(Array(message.utf8))) == expected)
    }

    @Test func `comparison in constant time is comparison`() {
        let secret: [UInt8] = Array(0..<32)
        #expect(ConstantTime.equal([], []))
        #expect(ConstantTime.equal(secret, Array(0..<32)))
        #expect(!ConstantTime.equal(secret, Array(0..<31)))
        #expect(!ConstantTime.equal(secret, []))
        for place in 0..<32 {
            for bit in 0..<8 {
                var other = secret
                other[place] ^= 1 << bit
                #expect(!ConstantTime.equal(secret, other))
            }
        }
    }
}
