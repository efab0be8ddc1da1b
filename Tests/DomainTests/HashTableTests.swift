import Protocol
import Testing

@testable import Domain

struct HashTableTests {
    @Test func `a million distinct voters count once each, in at most 24 bytes a voter`() throws {
        var stage = try Stage()
        try stage.launch(options: 4)
        let voters = 1_000_000
        var random = SeededGenerator(seed: 42)
        var worstBytes = 0.0
        var sizes = 0
        var sum = 0.0
        for voter in 0..<voters {
            let hash = Hash128(high: random.next(), low: random.next())
            _ = try stage.campaign.castVote(
                poll: pollID(1), option: voter & 3, voter: hash, key: nil, channel: "north", at: start,
                into: &stage.journal)
            if stage.journal.byteCount > 200_000 { _ = stage.journal.take() }
            if voter >= 20_000, voter % 5000 == 0 {
                let bytes = Double(stage.campaign.voterTableBytes) / Double(voter + 1)
                worstBytes = max(worstBytes, bytes)
                sum += bytes
                sizes += 1
            }
        }
        #expect(stage.campaign.voterCount == voters)
        #expect(stage.votes == [250_000, 250_000, 250_000, 250_000])
        let bytes = Double(stage.campaign.voterTableBytes) / Double(voters)
        let moves = try #require(stage.campaign.running).voters.worstInsertMoves
        print(
            "a million voters: \(bytes) bytes a voter; worst from 20,000 on \(worstBytes), mean \(sum / Double(sizes))")
        print("the worst insert moved \(moves) entries")
        #expect(bytes <= 24)
        #expect(worstBytes <= 26)
        #expect(moves <= 16_385 + 64)

        random = SeededGenerator(seed: 42)
        for voter in 0..<10_000 {
            let hash = Hash128(high: random.next(), low: random.next())
            let status = try stage.campaign.castVote(
                poll: pollID(1), option: voter & 3, voter: hash, key: nil, channel: nil, at: start,
                into: &stage.journal)
            #expect(status == .same)
        }
    }

    /// Hashes that crowd together: equal upper halves, neighbours, the ends of the range.
    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `a table agrees with a dictionary, whatever the hashes`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = HashTable(hasPayloads: true)
        var model: [Hash128: Choice] = [:]
        for _ in 0..<3000 {
            let high: UInt64 =
                switch seed % 3 {
                case 0: random.next()
                case 1: random.next() & 3 == 0 ? .max : random.next() >> 60
                default: random.next() & 0xFFFF
                }
            let hash = Hash128(high: high, low: seed == 2 ? random.next() : random.next() & 0xFFF).stored
            let choice = Choice(option: Int.random(in: 0..<5, using: &random), channel: nil)
            let before = table.choose(choice, voter: hash)
            #expect(before == model[hash])
            model[hash] = choice
        }
        #expect(table.count == model.count)
        #expect(model.allSatisfy { table.payload(of: $0.key) == $0.value.bits })
        #expect(table.payload(of: hash(12_345)) == nil)
        var read: [Hash128] = []
        table.forEach { hash, _ in read.append(hash) }
        #expect(read == model.keys.sorted())
    }

    @Test func `digest and order do not depend on the order of insertion`() {
        let hashes = (0..<3000 as Range<UInt64>).map { hash($0) }
        var forth = HashTable(hasPayloads: false)
        var back = HashTable(hasPayloads: false)
        for hash in hashes { _ = forth.insert(hash) }
        for hash in hashes.reversed() { _ = back.insert(hash) }
        let isNew = forth.insert(hashes[17])
        #expect(!isNew)
        #expect(forth.count == 3000)
        #expect(forth.digest == back.digest)
        var one: [Hash128] = []
        var other: [Hash128] = []
        forth.forEach { hash, _ in one.append(hash) }
        back.forEach { hash, _ in other.append(hash) }
        #expect(one == other)
        _ = back.insert(hash(3000))
        #expect(forth.digest != back.digest)
    }

    @Test func `a copy stays as it was while the original grows`() {
        var table = HashTable(hasPayloads: true)
        for number in 0..<1000 as Range<UInt64> { _ = table.choose(Choice(option: 1, channel: 3), voter: hash(number)) }
        let copy = table
        let digest = copy.digest
        for number in 0..<3000 as Range<UInt64> { _ = table.choose(Choice(option: 2, channel: 4), voter: hash(number)) }
        #expect(copy.digest == digest)
        #expect(copy.count == 1000)
        #expect(table.count == 3000)
        #expect(table.payload(of: hash(5)) == Choice(option: 2, channel: 4).bits)
    }

    @Test func `an insert moves at most one segment, also while the table is cut`() {
        var table = HashTable(hasPayloads: true)
        let choice = Choice(option: 0, channel: nil)
        for number in 0..<40_000 as Range<UInt64> { _ = table.choose(choice, voter: hash(number)) }
        #expect(table.worstInsertMoves <= 16_385)
        #expect(table.worstInsertMoves >= 1024)
    }

    @Test func `a choice says option and channel in two bytes`() {
        for option in 0..<8 {
            for channel in [nil, 0, 1, 255] {
                let choice = Choice(option: option, channel: channel)
                #expect(choice.option == option)
                #expect(choice.channel == channel)
                #expect(Choice(bits: choice.bits | 0x6000) == choice)
            }
        }
    }
}
