import Platform
import Testing

@testable import Redis

@Suite struct ValueTests {
    /// FIPS 180-2, appendix A, and its companion for the empty message; the others cross the padding's edges.
    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        ),
        (String(repeating: "a", count: 55), "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
        (String(repeating: "a", count: 64), "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
        (String(repeating: "a", count: 1_000_000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ])
    func `scripts are named by SHA-1`(_ text: String, _ digest: String) {
        #expect(SHA1.hex(Array(text.utf8)) == digest)
    }

    @Test func `values are read as what they are and nothing else`() {
        #expect(RedisValue.integer(7).integer == 7)
        #expect(RedisValue.bytes(Array("-7".utf8)).integer == -7)
        #expect(RedisValue.bytes(Array("7x".utf8)).integer == nil)
        #expect(RedisValue.bytes([0xFF]).string == nil)
        #expect(RedisValue.status("OK").string == "OK")
        #expect(RedisValue.null.bytes == nil && RedisValue.null.array == nil && RedisValue.null.string == nil)
        #expect(RedisValue.array([.null]).array == [.null])
        #expect(RedisReplyError("WRONGTYPE Operation").code == "WRONGTYPE")
        #expect(RedisReplyError("ERR").code == "ERR")
        #expect(RedisReplyError("").code.isEmpty)
    }

    @Test func `a replica is known by its words, in scripts of older servers too`() {
        #expect(RedisReplyError("READONLY You can't write against a read only replica.").isFromReplica)
        #expect(RedisReplyError("ERR Error running script: @user_script:1: -READONLY You can't write").isFromReplica)
        #expect(!RedisReplyError("ERR unknown command 'READONLY'").isFromReplica)
    }

    @Test func `commands that would change a shared connection are refused`() {
        for name in ["SELECT", "select", "Multi", "SUBSCRIBE", "MONITOR", "HELLO", "AUTH"] {
            #expect(EncodedCommand.objection(name, [])?.contains("shared") == true)
        }
        for name in ["", "GET SET", "GET\r\n", "GÉT", "\0"] { #expect(EncodedCommand.objection(name, []) != nil) }
        #expect(EncodedCommand.objection("GET", ["x"]) == nil)
        let many = [RedisArgument](repeating: "", count: EncodedCommand.wordsLimit)
        #expect(EncodedCommand.objection("DEL", many) != nil)
        #expect(EncodedCommand.objection("DEL", many.dropLast()) == nil)
    }

    @Test func `the words of a command lie one after the other`() {
        let command = EncodedCommand("SET", ["k", RedisArgument([0, 13, 10, 255]), "", RedisArgument(-5)])
        #expect(command.ends == [3, 4, 8, 8, 10])
        #expect(command.bytes == Array("SETk".utf8) + [0, 13, 10, 255] + Array("-5".utf8))
    }

    @Test func `a queue answers in the order of sending whatever comes between`() async {
        // The continuation only has to be there: the order is read from the deadlines.
        let _: Result<RedisValue, RedisError> = await withCheckedContinuation { continuation in
            var queue = CommandQueue()
            var sent: UInt64 = 0
            var answered: UInt64 = 0
            let random = SeededRandom(seed: 7)
            for _ in 0..<500 {
                for _ in 0..<random.next() % 80 {
                    sent += 1
                    let time = MonotonicTime(nanoseconds: sent)
                    queue.append(
                        SentCommand(byteCount: 1, startedAt: time, deadline: time, continuation: continuation))
                }
                for _ in 0..<random.next() % 81 {
                    guard let command = queue.popFirst() else { break }
                    answered += 1
                    #expect(command.deadline.nanoseconds == answered)
                }
                #expect(queue.count == Int(sent - answered) && queue.byteCount == queue.count)
                #expect(queue.earliestDeadline?.nanoseconds == (sent == answered ? nil : answered + 1))
            }
            #expect(queue.takeAll().map(\.deadline.nanoseconds) == Array(answered + 1..<sent + 1))
            #expect(queue.count == 0 && queue.byteCount == 0 && queue.popFirst() == nil)
            continuation.resume(returning: .success(.null))
        }
    }
}
