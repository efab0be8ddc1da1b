import Journal
import Protocol
import Testing

@testable import Node

struct SlotLedgerTests {
    private func ledger() -> SlotLedger { SlotLedger(slot: Slot(9), epoch: 3, tail: 10) }

    private func seal(_ ledger: inout SlotLedger, _ byte: UInt8) {
        ledger.seal(payload: [byte], votes: 1, campaigns: [], flush: UInt128(byte))
    }

    @Test func `rows take contiguous numbers and leave one at a time`() throws {
        var ledger = ledger()
        seal(&ledger, 1)
        seal(&ledger, 2)
        let sent = ledger.next(at: 0)
        let first = try #require(sent)
        #expect(first.lsn == 11 && first.epoch == 3)
        let none = ledger.next(at: 0)
        #expect(none == nil)
        let result1 = ledger.answered(11, .committed, at: 0)
        #expect(result1 == .committed(11))
        #expect(ledger.committedThrough == 11)
        let result2 = ledger.next(at: 0)?.lsn
        #expect(result2 == 12)
    }

    @Test func `a failed row is sent again, the same, after a pause that doubles`() throws {
        var ledger = ledger()
        seal(&ledger, 1)
        let sent = ledger.next(at: 0)
        let first = try #require(sent)
        let result3 = ledger.answered(11, .failed(.io("x")), at: 0)
        #expect(result3 == .retry(at: SlotLedger.firstPause))
        seal(&ledger, 2)
        let result4 = ledger.next(at: SlotLedger.firstPause - 1)
        #expect(result4 == nil)
        let result5 = ledger.next(at: SlotLedger.firstPause)
        #expect(result5 == first)
        let result6 = ledger.answered(11, .failed(.io("x")), at: 0)
        #expect(result6 == .retry(at: 2 * SlotLedger.firstPause))
        var now: UInt64 = 0
        for _ in 0..<20 {
            now += SlotLedger.longestPause
            _ = ledger.next(at: now)
            _ = ledger.answered(11, .failed(.io("x")), at: now)
        }
        #expect(ledger.retryAt == now + SlotLedger.longestPause)
    }

    @Test func `while the node is suspended a row is tried at an even pace, and pauses do not grow`() {
        var ledger = ledger()
        seal(&ledger, 1)
        var now: UInt64 = 0
        for _ in 0..<20 {
            _ = ledger.next(at: now)
            let verdict = ledger.answered(11, .failed(.suspended), at: now)
            #expect(verdict == .retry(at: now + SlotLedger.suspendedPause))
            now += SlotLedger.suspendedPause
        }
        _ = ledger.next(at: now)
        let failed = ledger.answered(11, .failed(.io("x")), at: now)
        #expect(failed == .retry(at: now + SlotLedger.firstPause))
    }

    @Test func `an answer for another row changes nothing`() {
        var ledger = ledger()
        seal(&ledger, 1)
        let result7 = ledger.answered(11, .committed, at: 0)
        #expect(result7 == .stale)
        _ = ledger.next(at: 0)
        let result8 = ledger.answered(12, .committed, at: 0)
        #expect(result8 == .stale)
        #expect(ledger.committedThrough == 10)
    }

    @Test func `a fenced row says so`() {
        var ledger = ledger()
        seal(&ledger, 1)
        _ = ledger.next(at: 0)
        let result9 = ledger.answered(11, .fenced, at: 0)
        #expect(result9 == .fenced)
    }

    @Test func `bytes are counted until their commit`() {
        var ledger = ledger()
        ledger.seal(payload: [1, 2, 3], votes: 1, campaigns: [], flush: 1)
        #expect(ledger.queuedBytes == 3 && !ledger.isQuiet)
        _ = ledger.next(at: 0)
        _ = ledger.answered(11, .committed, at: 0)
        #expect(ledger.queuedBytes == 0 && ledger.isQuiet)
    }
}

struct RowPayloadTests {
    @Test func `parts come back as they went in`() throws {
        var payload = RowPayload()
        payload.append([1, 2, 3])
        payload.append([])
        payload.append([4])
        let parts = try #require(RowPayload.parts(of: payload.bytes))
        #expect(parts.map { Array(payload.bytes[$0]) } == [[1, 2, 3], [], [4]])
    }

    @Test func `a payload that was cut is refused, at every place but between parts`() {
        var payload = RowPayload()
        payload.append([1, 2, 3])
        payload.append([4, 5])
        let whole = payload.bytes
        let boundaries = [1, 8, 14]
        for count in 0...whole.count {
            let parts = RowPayload.parts(of: Array(whole[..<count]))
            #expect((parts != nil) == boundaries.contains(count), "cut at \(count)")
        }
    }
}
