import Platform
import Protocol
import Testing

@testable import Node

struct TokenVerifierTests {
    let secret = Array("0123456789abcdef0123456789abcdef".utf8)
    /// Made by an independent implementation of HS256.
    let ann =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE5MDAwMDAwMDB9."
        + "XgsVPAy24TvREUFoPV_K5E5wr9xqabblhd1YnuQDaOE"
    let host =
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9."
        + "eyJleHAiOjE5MDAwMDAwMDAsInJvbGUiOiJob3N0Iiwic3ViIjoiZ20tMSIsImNoYW5uZWwiOiJub3J0aCJ9."
        + "FgKxV54IGR4_7eRCpOmmZ3hOVaIG6joQPxT693967M8"
    let now = Timestamp(milliseconds: 1_800_000_000_000)

    private func token(_ header: String, _ claims: String) -> String {
        let signed = Base64URL.encode(Array(header.utf8)) + "." + Base64URL.encode(Array(claims.utf8))
        return signed + "." + Base64URL.encode(HMACSHA256.tag(Array(signed.utf8), key: secret))
    }

    private func claims(_ claims: String) -> String { token(#"{"alg":"HS256","typ":"JWT"}"#, claims) }

    private func verify(_ token: String, at time: Timestamp? = nil) throws(ClientError) -> Principal {
        try TokenVerifier(secret: secret).verify(token, at: time ?? now)
    }

    private func isRefused(_ token: String, at time: Timestamp? = nil) -> Bool {
        do throws(ClientError) {
            _ = try verify(token, at: time)
            return false
        } catch {
            return error.code == .unauthorized
        }
    }

    @Test func `tokens of another implementation are understood`() throws {
        let voter = try verify(ann)
        #expect(voter.role == .voter && voter.subject == "ann" && voter.channel == nil)
        let owner = try verify(host)
        #expect(owner.role == .host && owner.subject == "gm-1" && owner.channel == "north")
    }

    @Test func `every corrupted character is noticed`() {
        let bytes = Array(ann.utf8)
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] = damaged[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(isRefused(String(decoding: damaged, as: UTF8.self)), "character \(index)")
        }
    }

    @Test func `every prefix is refused`() {
        for count in 0..<ann.utf8.count { #expect(isRefused(String(ann.prefix(count)))) }
    }

    @Test(arguments: [
        #"{"alg":"none","typ":"JWT"}"#, #"{"alg":"hs256"}"#, #"{"alg":"HS512"}"#, #"{"alg":"RS256"}"#,
        #"{"typ":"JWT"}"#, #"{}"#, #"{"alg":"HS256","typ":"JOSE"}"#, #"{"alg":"HS256","crit":["exp"]}"#,
        #"{"alg":"none","alg":"HS256"}"#, #"{"alg":["HS256"]}"#, "[]", "",
    ])
    func `only HS256 is taken, whatever the header says`(header: String) {
        #expect(isRefused(token(header, #"{"sub":"ann","exp":1900000000}"#)))
    }

    @Test(arguments: [
        #"{"sub":"ann"}"#, #"{"sub":"ann","exp":"1900000000"}"#, #"{"sub":"ann","exp":1900000000.5}"#,
        #"{"sub":"ann","exp":-1}"#, #"{"exp":1900000000}"#, #"{"sub":"","exp":1900000000}"#,
        #"{"sub":5,"exp":1900000000}"#, #"{"sub":"ann","exp":1900000000,"role":"admin"}"#,
        #"{"sub":"ann","exp":1900000000,"role":1}"#, #"{"sub":"ann","exp":1900000000,"channel":""}"#,
        #"{"sub":"ann","exp":1900000000,"nbf":"x"}"#, #"{"sub":"ann","sub":"bob","exp":1900000000}"#,
        #"{"sub":"ann","exp":1900000000"#, "[]",
    ])
    func `claims that are missing or malformed are refused`(text: String) {
        #expect(isRefused(claims(text)))
    }

    @Test func `lengths count at their edge`() throws {
        func subject(_ count: Int) -> String {
            claims(#"{"sub":"\#(String(repeating: "x", count: count))","exp":1900000000}"#)
        }
        #expect(try verify(subject(128)).subject.utf8.count == 128)
        #expect(isRefused(subject(129)))
        #expect(isRefused(subject(0)))
        func channel(_ count: Int) -> String {
            claims(#"{"sub":"ann","exp":1900000000,"channel":"\#(String(repeating: "x", count: count))"}"#)
        }
        #expect(try verify(channel(64)).channel?.utf8.count == 64)
        #expect(isRefused(channel(65)))
    }

    @Test(arguments: [(4096, true), (4097, false)])
    func `a well-signed token counts to its limit of bytes and no further`(count: Int, isTaken: Bool) throws {
        // Four bytes of base64 carry three; a blank more in the header makes up for what is left.
        for blanks in 0..<4 {
            let header = #"{"alg":"HS256","typ":"JWT"\#(String(repeating: " ", count: blanks))}"#
            for padding in 2700..<3100 {
                let claims = #"{"sub":"ann","exp":1900000000,"x":"\#(String(repeating: "x", count: padding))"}"#
                // 43 bytes of signature and two dots.
                guard (header.utf8.count * 4 + 2) / 3 + (claims.utf8.count * 4 + 2) / 3 + 45 == count else { continue }
                let token = token(header, claims)
                #expect(token.utf8.count == count)
                #expect(isRefused(token) != isTaken)
                return
            }
        }
        Issue.record("no token has \(count) bytes")
    }

    @Test func `a token ends with its time and a minute of leeway`() {
        let end = Timestamp(milliseconds: 1_900_000_000_000)
        #expect(!isRefused(ann, at: end.advanced(byMilliseconds: 59_999)))
        #expect(isRefused(ann, at: end.advanced(byMilliseconds: 60_000)))
        let later = claims(#"{"sub":"ann","exp":1900000000,"nbf":1800000060}"#)
        #expect(!isRefused(later))
        #expect(isRefused(later, at: now.advanced(byMilliseconds: -1)))
    }

    @Test func `what is minted is verified`() throws {
        let minted = TokenVerifier.mint(
            secret: secret, subject: "a\"b", role: .service, channel: "c", lifetime: 60, now: now)
        let principal = try verify(minted)
        #expect(principal.subject == "a\"b" && principal.role == .service && principal.channel == "c")
        #expect(isRefused(minted, at: now.advanced(byMilliseconds: 121_000)))
    }

    @Test func `another secret is another signature`() {
        let other = TokenVerifier(secret: Array("another secret of thirty-two byte".utf8))
        #expect(throws: ClientError.self) { try other.verify(ann, at: now) }
    }

    @Test(arguments: ["a", "ab=", "ab+", "ab/", "a b", "ab\n", "ah"])
    func `base64 has one form`(text: String) {
        #expect(Base64URL.decode(text[...]) == nil)
    }

    @Test func `base64 round trips at every length`() {
        for count in 0...64 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ 7) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)[...]) == bytes)
        }
    }
}
