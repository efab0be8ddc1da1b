import Journal
import Protocol
import Testing

struct SlotJournalMachineTests {
    let now = Timestamp(milliseconds: 0)

    @Test func `a full buffer refuses and keeps what it has`() {
        var machine = SlotJournalMachine(claim: SlotClaim(slot: Slot(1), epoch: 5, tail: 9))
        #expect(machine.append([1], campaign: campaign(1), votes: 4096) == .buffered(lsn: 10))
        #expect(machine.append([1], campaign: campaign(1), votes: 1) == .full)
        #expect(machine.seal(flush: 1)?.count == 4096)
        #expect(machine.append([2], campaign: campaign(1), votes: 1) == .buffered(lsn: 11))
        #expect(machine.replyDependency == 11)
    }

    @Test func `resubmission backs off from 50 ms to 2 s`() {
        var machine = SlotJournalMachine(claim: SlotClaim(slot: Slot(1), epoch: 5, tail: 0))
        _ = machine.append([1], campaign: campaign(1), votes: 1)
        _ = machine.seal(flush: 1)
        let failed = RowOutcome(slot: Slot(1), lsn: 1, outcome: .failed(.busy("")))
        for wait in [50, 100, 200, 400, 800, 1600, 2000, 2000] as [Int64] {
            #expect(machine.answered(failed, at: now) == .resubmit(at: Timestamp(milliseconds: wait)))
            #expect(!machine.isHealthy)
        }
    }

    @Test(arguments: 1...50)
    func `in every order no reply leaves before its row and no entry is lost or doubled`(seed: Int) {
        var random = Splitmix(state: UInt64(seed))
        var machine = SlotJournalMachine(claim: SlotClaim(slot: Slot(1), epoch: 5, tail: 0))
        var durable: [UInt8] = []
        var appended: [UInt8] = []
        for step in 0..<200 {
            switch random.next() % 4 {
            case 0:
                let byte = UInt8(truncatingIfNeeded: step)
                let expected = machine.openLSN
                #expect(machine.append([byte], campaign: campaign(1), votes: 1) == .buffered(lsn: expected))
                appended.append(byte)
                #expect(machine.replyDependency == expected)
            case 1:
                let before = machine.inFlight
                let row = machine.seal(flush: UInt128(step))
                #expect(before == nil || row == nil)
                if let row { #expect(row.lsn == machine.committed + 1) }
            case 2:
                guard let row = machine.inFlight else { continue }
                let failed = RowOutcome(slot: row.slot, lsn: row.lsn, outcome: .failed(.io("")))
                _ = machine.answered(failed, at: now)
                #expect(machine.inFlight == row)
            default:
                guard let row = machine.inFlight else { continue }
                let done = RowOutcome(slot: row.slot, lsn: row.lsn, outcome: .committed)
                #expect(machine.answered(done, at: now) == .release(through: row.lsn))
                #expect(machine.answered(done, at: now) == .ignore)
                durable += row.payload
            }
            #expect(appended.starts(with: durable))
            if durable.count == appended.count { #expect(machine.replyDependency == nil) }
        }
        _ = machine.append([0], campaign: campaign(1), votes: 1)
        if let row = machine.inFlight ?? machine.seal(flush: 1) {
            let fenced = RowOutcome(slot: row.slot, lsn: row.lsn, outcome: .fenced)
            #expect(machine.answered(fenced, at: now) == .close)
        }
        #expect(machine.append([0], campaign: campaign(1), votes: 1) == .closed)
    }
}
