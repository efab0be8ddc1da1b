import Testing

@testable import Node

struct SnapshotPolicyTests {
    @Test func `a snapshot is due when the journal since the last one outgrows it`() {
        var policy = SnapshotPolicy(snapshotBytes: nil, journalBytes: 0, now: 0)
        #expect(!policy.isDue(at: 0))
        policy.journaled(bytes: SnapshotPolicy.journalBytesFloor, now: 1)
        #expect(!policy.isDue(at: 1))
        policy.journaled(bytes: 1, now: 1)
        #expect(policy.isDue(at: 1))

        var large = SnapshotPolicy(snapshotBytes: 1_000_000, journalBytes: 0, now: 0)
        large.journaled(bytes: 2_000_000, now: 0)
        #expect(!large.isDue(at: 0))
        large.journaled(bytes: 1, now: 0)
        #expect(large.isDue(at: 0))
    }

    @Test func `a dirty campaign is written after a minute, a clean one never`() {
        var policy = SnapshotPolicy(snapshotBytes: 10, journalBytes: 0, now: 0)
        #expect(policy.delay(at: 0) == nil)
        policy.journaled(bytes: 1, now: 5)
        #expect(policy.delay(at: 5) == SnapshotPolicy.dirtyNanoseconds)
        #expect(!policy.isDue(at: 4 + SnapshotPolicy.dirtyNanoseconds))
        #expect(policy.isDue(at: 5 + SnapshotPolicy.dirtyNanoseconds))
    }

    @Test func `what is journaled while a snapshot is written counts for the next`() {
        var policy = SnapshotPolicy(snapshotBytes: nil, journalBytes: 0, now: 0)
        policy.journaled(bytes: 300_000, now: 0)
        policy.captured()
        #expect(!policy.isDue(at: 0))
        policy.journaled(bytes: 300_000, now: 0)
        policy.stored(bytes: 100, now: 0)
        #expect(policy.isDue(at: 0))
    }

    @Test func `a snapshot that failed is tried again after a pause`() {
        var policy = SnapshotPolicy(snapshotBytes: nil, journalBytes: 0, now: 0)
        policy.journaled(bytes: 300_000, now: 0)
        policy.captured()
        policy.failed(now: 100)
        #expect(!policy.isDue(at: 100))
        #expect(policy.delay(at: 100) == SnapshotPolicy.retryNanoseconds)
        #expect(policy.isDue(at: 100 + SnapshotPolicy.retryNanoseconds))
    }

    @Test func `the end of a poll wants a snapshot`() {
        var policy = SnapshotPolicy(snapshotBytes: nil, journalBytes: 0, now: 0)
        policy.pollClosed()
        #expect(policy.isDue(at: 0))
    }
}
