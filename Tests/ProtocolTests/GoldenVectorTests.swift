// The vectors of docs/PROTOCOL.md: what the document shows is what the codecs read and write.

import Foundation
import Protocol
import Testing

/// One block of the document.
struct GoldenVector: Sendable, CustomTestStringConvertible {
    var isFromClient: Bool
    var json: [UInt8]
    var binary: [UInt8]

    var testDescription: String { String(decoding: json.prefix(60), as: UTF8.self) }

    static let document = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "docs/PROTOCOL.md")

    /// Every block between "```vector client" or "```vector server" and "```".
    static func all() throws -> [GoldenVector] {
        var vectors: [GoldenVector] = []
        var block: [Substring]?
        for line in try String(contentsOf: document, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("```vector ") {
                block = [line.dropFirst(10)]
            } else if line == "```", let lines = block {
                let bytes = lines.dropFirst(2).flatMap { line in
                    line.prefix { $0 != "#" }.split(separator: " ").map { UInt8($0, radix: 16) }
                }
                guard !bytes.contains(nil) else { throw CocoaError(.formatting) }
                vectors.append(
                    GoldenVector(
                        isFromClient: lines[0] == "client", json: Array(lines[1].utf8), binary: bytes.compactMap(\.self)
                    ))
                block = nil
            } else {
                block?.append(line)
            }
        }
        return vectors
    }
}

struct GoldenVectorTests {
    @Test func `the document shows every kind of message and event`() throws {
        let kinds = Set(try GoldenVector.all().map { $0.binary[0] })
        #expect(kinds == [1, 2, 3, 4, 5, 6, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87])
    }

    @Test(arguments: try GoldenVector.all())
    func `a vector reads the same in both encodings and is written as it stands`(vector: GoldenVector) throws {
        if vector.isFromClient {
            let message = try CodecUnderTest.json.decode(vector.json)
            #expect(try CodecUnderTest.binary.decode(vector.binary) == message)
            #expect(CodecUnderTest.json.encode(message) == vector.json)
            #expect(CodecUnderTest.binary.encode(message) == vector.binary)
        } else {
            let message = try CodecUnderTest.json.decodeServer(vector.json)
            #expect(try CodecUnderTest.binary.decodeServer(vector.binary) == message)
            #expect(CodecUnderTest.json.encode(message) == vector.json)
            #expect(CodecUnderTest.binary.encode(message) == vector.binary)
        }
    }
}
