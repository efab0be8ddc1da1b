// The directory is asked on the road of every command, and its answer is heeded.

import Cluster
import Foundation
import Platform
import Protocol
import TestSupport
import Testing

@testable import Node

/// A directory whose knowledge the test changes.
private final class ChangingDirectory: Directory {
    let unknown = Locked<Set<Slot>>([])

    func owner(of slot: Slot) -> SlotOwner { unknown.withLock { $0.contains(slot) } ? .unknown : .local }
    var home: [Slot] { SoleOwnerDirectory().home }
}

@Suite(.timeLimit(.minutes(1)))
struct RouterTests {
    @Test func `a slot's lane is that of its loop while it is served here`() throws {
        let directory = ChangingDirectory()
        let router = Router(directory: directory, loopCount: 3)
        #expect(try router.lane(to: Slot(7)) == 1)
        #expect(try router.lane(to: Slot(4095)) == 0)
    }

    @Test func `a slot that nobody is known to serve is unavailable, until somebody is`() throws {
        let directory = ChangingDirectory()
        let router = Router(directory: directory, loopCount: 2)
        directory.unknown.withLock { _ = $0.insert(Slot(8)) }
        let error = #expect(throws: ClientError.self) { try router.lane(to: Slot(8)) }
        #expect(error?.code == .unavailable && error?.retryAfterMilliseconds != nil)
        #expect(try router.lane(to: Slot(9)) == 1)
        directory.unknown.withLock { $0 = [] }
        #expect(try router.lane(to: Slot(8)) == 0)
    }

    @Test func `a node refuses commands for slots that its directory knows no owner of`() async throws {
        let folder = NSTemporaryDirectory() + "tumulte-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var configuration = NodeConfiguration()
        configuration.http = TCPAddress(bytes: [127, 0, 0, 1], port: 0)
        configuration.dataFolder = folder
        let directory = ChangingDirectory()
        let node = try NodeServer(configuration, directory: directory, log: .silent)
        try await node.start()
        let url = "http://\(await node.address)"
        let campaign = CampaignID(UUIDv7(at: SystemClock().now(), random: 5))
        func get(_ path: String) async throws -> SimpleHTTPClient.Answer {
            try await onThread {
                Result { () throws(SimpleHTTPClient.Failure) in
                    try SimpleHTTPClient.send("GET", url, path, bearer: nil)
                }
            }.get()
        }
        #expect(try await get("/v1/campaigns/\(campaign)").status == 404)
        directory.unknown.withLock { _ = $0.insert(Slot(of: campaign)) }
        let answer = try await get("/v1/campaigns/\(campaign)")
        #expect(answer.status == 503)
        #expect(String(decoding: answer.body, as: UTF8.self).contains(#""code":"unavailable""#))
        #expect(try await get("/v1/campaigns/\(campaign)/events").status == 503)
        await node.stop(isHurried: true)
    }
}
