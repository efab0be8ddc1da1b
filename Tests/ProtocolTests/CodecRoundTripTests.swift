// What both encodings must do with every message: bring it through unchanged, and refuse every damaged form of it
// without falling over.

import Protocol
import Testing

struct CodecRoundTripTests {
    @Test(arguments: CodecUnderTest.allCases)
    func `every client message comes through unchanged`(codec: CodecUnderTest) throws {
        var generator = MessageGenerator(seed: 1)
        for _ in 0..<2000 {
            let message = generator.clientMessage()
            #expect(try codec.decode(codec.encode(message)) == message)
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `every server message comes through unchanged`(codec: CodecUnderTest) throws {
        var generator = MessageGenerator(seed: 2)
        for _ in 0..<2000 {
            let message = generator.serverMessage()
            #expect(try codec.decodeServer(codec.encode(message)) == message)
        }
    }

    @Test func `a message keeps its meaning from one encoding to the other and back`() throws {
        var generator = MessageGenerator(seed: 3)
        for _ in 0..<500 {
            let client = generator.clientMessage()
            let viaJSON = try CodecUnderTest.json.decode(CodecUnderTest.json.encode(client))
            #expect(try CodecUnderTest.binary.decode(CodecUnderTest.binary.encode(viaJSON)) == client)
            let server = generator.serverMessage()
            let viaBinary = try CodecUnderTest.binary.decodeServer(CodecUnderTest.binary.encode(server))
            #expect(try CodecUnderTest.json.decodeServer(CodecUnderTest.json.encode(viaBinary)) == server)
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `a message that is encoded twice has the same bytes`(codec: CodecUnderTest) {
        var generator = MessageGenerator(seed: 4)
        for _ in 0..<200 {
            let message = generator.serverMessage()
            #expect(codec.encode(message) == codec.encode(message))
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `every prefix of a message is refused`(codec: CodecUnderTest) {
        var generator = MessageGenerator(seed: 5)
        for _ in 0..<60 {
            let client = codec.encode(generator.clientMessage())
            for length in 0..<client.count {
                guard case .malformed? = codec.refusal(Array(client[..<length])) else {
                    Issue.record("the first \(length) bytes of \(client) are not malformed")
                    return
                }
            }
            let server = codec.encode(generator.serverMessage())
            for length in 0..<server.count where (try? codec.decodeServer(Array(server[..<length]))) != nil {
                Issue.record("the first \(length) bytes of \(server) pass")
            }
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `a byte after a message is refused`(codec: CodecUnderTest) {
        var generator = MessageGenerator(seed: 6)
        for _ in 0..<100 {
            guard case .malformed? = codec.refusal(codec.encode(generator.clientMessage()) + [0]) else {
                Issue.record("a trailing byte passes")
                return
            }
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `what a changed byte decodes to comes through unchanged, or it is refused`(codec: CodecUnderTest) throws {
        var generator = MessageGenerator(seed: 7)
        var decoded = 0
        for _ in 0..<25 {
            var client = codec.encode(generator.clientMessage())
            var server = codec.encode(generator.serverMessage())
            for place in 0..<min(client.count, 400) {
                let original = client[place]
                for bit in 0..<8 {
                    client[place] = original ^ (1 << UInt8(bit))
                    guard let message = try? codec.decode(client) else { continue }
                    decoded += 1
                    #expect(try codec.decode(codec.encode(message)) == message)
                }
                client[place] = original
            }
            for place in 0..<min(server.count, 400) {
                let original = server[place]
                for flip in [0x01, 0x80, 0xFF] as [UInt8] {
                    server[place] = original ^ flip
                    guard let message = try? codec.decodeServer(server) else { continue }
                    #expect(try codec.decodeServer(codec.encode(message)) == message)
                }
                server[place] = original
            }
        }
        #expect(decoded > 0)
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `random bytes are refused or come through unchanged`(codec: CodecUnderTest) throws {
        var random = SeededRandom(state: 8)
        for _ in 0..<5000 {
            var bytes = (0..<Int.random(in: 0...64, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            if codec == .binary, !bytes.isEmpty { bytes[0] &= 0x87 }
            if let message = try? codec.decode(bytes) { #expect(try codec.decode(codec.encode(message)) == message) }
            if let message = try? codec.decodeServer(bytes) {
                #expect(try codec.decodeServer(codec.encode(message)) == message)
            }
        }
    }

    @Test(arguments: CodecUnderTest.allCases)
    func `an ack written directly equals the encoded message`(codec: CodecUnderTest) {
        var generator = MessageGenerator(seed: 9)
        for _ in 0..<200 {
            let id = generator.requestID()
            let status = generator.optional { VoteStatus.allCases[$0.int(0...3)] }
            let position = generator.position()
            var direct: [UInt8] = []
            switch codec {
            case .json: JSONClientCodec.encodeAck(id: id, status: status, position: position, into: &direct)
            case .binary: BinaryClientCodec.encodeAck(id: id, status: status, position: position, into: &direct)
            }
            #expect(direct == codec.encode(.ack(id: id, status: status, position: position)))
        }
    }
}
