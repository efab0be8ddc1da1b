// The formats, version 1: golden bytes that every later program must still read, and damage of every kind.

import Protocol
import Testing

@testable import Domain

struct FormatTests {
    /// A campaign that has a bit of everything, and the journal that made it.
    private func sample() throws -> (stage: Stage, payload: [UInt8]) {
        var stage = try Stage()
        try stage.run(.update(name: "Keep", description: "ruins"))
        try stage.launch(1, type: .standard, options: 2, duration: 15)
        _ = try stage.vote(1, key: 1, channel: "é")
        stage.now = seconds(7)
        try stage.run(.cancel(pollID(1)))
        try stage.launch(2, type: .unique, options: 2, duration: 20)
        _ = try stage.vote(0, voter: 1, channel: "a", poll: pollID(2))
        _ = try stage.vote(1, voter: 2, key: 2, channel: "b", poll: pollID(2))
        _ = try stage.vote(1, voter: 1, key: 3, poll: pollID(2))
        stage.advance(to: seconds(19))
        stage.advance(to: seconds(23.5))
        stage.apply([.replyRemembered(key: hash(8), body: hash(9), at: stage.now, status: 201, bytes: [0x7B, 0x7D])])
        var copy = stage
        return (stage, copy.journal.take())
    }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { byte in
            let text = String(byte, radix: 16)
            return byte < 16 ? "0" + text : text
        }.joined()
    }

    private func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).filter { $0 != UInt8(ascii: "\n") }
        return stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
    }

    @Test func `records of version 1 are these bytes, and are read for ever`() throws {
        let (stage, payload) = try sample()
        #expect(hex(payload) == GoldenBytes.records.filter { $0 != "\n" })
        let campaigns = try #require(replayed(bytes(GoldenBytes.records)))
        #expect(campaigns[stage.campaign.id]?.stateHash == stage.campaign.stateHash)
    }

    @Test func `snapshots of version 1 are these bytes, and are read for ever`() throws {
        let (stage, _) = try sample()
        #expect(hex(snapshot(stage.campaign)) == GoldenBytes.snapshot.filter { $0 != "\n" })
        let golden = try restored(bytes(GoldenBytes.snapshot))
        #expect(golden.stateHash == stage.campaign.stateHash)
        #expect(golden.view == stage.campaign.view)
        #expect(golden.latestPoll(position: origin) == stage.campaign.latestPoll(position: origin))
        #expect(golden.name == "Keep")
        #expect(golden.tally?.votes == [0, 2])
        #expect(golden.stateHash == GoldenBytes.stateHash)
    }

    @Test func `every prefix of a snapshot is refused`() throws {
        let whole = snapshot(try sample().stage.campaign)
        for length in 0..<whole.count {
            let prefix = Array(whole[..<length])
            #expect(throws: SnapshotError.self) { try restored(prefix) }
        }
        #expect(throws: SnapshotError(fault: .trailingBytes, offset: whole.count)) {
            try restored(whole + [0])
        }
        #expect(throws: SnapshotError(fault: .unknownVersion(2), offset: 1)) {
            try restored([2] + whole.dropFirst())
        }
    }

    /// Every value of every byte: refused, or decoded to a state whose own snapshot is exactly those bytes.
    @Test func `a snapshot with a damaged byte is refused or is consistent in itself`() throws {
        var damaged = snapshot(try sample().stage.campaign)
        var accepted = 0
        for index in damaged.indices {
            let byte = damaged[index]
            for value in [byte ^ 1, byte ^ 0x80, byte ^ 0x10, 0, 0xFF, byte &+ 1, byte &- 1] where value != byte {
                damaged[index] = value
                if var campaign = try? restored(damaged) {
                    accepted += 1
                    #expect(snapshot(campaign) == damaged)
                    exercise(&campaign)
                }
            }
            damaged[index] = byte
        }
        #expect(accepted > 0)
    }

    @Test func `every prefix of a journal payload is refused or ends with a record`() throws {
        let (_, payload) = try sample()
        var whole = 0
        for length in 0..<payload.count {
            if replayed(Array(payload[..<length])) != nil { whole += 1 }
        }
        var records = 0
        try RecordReader.events(in: payload.span) { _, event in
            if case .voted = event { return }
            records += 1
        }
        // The version alone, then the records, and two runs of votes; the whole payload is not a prefix here.
        #expect(whole == 1 + records + 3 - 1)
    }

    @Test func `a journal payload with a damaged byte is refused or leaves a consistent state`() throws {
        var (_, damaged) = try sample()
        var accepted = 0
        for index in damaged.indices {
            let byte = damaged[index]
            for value in [byte ^ 1, byte ^ 0x80, byte ^ 0x10, 0, 0xFF, byte &+ 1, byte &- 1] where value != byte {
                damaged[index] = value
                if let campaigns = replayed(damaged) {
                    accepted += 1
                    for id in campaigns.keys.sorted() {
                        guard var campaign = campaigns[id] else { continue }
                        let bytes = snapshot(campaign)
                        #expect(try restored(bytes).stateHash == campaign.stateHash)
                        exercise(&campaign)
                    }
                }
            }
            damaged[index] = byte
        }
        #expect(accepted > 0)
    }

    @Test(arguments: 1...300 as ClosedRange<UInt64>)
    func `noise is refused`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var noise = (0..<Int.random(in: 0...400, using: &random)).map { _ in UInt8.random(in: 0...12, using: &random) }
        if !noise.isEmpty { noise[0] = 1 }
        if noise.count > 1 { #expect(replayed(noise) == nil) }
        #expect(throws: SnapshotError.self) { try restored(noise) }
    }

    /// Uses a state in every way; nothing may trap.
    private func exercise(_ campaign: inout Campaign) {
        var journal = RecordWriter()
        let later = Timestamp(milliseconds: 1 << 52)
        _ = campaign.history(limit: 10, position: origin)
        _ = campaign.latestPoll(position: origin)?.tally.percentageTenths
        if let poll = campaign.runningPoll {
            for option in 0..<3 {
                _ = try? campaign.castVote(
                    poll: poll, option: option, voter: hash(1), key: hash(50), channel: "z", at: start, into: &journal)
            }
        }
        for event in campaign.dueEvents(at: later) { campaign.evolve(event) }
        _ = campaign.stateHash
        _ = try? campaign.decide(.delete, at: later)
    }
}
