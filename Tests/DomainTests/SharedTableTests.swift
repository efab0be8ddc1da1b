// Tables that are copied while they grow, as snapshots copy them: neither side may see the other's changes.

import Protocol
import Testing

@testable import Domain

struct SharedTableTests {
    private func mix(_ value: UInt64) -> UInt64 {
        var z = value &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    private func faults(_ table: HashTable, count: UInt64) -> Int {
        (0..<count).reduce(0) { faults, number in
            let hash = Hash128(high: mix(number), low: mix(number ^ .max))
            return faults + (table.payload(of: hash) == UInt16(number % 3) ? 0 : 1)
        }
    }

    @Test(arguments: [UInt64.max, 1000, 7777])
    func `every choice stays with its voter, whether copies live or not`(copyEvery: UInt64) {
        var table = HashTable(hasPayloads: true)
        var copies: [(table: HashTable, count: UInt64)] = []
        let total: UInt64 = 120_000
        for number in 0..<total {
            let hash = Hash128(high: mix(number), low: mix(number ^ .max))
            _ = table.choose(Choice(option: Int(number % 3), channel: nil), voter: hash)
            if number % copyEvery == copyEvery - 1 {
                copies.append((table, number + 1))
                if copies.count > 3 { copies.removeFirst() }
            }
        }
        #expect(faults(table, count: total) == 0)
        for copy in copies {
            #expect(faults(copy.table, count: copy.count) == 0 && UInt64(copy.table.count) == copy.count)
        }
    }
}
