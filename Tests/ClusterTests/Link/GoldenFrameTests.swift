// The vectors of docs/PROTOCOL.md: what the document shows is what is read and written.

import Foundation
import Platform
import Protocol
import Testing

@testable import Cluster

struct GoldenFrameTests {
    static let document = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/PROTOCOL.md")

    /// Every block between "```frame NAME" and "```".
    static func vectors() throws -> [String: [UInt8]] {
        var vectors: [String: [UInt8]] = [:]
        var name: String?
        for line in try String(contentsOf: document, encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("```frame ") {
                name = String(line.dropFirst(9))
            } else if line == "```" {
                name = nil
            } else if let name {
                vectors[name, default: []] += hex(String(line.prefix { $0 != "#" }))
            }
        }
        return vectors
    }

    static let owner = OwnerHint(name: "node-2", incarnation: 0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF)

    static func body(_ append: (inout [UInt8]) -> Void) -> [UInt8] {
        var body: [UInt8] = []
        append(&body)
        return body
    }

    static let frames: [String: WholeFrame] = [
        "ping": WholeFrame(header: FrameHeader(.ping, tableVersion: 12, request: 7)),
        "request": WholeFrame(
            header: FrameHeader(
                .request, flags: .again, tableVersion: 12, slot: Slot(1623), epoch: 1_767_225_600, request: 42,
                remainingMilliseconds: 4999, hops: 1),
            body: Array("vote".utf8)),
        "target": WholeFrame(
            header: FrameHeader(
                .request, flags: [.again, .relayed], tableVersion: 12, slot: Slot(4095), epoch: 1_767_225_600,
                request: 43, remainingMilliseconds: 60_000, hops: 2, target: 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF),
            body: Array("vote".utf8)),
        "relay": WholeFrame(
            header: FrameHeader(.relay, tableVersion: 12, target: 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF)),
        "error": WholeFrame(
            header: FrameHeader(.error, tableVersion: 13, slot: Slot(1623), epoch: 1_767_225_601, request: 42),
            body: body { PeerError(.notOwner, retryAfterMilliseconds: 250, owner: owner).append(to: &$0) }),
        "moved": WholeFrame(
            header: FrameHeader(.moved, tableVersion: 13, slot: Slot(1623), epoch: 1_767_225_601),
            body: body { MovedNotice(target: owner).append(to: &$0) }),
        "hello": WholeFrame(header: FrameHeader(.hello), body: hello),
        "challenge": WholeFrame(header: FrameHeader(.challenge), body: challenge),
        "proof": WholeFrame(header: FrameHeader(.proof), body: key.proof(.dialer, hello: hello, challenge: challenge)),
        "welcome": WholeFrame(
            header: FrameHeader(.welcome), body: key.proof(.listener, hello: hello, challenge: challenge)),
        "refusal": WholeFrame(
            header: FrameHeader(.refusal),
            body: HandshakeRefusal(.noCommonProtocol, LinkVersions(protocols: 2...3, slotFunction: 1)).body),
    ]

    static let key = LinkKey(clusterSecret: [UInt8](repeating: 0x5A, count: 32))
    static let hello = HandshakeGreeting(
        versions: LinkVersions(protocols: 1...1, slotFunction: 1),
        identity: NodeIdentity(name: "node-1", incarnation: 1), nonce: Array(0..<32), expectedName: "node-2"
    ).body(.hello)
    static let challenge = HandshakeGreeting(
        versions: LinkVersions(protocols: 1...1, slotFunction: 1),
        identity: NodeIdentity(name: "node-2", incarnation: 2), nonce: Array(32..<64)
    ).body(.challenge)

    @Test func `the document shows every frame that the tests know, and no other`() throws {
        #expect(Set(try Self.vectors().keys) == Set(Self.frames.keys))
    }

    @Test(arguments: Self.frames.keys.sorted())
    func `a frame is written as the document shows it, and read back`(_ name: String) throws {
        let bytes = try #require(try Self.vectors()[name])
        let frame = try #require(Self.frames[name])
        #expect(hex(frame.bytes) == hex(bytes))
        #expect(try decode(bytes) == [frame])
    }
}
