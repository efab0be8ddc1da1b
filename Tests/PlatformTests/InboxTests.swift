import Synchronization
import TestSupport
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(5)))
struct InboxTests {
    private struct Item: Sendable, Equatable {
        let producer: Int
        let number: Int
    }

    @Test func `four producers lose nothing and each keeps its order`() async throws {
        let inbox = Inbox<Item>(limit: 1 << 20)
        let each = 20_000
        await withTaskGroup(of: Void.self) { tasks in
            for producer in 0..<4 {
                tasks.addTask {
                    await onThread {
                        var batch: [Item] = []
                        for number in 0..<each {
                            if producer % 2 == 0 {
                                inbox.post(Item(producer: producer, number: number))
                            } else {
                                batch.append(Item(producer: producer, number: number))
                                if batch.count == 7 || number == each - 1 { inbox.post(contentsOf: &batch) }
                            }
                        }
                    }
                }
            }
            tasks.addTask {
                var expected = [0, 0, 0, 0]
                var spare: [Item] = []
                while expected != [each, each, each, each], let batch = await inbox.next(recycling: spare) {
                    for item in batch {
                        #expect(item.number == expected[item.producer])
                        expected[item.producer] = item.number + 1
                    }
                    spare = batch
                }
                #expect(expected == [each, each, each, each])
            }
        }
        #expect(inbox.count == 0)
    }

    @Test func `what does not fit is refused whole and stays with its owner`() async {
        let inbox = Inbox<Int>(limit: 5)
        var first = [1, 2, 3]
        #expect(inbox.post(contentsOf: &first))
        #expect(first.isEmpty)
        var second = [4, 5, 6]
        #expect(!inbox.post(contentsOf: &second))
        #expect(second == [4, 5, 6])
        #expect(inbox.count == 3)
        #expect(inbox.post(7))
        #expect(inbox.post(8))
        #expect(!inbox.post(9))
        #expect(await inbox.next(recycling: []) == [1, 2, 3, 7, 8])
        #expect(inbox.post(contentsOf: &second))
        #expect(await inbox.next(recycling: []) == [4, 5, 6])
    }

    @Test func `a finished inbox gives what is left and then nothing`() async {
        let inbox = Inbox<Int>(limit: 5)
        inbox.post(1)
        inbox.finish()
        #expect(!inbox.post(2))
        var batch = [3]
        #expect(!inbox.post(contentsOf: &batch))
        #expect(batch == [3])
        #expect(await inbox.next(recycling: []) == [1])
        #expect(await inbox.next(recycling: []) == nil)
        #expect(await inbox.next(recycling: []) == nil)
    }

    @Test func `finishing wakes a consumer that waits`() async throws {
        try await withLoops(1) { group in
            let inbox = Inbox<Int>(limit: 5)
            let resident = Resident(group.loops[0])
            async let result = resident.run { _ in await inbox.next(recycling: []) }
            // Runs behind the consumer, which then waits or is about to.
            await resident.increment()
            inbox.finish()
            #expect(await result == nil)
        }
    }

    @Test func `the consumer resumes on its own loop`() async throws {
        try await withLoops(2) { group in
            let inbox = Inbox<Int>(limit: 1000)
            let consumer = Resident(group.loops[0])
            async let strays = consumer.run { resident in
                var strays = 0
                var seen = 0
                while seen < 100, let batch = await inbox.next(recycling: []) {
                    seen += batch.count
                    if !resident.loop.isCurrent { strays += 1 }
                }
                return strays
            }
            for number in 0..<100 { await on(group.loops[1]) { _ = inbox.post(number) } }
            #expect(await strays == 0)
        }
    }

    @Test func `the capacity of a recycled array serves the next posts`() async throws {
        let inbox = Inbox<Int>(limit: 10_000)
        inbox.post(0)
        var spare: [Int] = []
        spare.reserveCapacity(5000)
        let address = spare.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) }
        let first = await inbox.next(recycling: consume spare)
        #expect(first == [0])
        for number in 0..<5000 { inbox.post(number) }
        let second = try #require(await inbox.next(recycling: []))
        #expect(second.count == 5000)
        #expect(second.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) } == address)
    }
}
