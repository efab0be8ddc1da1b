// A node whose lease has lapsed: another may own what it served.

import Platform
import Protocol
import Testing

@testable import Node

@Suite(.timeLimit(.minutes(5)))
struct SuspensionTests {
    @Test func `nothing is shown or applied while the lease has lapsed, and everything once it is renewed`()
        async throws
    {
        let stage = await Stage()
        try await stage.open()
        let poll = try await stage.launch()
        stage.lease.deadline.withLock { $0 = stage.clock.monotonic().nanoseconds }
        stage.send(1, .subscribe(after: nil))
        stage.manage(2, .readPoll(poll))
        stage.manage(3, .signal(.openMode, name: "n", data: []))
        stage.vote(4, poll)
        let suspended = await stage.settle()
        #expect(suspended.handedBack.sorted() == [1, 2, 3, 4])
        #expect(suspended.joined.isEmpty && suspended.documents.isEmpty && suspended.events.isEmpty)
        #expect(stage.journal.waiting.isEmpty)
        stage.lease.deadline.withLock { $0 += 1 }
        stage.send(5, .subscribe(after: nil))
        let renewed = await stage.settle()
        #expect(renewed.joined.count == 1)
        await stage.stop()
    }

    @Test func `a creation waits too, and who leaves is let go`() async throws {
        let stage = await Stage()
        try await stage.open()
        stage.send(1, .subscribe(after: nil))
        await stage.settle()
        stage.lease.deadline.withLock { $0 = 0 }
        stage.send(2, .leave)
        stage.toShard.post(
            .road(
                .create(
                    CreationCommand(
                        slot: stage.slot, principal: .openMode, draft: CampaignDraft(name: "New", description: nil),
                        mark: nil,
                        ticket: stage.ticket(3), receivedAt: stage.clock.now()))))
        let suspended = await stage.settle()
        let creations = suspended.count { if case .again(.create) = $0 { true } else { false } }
        #expect(creations == 1)
        stage.lease.deadline.withLock { $0 = .max }
        stage.manage(4, .signal(.openMode, name: "n", data: []))
        let renewed = await stage.settle()
        #expect(renewed.events.isEmpty)
        await stage.stop()
    }
}
